"""Cines as endoscopes and ultrasound machines store them: palettes, half the colours, compressed; no patient's tags."""

import argparse

import cv2
import numpy as np
import pytest

from basicsr_ssm.clips import prepare_command
from basicsr_ssm.clips.sources import open_source

pydicom = pytest.importorskip('pydicom')
PATIENT = {'PatientName': 'DOE^JANE', 'PatientID': '4711', 'StudyDescription': 'of DOE^JANE'}


def frames_of(path):
    return np.stack(list(open_source(path).frames()))


@pytest.mark.parametrize('bits', [8, 16])
def test_palette_colour(tmp_path, write_dicom, bits):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    pixels = rng.integers(0, 256, (3, 16, 24), dtype=np.uint8)
    entries = table.astype(np.uint16) * (257 if bits == 16 else 1)
    names = ('Red', 'Green', 'Blue')
    tags = {}
    for c, name in enumerate(names):
        tags[f'{name}PaletteColorLookupTableDescriptor'] = [256, 0, bits]
        dtype = np.uint8 if bits == 8 else np.uint16
        tags[f'{name}PaletteColorLookupTableData'] = entries[:, c].astype(dtype).tobytes()
    path = write_dicom(tmp_path / 'a.dcm', pixels, 'PALETTE COLOR', **tags)
    assert np.array_equal(frames_of(path), table[pixels])


def test_ybr_with_half_the_colours(tmp_path, moving_frames, write_dicom):
    """YBR_FULL_422, not compressed: Y Y Cb Cr of two neighbouring pixels."""
    frames = np.stack(moving_frames(3))
    ybr = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] for f in frames])
    colours = np.rint(ybr[..., 1:].reshape(3, 48, 32, 2, 2).mean(axis=3)).astype(np.uint8)
    packed = np.concatenate([ybr[..., 0].reshape(3, 48, 32, 2), colours], axis=-1)
    path = write_dicom(tmp_path / 'a.dcm', np.zeros((3, 48, 64, 3), np.uint8), 'YBR_FULL_422')
    data = pydicom.dcmread(path)
    data.PixelData = packed.tobytes()
    data.save_as(path)
    got = frames_of(path)
    assert np.abs(got.astype(int) - frames).mean() < 12  # what is lost is colour detail
    grey = [np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in clip]).astype(int) for clip in (got, frames)]
    assert np.abs(grey[0] - grey[1]).mean() < 2


def test_run_length_encoding(tmp_path, moving_frames, write_dicom):
    frames = np.stack(moving_frames(3))
    path = write_dicom(tmp_path / 'a.dcm', frames, 'RGB')
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.save_as(path)
    assert np.array_equal(frames_of(path), frames)


def test_jpeg_frames(tmp_path, moving_frames, write_dicom):
    pytest.importorskip('PIL')  # decodes them for pydicom
    frames = moving_frames(3)
    path = write_dicom(tmp_path / 'a.dcm', np.stack(frames), 'YBR_FULL_422', **PATIENT)
    data = pydicom.dcmread(path)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    encoded = [cv2.imencode('.jpg', frame[..., ::-1], quality)[1].tobytes() for frame in frames]
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    data.PixelData = pydicom.encaps.encapsulate(encoded)
    data['PixelData'].is_undefined_length = True
    data.save_as(path)
    expected = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in encoded]
    assert np.abs(frames_of(path).astype(int) - expected).mean() < 2


def test_a_cine_becomes_clips_without_its_patient(tmp_path, moving_frames, write_dicom):
    path = write_dicom(tmp_path / 'cine.dcm', np.stack(moving_frames(4)), 'RGB', FrameTime='40', **PATIENT)
    assert b'DOE^JANE' in path.read_bytes()
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', path, '--output', tmp_path / 'out', '--clip-length', 4, '--split', 'train=1']
    assert prepare_command.run(parser.parse_args([*map(str, words), '--format', 'png'])) == 0
    files = [file for file in (tmp_path / 'out').rglob('*') if file.is_file()]
    assert len(files) > 8
    for file in files:
        assert not [value for value in PATIENT.values() if value.encode() in file.read_bytes()]
