"""The whole way from sources to a data set, interrupted wherever it can be."""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import lmdb
import numpy as np
import pytest
from killed_runs import killed_at, tree

from basicsr_ssm import cli
from basicsr_ssm.clips import cut, lmdb_writer, prepare_command
from basicsr_ssm.clips.cut import Cutting
from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.output_folder import locked
from basicsr_ssm.clips.prepare import merge_shards, prepare, prepare_shard
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.shard import Shard
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import WriteError


def recipe(form='png', length=4, stride=None, max_clips=None, scales=(4,), **split):
    return Recipe(Cutting(length, stride or length, max_clips, scales), SplitRule(**split), form)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Flushing all disks of a busy machine takes seconds."""
    monkeypatch.setattr(os, 'sync', lambda: None)


@pytest.fixture
def three(tmp_path, moving_frames, write_folder):
    """Three folders of 10, 9 and 8 frames, 50 x 70 pixels."""
    for seed, count in enumerate((10, 9, 8)):
        write_folder(tmp_path / 'in' / f'scan{seed}', moving_frames(count, 50, 70, seed))
    return find_sources([tmp_path / 'in'])


def test_png(tmp_path, three):
    out = tmp_path / 'out'
    manifest = prepare(three, out, recipe(scales=(4, 3)))
    assert json.loads((out / 'manifest.json').read_bytes()) == manifest
    assert sorted(p.name for p in out.iterdir()) == ['manifest.json', 'test', 'train', 'val']
    for clip in manifest['clips']:
        folder = out / clip['split']
        meta = (folder / 'meta_info.txt').read_text().splitlines()
        assert f'{clip["name"]} 4 (48,60,3)' in meta  # cropped to multiples of 12
        assert clip['size'] == [48, 60]
        for i in range(4):
            original = cv2.imread(str(three[clip['source']] / f'frame{clip["first_frame"] + i + 1}.png'))
            gt = cv2.imread(str(folder / 'GT' / clip['name'] / f'{i:08d}.png'))
            assert np.array_equal(gt, original[:48, :60])
            for scale in (3, 4):
                lq = cv2.imread(str(folder / f'BIx{scale}' / clip['name'] / f'{i:08d}.png'))
                assert np.array_equal(lq, imresize_bicubic(gt, scale))
        for kind, sha in clip['sha256'].items():
            files = sorted((folder / kind / clip['name']).iterdir())
            assert len(files) == 4
            assert hashlib.sha256(b''.join(p.read_bytes() for p in files)).hexdigest() == sha


def test_split_by_source_and_remainders(tmp_path, three):
    manifest = prepare(three, tmp_path / 'out', recipe())
    splits = {source['name']: source['split'] for source in manifest['sources']}
    assert sorted(splits.values()) == ['test', 'train', 'val']
    for clip in manifest['clips']:
        assert clip['split'] == splits[clip['source']]
        assert clip['name'].rpartition('_')[0] == clip['source']
    assert [(s['frames'], s['dropped']) for s in manifest['sources']] == [(10, 2), (9, 1), (8, 0)]
    assert all(len(s['sha256']) == 64 for s in manifest['sources'])
    listed = prepare(three, tmp_path / 'out2', recipe(lists={'val': ('scan1',)}))
    assert {s['name']: s['split'] for s in listed['sources']} == {'scan0': 'train', 'scan1': 'val', 'scan2': 'train'}


def test_paths_that_are_not_utf_8(tmp_path, three, capsys):
    """As on disks of other systems; the output may lie below such a folder, too."""
    odd = tmp_path / os.fsdecode(b'Kn\xe4rz')
    (tmp_path / 'in').rename(odd)
    options = ['--source', str(odd), '--clip-length', '4', '--output', str(odd / 'out')]
    assert cli.main(['prepare', 'custom', *options]) == 0
    manifest = json.loads((odd / 'out/manifest.json').read_bytes())
    assert [source['path'] for source in manifest['sources']] == [str(odd / f'scan{i}') for i in range(3)]
    assert cli.main(['prepare', 'custom', *options]) == 0  # is the same
    assert cli.main(['verify', str(odd / 'out')]) == 0
    assert r'Kn\udce4rz' in capsys.readouterr().out


def test_overlapping_spaced_and_limited_clips(tmp_path, three):
    def first_frames(name, **kwargs):
        manifest = prepare(three, tmp_path / name, recipe(**kwargs))
        return [c['first_frame'] for c in manifest['clips'] if c['source'] == 'scan0'], manifest['sources'][0][
            'dropped'
        ]

    assert first_frames('overlap', stride=2) == ([0, 2, 4, 6], 0)
    assert first_frames('gaps', length=2, stride=5) == ([0, 5], 6)
    assert first_frames('two', stride=3, max_clips=2) == ([0, 3], 0)
    a, b = (
        cv2.imread(str(next((tmp_path / 'overlap').glob(f'*/GT/scan0_{c}/0000000{i}.png'))))
        for c, i in (('0000', 2), ('0001', 0))
    )
    assert np.array_equal(a, b)


def test_lmdb_is_what_basicsr_reads(tmp_path, three):
    from basicsr.utils import FileClient, imfrombytes

    prepare(three, tmp_path / 'png', recipe(scales=(2, 4)))
    manifest = prepare(three, tmp_path / 'lmdb', recipe('lmdb', scales=(2, 4)))
    for clip in manifest['clips']:
        for kind in ('GT', 'BIx2', 'BIx4'):
            root = tmp_path / 'lmdb' / clip['split'] / f'{kind}.lmdb'
            client = FileClient('lmdb', db_paths=[str(root)], client_keys=['lq'])
            lines = (root / 'meta_info.txt').read_text().splitlines()
            for i in range(4):
                key = f'{clip["name"]}/{i:08d}'
                image = imfrombytes(client.get(key, 'lq'))
                png = tmp_path / 'png' / clip['split'] / kind / f'{key}.png'
                assert np.array_equal(image, cv2.imread(str(png)))
                assert f'{key}.png ({image.shape[0]},{image.shape[1]},3) 1' in lines


def test_lmdb_of_many_transactions(tmp_path, three, monkeypatch):
    monkeypatch.setattr(lmdb_writer, '_BYTES_A_TRANSACTION', 20_000)
    prepare(three, tmp_path / 'a', recipe('lmdb'))
    prepare(three, tmp_path / 'b', recipe('lmdb'), workers=1)
    assert tree(tmp_path / 'a') == tree(tmp_path / 'b')


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_killed_at_every_step(tmp_path, three, form):
    prepare(three, tmp_path / 'whole', recipe(form, 8))
    expected = tree(tmp_path / 'whole')
    step = 1
    while killed_at(step, prepare, three, tmp_path / str(step), recipe(form, 8), workers=1):
        out = tmp_path / str(step)
        finished = (out / 'manifest.json').exists()
        assert not finished or set(tree(out)) >= set(expected)
        prepare(three, out, recipe(form, 8))
        assert tree(out) == expected, f'killed before rename {step}'
        step += 1
    assert step > 15


def test_killed_again_and_again(tmp_path, three):
    prepare(three, tmp_path / 'whole', recipe('lmdb'))
    step = 3
    while killed_at(step, prepare, three, tmp_path / 'out', recipe('lmdb'), workers=1):
        step += 1
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_kill_9_in_the_middle(tmp_path, moving_frames, write_folder):
    for seed in range(3):
        write_folder(tmp_path / 'in' / f's{seed}', moving_frames(60, 96, 160, seed))
    sources = find_sources([tmp_path / 'in'])
    prepare(sources, tmp_path / 'whole', recipe('lmdb'))
    program = (
        'import argparse\n'
        'from basicsr_ssm.clips import custom\n'
        'parser = argparse.ArgumentParser()\n'
        'custom.add_arguments(parser)\n'
        'custom.run(parser.parse_args())\n'
    )
    options = ['--source', tmp_path / 'in', '--output', tmp_path / 'out', '--clip-length', '4', '--workers', '2']
    process = subprocess.Popen([sys.executable, '-c', program, *map(str, options)], stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob('out/.partial/sources/*/*_0002')):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / 'out' / 'manifest.json').exists()
    prepare(sources, tmp_path / 'out', recipe('lmdb'))
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_kill_9_twenty_times_at_random(tmp_path, moving_frames, write_folder):
    """Resumed runs are killed, too; whenever one gets through, its bytes are compared and all begins anew."""
    for seed in range(3):
        write_folder(tmp_path / 'in' / f's{seed}', moving_frames(24, 48, 80, seed))
    sources, out = find_sources([tmp_path / 'in']), tmp_path / 'out'
    start = time.perf_counter()
    prepare(sources, tmp_path / 'whole', recipe('lmdb'), workers=2)
    patience, expected = time.perf_counter() - start, tree(tmp_path / 'whole')
    random, unfinished = np.random.default_rng(0), 0
    while unfinished < 20:
        child = os.fork()
        if child == 0:
            try:
                prepare(sources, out, recipe('lmdb'), workers=2)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, patience))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if (out / 'manifest.json').exists():
            prepare(sources, out, recipe('lmdb'))
            assert tree(out) == expected
            shutil.rmtree(out)
            patience *= 0.7  # whatever else the machine does: most kills are to come before the end,
        else:
            unfinished += (out / '.partial').exists()
            patience *= 1.1  # and not before the beginning
    prepare(sources, out, recipe('lmdb'))
    assert tree(out) == expected


def test_a_clip_that_rotted_is_made_anew(tmp_path, three):
    prepare(three, tmp_path / 'whole', recipe())
    assert killed_at(12, prepare, three, tmp_path / 'out', recipe(), workers=1)
    png = sorted((tmp_path / 'out' / '.partial' / 'sources').glob('*/*/GT/*.png'))[0]
    png.write_bytes(b'')  # a power cut can leave this behind
    prepare(three, tmp_path / 'out', recipe())
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_a_finished_data_set_is_left_alone(tmp_path, three):
    first = prepare(three, tmp_path / 'out', recipe())
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('*')}
    assert prepare(three, tmp_path / 'out', recipe()) == first
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('*')}


@pytest.mark.parametrize('form, gone', [('png', 'train/GT'), ('lmdb', 'val')])
def test_a_finished_data_set_without_a_split_is_not_called_complete(tmp_path, three, form, gone):
    out = tmp_path / 'out'
    prepare(three, out, recipe(form))
    shutil.rmtree(out / gone)
    before = tree(out)
    lost = {'png': 'train/GT', 'lmdb': 'val/GT.lmdb, val/BIx4.lmdb'}[form]
    for again in (
        lambda: prepare(three, out, recipe(form)),
        lambda: prepare_shard(three, out, recipe(form), Shard(1, 2)),
        lambda: merge_shards(out),
    ):
        with pytest.raises(UserError, match=f'is gone: {lost}; put it back, or delete .*out to prepare it anew'):
            again()
    assert tree(out) == before
    shutil.rmtree(out)
    prepare(three, out, recipe(form))


def test_other_settings_into_the_same_output(tmp_path, three):
    prepare(three, tmp_path / 'done', recipe())
    assert killed_at(8, prepare, three, tmp_path / 'begun', recipe(), workers=1)
    for out in (tmp_path / 'done', tmp_path / 'begun'):
        before = tree(out)
        with pytest.raises(UserError, match=r'other settings \(clip_length: 4, now 5'):
            prepare(three, out, recipe(length=5, stride=4))
        with pytest.raises(UserError, match='source scan2 is gone'):
            prepare({k: v for k, v in three.items() if k != 'scan2'}, out, recipe())
        assert tree(out) == before
    frame = next(three['scan0'].iterdir())
    frame.write_bytes(frame.read_bytes() + b'\0')
    with pytest.raises(UserError, match='source scan0 has changed'):
        prepare(three, tmp_path / 'done', recipe())
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.tex').touch()
    with pytest.raises(UserError, match='not a prepared data set'):
        prepare(three, tmp_path / 'mine', recipe())


def test_damaged_source_is_skipped_or_fatal(tmp_path, three, moving_frames, write_folder, capsys):
    bad = write_folder(tmp_path / 'in' / 'broken', moving_frames(10, 50, 70, 7))
    (bad / 'frame7.png').write_bytes((bad / 'frame7.png').read_bytes()[:-20])  # its first clip is fine
    (tmp_path / 'in' / 'film.mp4').write_bytes(b'no video' * 100)
    sources = find_sources([tmp_path / 'in'])
    manifest = prepare(sources, tmp_path / 'out', recipe())
    assert [s['name'] for s in manifest['skipped']] == ['broken', 'film']
    assert 'frame7.png, frame 6: the PNG is cut off' in manifest['skipped'][0]['reason']
    assert 'frame7.png' in capsys.readouterr().err
    assert not list((tmp_path / 'out').rglob('broken*'))
    good = prepare(three, tmp_path / 'good', recipe())
    assert good['clips'] == manifest['clips']
    for name in ('broken', 'film'):
        with pytest.raises(UserError, match=r'(frame7\.png|film\.mp4).*--strict'):
            prepare({**three, name: sources[name]}, tmp_path / f'strict_{name}', recipe(), strict=True)
        assert not (tmp_path / f'strict_{name}' / 'manifest.json').exists()
    with pytest.raises(UserError, match=r'prepared without a source: .*frame7\.png.*--strict'):
        prepare(sources, tmp_path / 'out', recipe(), strict=True)


def test_a_strict_run_that_fails_leaves_only_what_can_be_resumed(tmp_path, three, moving_frames, write_folder):
    """One that failed before any clip was finished leaves nothing, another says what it leaves and what for."""
    (tmp_path / 'in' / 'film.mp4').write_bytes(b'no video' * 100)
    sources = find_sources([tmp_path / 'in'])
    with pytest.raises(UserError, match=r'film\.mp4.*--strict\)$'):
        prepare(sources, tmp_path / 'a' / 'out', recipe(), strict=True)
    assert not (tmp_path / 'a' / 'out').exists()
    (tmp_path / 'mine').mkdir()
    with pytest.raises(UserError, match='film'):
        prepare(sources, tmp_path / 'mine', recipe(), strict=True)
    assert list((tmp_path / 'mine').iterdir()) == []
    (tmp_path / 'in' / 'film.mp4').unlink()
    bad = write_folder(tmp_path / 'in' / 'zbroken', moving_frames(40, 50, 70, 7))
    (bad / 'frame40.png').write_bytes((bad / 'frame40.png').read_bytes()[:-20])
    sources = find_sources([tmp_path / 'in'])
    message = r'frame40\.png.*\(--strict\); the finished clips are kept in .*b/\.partial: .* without --strict goes on'
    with pytest.raises(UserError, match=message):
        prepare(sources, tmp_path / 'b', recipe(), workers=1, strict=True)
    assert list((tmp_path / 'b' / '.partial').rglob('clip.json'))
    prepare(sources, tmp_path / 'b', recipe(), workers=1)
    prepare(sources, tmp_path / 'whole', recipe())
    assert tree(tmp_path / 'b') == tree(tmp_path / 'whole')


def test_strict_after_a_run_that_skipped_and_was_interrupted(tmp_path, three, moving_frames, write_folder, monkeypatch):
    bad = write_folder(tmp_path / 'in' / 'broken', moving_frames(10, 50, 70, 7))
    (bad / 'frame7.png').write_bytes((bad / 'frame7.png').read_bytes()[:-20])
    sources = find_sources([tmp_path / 'in'])

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('basicsr_ssm.clips.prepare._assemble', interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(sources, tmp_path / 'out', recipe())
    with pytest.raises(UserError, match=r'frame7\.png.*--strict\); the finished clips are kept'):
        prepare(sources, tmp_path / 'out', recipe(), strict=True)


def test_a_data_set_that_cannot_be_made_leaves_nothing(tmp_path, three):
    listed = recipe(length=10, lists={'val': ('scan1',)})  # which has 9 frames
    for message, bad in (('long enough', recipe(length=50)), ('the val split is left without a clip', listed)):
        with pytest.raises(UserError, match=message):
            prepare(three, tmp_path / 'out', bad)
        assert not (tmp_path / 'out').exists()


def test_copies_small_and_short_sources(tmp_path, three, moving_frames, write_folder):
    write_folder(tmp_path / 'in' / 'twin', moving_frames(10, 50, 70, 0))  # as scan0
    write_folder(tmp_path / 'in' / 'tiny', moving_frames(5, 3, 70, 8))
    write_folder(tmp_path / 'in' / 'short', moving_frames(3, 50, 70, 9))
    manifest = prepare(find_sources([tmp_path / 'in']), tmp_path / 'out', recipe())
    reasons = {s['name']: s['reason'] for s in manifest['skipped']}
    assert set(reasons) == {'twin', 'tiny'}
    assert 'same content as' in reasons['twin'] and '70x3 is too small' in reasons['tiny']
    assert [s for s in manifest['sources'] if s['name'] == 'short'][0]['split'] is None


def test_too_few_sources(tmp_path, three):
    two = dict(list(three.items())[:2])
    with pytest.raises(UserError, match='3 splits .* need as many sources, but there are 2'):
        prepare(two, tmp_path / 'a', recipe())
    with pytest.raises(UserError, match='long enough for a clip of 50'):
        prepare(three, tmp_path / 'b', recipe(length=50))


def test_disk_full_keeps_what_is_finished(tmp_path, three, monkeypatch):
    prepare(three, tmp_path / 'whole', recipe())
    count = 0

    class Full(type(tmp_path)):
        def write_bytes(self, data):
            raise OSError(28, 'No space left on device', str(self))

    original = cut._write_frame

    def filling(frame, targets, cutting):
        nonlocal count
        count += 1
        original(frame, [(Full(p), f) for p, f in targets] if count > 7 else targets, cutting)

    monkeypatch.setattr(cut, '_write_frame', filling)
    with pytest.raises(WriteError, match=r'\.png: cannot write \(the disk is full'):
        prepare(three, tmp_path / 'out', recipe(), workers=1)
    assert list((tmp_path / 'out' / '.partial').rglob('clip.json'))
    monkeypatch.undo()
    prepare(three, tmp_path / 'out', recipe())
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


@pytest.mark.parametrize('error', [lmdb.DiskError('x'), lmdb.Error('mdb_txn_commit: Input/output error')])
def test_disk_full_while_the_lmdb_is_written(tmp_path, three, monkeypatch, error):
    prepare(three, tmp_path / 'whole', recipe('lmdb'))
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise error
        original(*args)

    original = lmdb_writer._fill
    monkeypatch.setattr(lmdb_writer, '_fill', fail)
    monkeypatch.setattr(lmdb_writer.shutil, 'disk_usage', lambda path: argparse.Namespace(free=4096))
    with pytest.raises(WriteError, match=r'BIx4\.lmdb\.tmp: cannot write \(the disk is full; what is finished is kept'):
        prepare(three, tmp_path / 'out', recipe('lmdb'))
    monkeypatch.undo()
    prepare(three, tmp_path / 'out', recipe('lmdb'))
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_a_source_that_disappears(tmp_path, three, monkeypatch):
    """As with a disk that is unplugged: not left out as a damaged one is, and the command goes on when it is back."""
    seen = []
    original = cut._write_frame

    def pulling(frame, targets, cutting):
        original(frame, targets, cutting)
        seen.append(targets)
        if len(seen) == 5:
            three['scan1'].rename(tmp_path / 'gone')

    monkeypatch.setattr(cut, '_write_frame', pulling)
    with pytest.raises(
        UserError, match='scan1: has changed or disappeared .*; the finished clips are kept in .*the same'
    ):
        prepare(three, tmp_path / 'out', recipe(), workers=1)
    with pytest.raises(UserError, match='scan1: cannot be read'):
        prepare(three, tmp_path / 'out', recipe(), workers=1)
    (tmp_path / 'gone').rename(three['scan1'])
    prepare(three, tmp_path / 'out', recipe(), workers=1)
    prepare(three, tmp_path / 'whole', recipe())
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_two_writers(tmp_path, three):
    """The second is refused while the first one runs, and changes nothing."""
    with locked(tmp_path / 'out' / '.partial'):
        with pytest.raises(UserError, match='out: another run is preparing this data set'):
            prepare(three, tmp_path / 'out', recipe())
        assert [path.name for path in (tmp_path / 'out').rglob('*')] == ['.partial', 'lock']
    prepare(three, tmp_path / 'out', recipe())


def test_unwritable_output(tmp_path, three):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='file: is a file; --output names a folder'):
        prepare(three, tmp_path / 'file', recipe())
    with pytest.raises(UserError, match='file'):
        prepare(three, tmp_path / 'file' / 'out', recipe())
    with pytest.raises(UserError, match=r'/proc/.*cannot write'):
        prepare(three, '/proc/nowhere', recipe())


def test_bad_number_of_workers(tmp_path, three):
    for workers in (0, -1):
        with pytest.raises(UserError, match=f'--workers {workers}: at least 1'):
            prepare(three, tmp_path / 'out', recipe(), workers=workers)
    assert not (tmp_path / 'out').exists()


def test_an_output_among_the_sources_is_left_alone_when_it_is_finished(tmp_path, three):
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', str(tmp_path), '--output', str(tmp_path / 'in' / 'out'), '--clip-length', '4']
    for _ in range(2):
        assert prepare_command.run(parser.parse_args([*words, '--format', 'png'])) == 0


def test_bad_recipes():
    for kwargs, words in (
        ({'length': 0}, 'at least 1'),
        ({'max_clips': 0}, 'at least 1'),
        ({'scales': (5,)}, 'scales'),
        ({'scales': (4, 4)}, 'scales'),
        ({'scales': ()}, 'scales'),
        ({'form': 'zip'}, 'zip'),
    ):
        with pytest.raises(UserError, match=words):
            recipe(**kwargs)


def test_command(tmp_path, three, capsys):
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    common = ['custom', '--source', str(tmp_path / 'in'), '--output', str(tmp_path / 'out')]
    args = parser.parse_args([*common, '--scale', '4', '2', '--clip-length', '4', '--test', 'scan1'])
    assert prepare_command.run(args) == 0
    report = capsys.readouterr().out
    assert 'train 2 sources, 4 clips, 16 frames' in report and 'test  1 sources, 2 clips' in report
    assert '3 frames are in no clip' in report
    assert (tmp_path / 'out' / 'test' / 'BIx2.lmdb' / 'data.mdb').exists()
    with pytest.raises(UserError, match='give one or the other'):
        prepare_command.run(parser.parse_args([*common, '--split', 'train=1', '--test', 'scan1']))


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_a_data_set_among_the_sources_is_left_alone(tmp_path, three, form, capsys):
    words = ['--format', form, '--clip-length', '4', '--split', 'train=1']
    inside = str(tmp_path / 'in' / 'made')
    assert cli.main(['prepare', 'custom', '--source', str(tmp_path / 'in'), '--output', inside, *words]) == 0
    capsys.readouterr()
    again = ['prepare', 'custom', '--source', str(tmp_path / 'in'), '--output', str(tmp_path / 'again'), *words]
    assert cli.main(again) == 0
    assert f'note: {inside}: is a prepared data set, not looked into' in capsys.readouterr().err
    assert len(json.loads((tmp_path / 'again' / 'manifest.json').read_bytes())['sources']) == 3


def test_dicom_files_of_a_single_frame_are_told(tmp_path, moving_frames, write_dicom, capsys):
    for patient, frames in (('one', [1, 1, 1]), ('two', [1, 4])):
        (tmp_path / 'in' / patient).mkdir(parents=True)
        for i, count in enumerate(frames):
            pixels = np.stack(moving_frames(count, 50, 70, 10 * i + len(frames)))
            write_dicom(tmp_path / 'in' / patient / f'IM{i}', pixels, 'RGB')
    words = ['prepare', 'custom', '--source', tmp_path / 'in', '--split', 'train=1', '--crop-borders']
    for length, status in ((1, 0), (5, 2)):  # the note comes before the error, too
        output = ['--output', tmp_path / f'out{length}', '--clip-length', length]
        assert cli.main([str(word) for word in (*words, *output)]) == status
        notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith('note:')]
        text = '3 DICOM files of a single frame are 3 sources; the frames of a series are not joined'
        assert notes == [f'note: {tmp_path}/in/one: {text}']


def test_a_stray_image_beside_folders_is_told(tmp_path, three, capsys):
    (tmp_path / 'in' / 'thumb.jpg').write_bytes((tmp_path / 'in' / 'scan0' / 'frame1.png').read_bytes())
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', tmp_path / 'in', '--clip-length', '4', '--split', 'train=1', '--output']
    with pytest.raises(UserError, match='no source is long enough'):
        prepare_command.run(parser.parse_args([str(word) for word in (*words, tmp_path / 'out')]))
    end = 'holds the image thumb.jpg, so it is one source; not looked into: scan0, scan1, scan2'
    assert f'note: {tmp_path}/in: {end}' in capsys.readouterr().err


def test_an_empty_folder_is_skipped_or_fatal(tmp_path, three, capsys):
    (tmp_path / 'nothing').mkdir()
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    words = ['custom', '--source', str(tmp_path / 'nothing'), str(tmp_path / 'in'), '--clip-length', '4', '--output']
    with pytest.raises(UserError, match='nothing: holds neither videos'):
        prepare_command.run(parser.parse_args([*words, str(tmp_path / 'strict'), '--strict']))
    assert not (tmp_path / 'strict').exists()
    assert prepare_command.run(parser.parse_args([*words, str(tmp_path / 'out')])) == 0
    assert f'skipped: {tmp_path}/nothing: holds neither videos' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'manifest.json').exists()
