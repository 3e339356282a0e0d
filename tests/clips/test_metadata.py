"""Who was filmed stays behind: nothing of a source but its pixels comes into the output."""

import argparse
import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from basicsr_ssm.clips import prepare_command
from basicsr_ssm.clips.clock import clock_of_video
from basicsr_ssm.clips.cut_sources import nameless_reason
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.frame_source import DamagedSourceError
from basicsr_ssm.clips.output import plan_output
from basicsr_ssm.clips.prepare import prepare
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.errors import UserError

av = pytest.importorskip('av')

SECRET = 'DOE^JANE'
ALLOWED = {b'IHDR', b'IDAT', b'IEND'}


def chunks(png):
    """Kinds of a PNG file's chunks."""
    position, kinds = 8, set()
    while position < len(png):
        (length,) = struct.unpack_from('>I', png, position)
        kinds.add(png[position + 4 : position + 8])
        position += length + 12
    return kinds


@pytest.fixture
def sources(tmp_path, moving_frames, write_video, write_dicom):
    """Videos, a cine and images that all carry a patient's name."""
    folder = tmp_path / 'in'
    folder.mkdir()
    for suffix in ('mp4', 'mkv', 'avi'):
        with av.open(str(folder / f'film_{suffix}.{suffix}'), 'w') as container:
            container.metadata.update(title=SECRET, comment=SECRET, artist=SECRET)
            stream = container.add_stream('mpeg4', rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
            stream.metadata['title'] = SECRET
            for frame in moving_frames(4, seed=len(suffix) + ord(suffix[0])):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
            container.mux(stream.encode())
    pixels = np.stack(moving_frames(4, seed=9))
    write_dicom(folder / 'cine.dcm', pixels, 'RGB', PatientName=SECRET, PatientID=SECRET, StudyDescription=SECRET)
    (folder / 'images').mkdir()
    for i, frame in enumerate(moving_frames(4, seed=10)):
        png = cv2.imencode('.png', frame)[1].tobytes()
        text = b'tEXt' + b'Author\0' + SECRET.encode()
        chunk = struct.pack('>I', len(text) - 4) + text + struct.pack('>I', zlib.crc32(text))
        (folder / 'images' / f'{i}.png').write_bytes(png[:33] + chunk + png[33:])
    for path in folder.rglob('*.*'):
        assert SECRET.encode() in path.read_bytes()  # or the test could not fail
    return folder


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_prepared_clips(tmp_path, sources, form):
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', sources, '--output', tmp_path / 'out', '--clip-length', 4, '--split', 'train=1']
    words += ['--format', form, '--masks']
    assert prepare_command.run(parser.parse_args([str(word) for word in words])) == 0
    frames = [path.read_bytes() for path in (tmp_path / 'out').rglob('*.png')]
    if form == 'lmdb':
        for root in (tmp_path / 'out').rglob('*.lmdb'):
            with lmdb.open(str(root), readonly=True, lock=False) as environment, environment.begin() as transaction:
                frames += [value for _, value in transaction.cursor()]
    assert len(frames) == 5 * 4 * 2 + 5
    assert all(chunks(frame) <= ALLOWED for frame in frames)
    files = [path for path in (tmp_path / 'out').rglob('*') if path.is_file()]
    assert files and not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', ''])
def test_restored_videos_and_frames(tmp_path, sources, moving_frames, suffix):
    """As upscale writes them, sound and shape of the pixels taken over from the source."""
    source = sources / 'film_mkv.mkv'
    output = tmp_path / f'restored{suffix}'
    with plan_output(output, source).open((48, 64), clock_of_video(source), source=source) as writer:
        for frame in moving_frames(4):
            writer.write(frame)
    files = [output] if suffix else list(output.iterdir())
    assert files and not [path for path in files if SECRET.encode() in path.read_bytes()]
    if not suffix:
        assert all(chunks(path.read_bytes()) <= ALLOWED for path in files)


def test_anonymous_sources(tmp_path, sources, capsys):
    """Files and folders are called after the patient; one is no video, one a copy, one damaged."""
    named = tmp_path / SECRET
    sources.rename(named)
    for name in ('film_mp4.mp4', 'film_mkv.mkv', 'film_avi.avi', 'cine.dcm', 'images'):
        (named / name).rename(named / f'{SECRET}_{name}')
    (named / f'{SECRET}.mp4').write_bytes(b'no video' * 99)
    (named / f'{SECRET}_copy.avi').write_bytes((named / f'{SECRET}_film_avi.avi').read_bytes())
    image = named / f'{SECRET}_images' / '3.png'
    image.write_bytes(image.read_bytes()[:-9])
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', named, '--output', tmp_path / 'out', '--clip-length', 4, '--format', 'png']
    words += ['--test', 'DOE_JANE_cine', '--anonymous']
    assert prepare_command.run(parser.parse_args([str(word) for word in words])) == 0
    manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert [source['split'] for source in manifest['sources']].count('test') == 1
    assert len(manifest['sources']) == 4 and len(manifest['skipped']) == 3
    out = capsys.readouterr().out
    assert f'source_0001: {named}' in out  # but here it is told
    for path in (tmp_path / 'out').rglob('*'):
        assert 'DOE' not in path.name
        assert not path.is_file() or b'DOE' not in path.read_bytes() or path.suffix == '.png'


def test_anonymous_reasons_are_whole_and_without_names(tmp_path, moving_frames, write_folder, monkeypatch):
    """Sources with names of one letter, given from the folder that they are in; frames are called after the patient."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, 'sync', lambda: None)  # takes seconds on a busy machine
    for seed, name in enumerate('nod'):
        write_folder(Path(name), moving_frames(6, 32, 48, seed))
    for path in [*Path('d').iterdir(), *Path('n').iterdir()]:
        path.rename(path.with_name(f'{SECRET}_{path.name}'))
    Path(f'd/{SECRET}_frame3.png').write_bytes(b'x')
    cv2.imwrite(f'n/{SECRET}_frame1.png', np.zeros((2, 2, 3), np.uint8))
    write_folder(Path('e'), moving_frames(6, 32, 48, 1))
    Path('a.mp4').write_bytes(b'no video' * 99)
    names = {name: Path(name) for name in 'dnoe'} | {'a': Path('a.mp4')}
    sources = {f'source_{number}': path for number, path in enumerate(names.values(), 1)}
    cutting = Cutting(3, 3, None, (4,), None)
    recipe = Recipe(cutting, SplitRule({'train': 1.0}), 'png', anonymous=True)
    manifest = prepare(sources, tmp_path / 'out', recipe, workers=1, progress=False)
    reasons = {skip['name']: skip['reason'] for skip in manifest['skipped']}
    assert reasons.pop('source_5').startswith('source_5: not a video')
    assert reasons == {
        'source_1': 'source_1, frame 2: cannot be decoded as an image',
        'source_2': 'source_2: 2x2 is too small for the scales (4,)',
        'source_4': 'source_4: has the same content as source_3',
    }


@pytest.mark.parametrize(
    'error, reason',
    [
        (UserError('in/scan.dcm: this DICOM file holds no image'), 's: this DICOM file holds no image'),
        (UserError('in/scan.dcm, frame 3: is turned'), 's, frame 3: is turned'),
        (DamagedSourceError('in/scan.dcm', None, 'is cut off'), 's: is cut off'),
        (UserError('reading DICOM needs pydicom'), 's: reading DICOM needs pydicom'),
        (UserError('cannot read in/scan.dcm'), 's: cannot be used, as was said when it was left out'),
        (UserError('scan.dcm is odd'), 's: cannot be used, as was said when it was left out'),
    ],
)
def test_reasons_without_names(error, reason):
    assert nameless_reason('s', Path('in/scan.dcm'), error) == reason
