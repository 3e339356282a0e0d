"""REDS, Vimeo-90K and Vid4 as their owners publish them, only far smaller, into what the data sets read."""

import argparse
import json
import os
import shutil

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.utils import FileClient
from killed_runs import killed_at, tree

from basicsr_ssm.clips import prepare_command, prepare_published
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.prepare_published import prepare_published as prepare
from basicsr_ssm.clips.published import fault_of_png
from basicsr_ssm.clips.published_shards import merge_published_shards, prepare_published_shard
from basicsr_ssm.clips.reds import RedsNumbers, find_reds
from basicsr_ssm.clips.shard import Shard
from basicsr_ssm.clips.vid4 import VID4, find_vid4
from basicsr_ssm.clips.vimeo90k import VimeoNumbers, find_vimeo90k
from basicsr_ssm.data import MedicalClipDataset, MedicalClipTestDataset
from basicsr_ssm.errors import UserError

SMALL_REDS = RedsNumbers(train=21, val=2, frames=3, size=(16, 24))
SMALL_VIMEO = VimeoNumbers(train=3, test=2, size=(16, 24))
SMALL_VID4 = {'calendar': (3, (16, 24)), 'walk': (2, (16, 20))}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Flushing all disks of a busy machine takes seconds."""
    monkeypatch.setattr(os, 'sync', lambda: None)


def write(path, size, seed, level=9):
    """A PNG at a compression level that this package never uses, so that re-encoded bytes differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(path), frame, [cv2.IMWRITE_PNG_COMPRESSION, level])


@pytest.fixture
def reds(tmp_path):
    """All of a small REDS, in folders train and val."""
    root, numbers, seed = tmp_path / 'REDS', SMALL_REDS, 0
    for part, count in (('train', numbers.train), ('val', numbers.val)):
        for clip in range(count):
            for frame in range(numbers.frames):
                name = f'{clip:03d}/{frame:08d}.png'
                write(root / part / f'{part}_sharp' / name, (16, 24), seed)
                write(root / part / f'{part}_sharp_bicubic' / 'X4' / name, (4, 6), 10_000 + seed)
                seed += 1
    return root


@pytest.fixture
def vimeo(tmp_path):
    root = tmp_path / 'vimeo_septuplet'
    names = ('00001/0001', '00001/0002', '00001/0266', '00002/0001', '00002/0002')
    for seed, name in enumerate(names):
        for i in range(1, 8):
            write(root / 'sequences' / name / f'im{i}.png', (16, 24), 10 * seed + i)
    (root / 'sep_trainlist.txt').write_text('00001/0001\n00001/0002\n00002/0002\n\n')
    (root / 'sep_testlist.txt').write_text('00001/0266\n00002/0001\n')
    return root


def values(folder):
    """Key → value of an LMDB."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {key.decode(): value for key, value in transaction.cursor()}


def make_reds(root, out, **options):
    return prepare(find_reds(root, expected=SMALL_REDS), out, **options)


# ------------------------------------------------------------ REDS


def test_published_partitions_of_reds(reds):
    found = find_reds(reds, expected=SMALL_REDS)
    splits = {split: [c.name for c in found.clips if c.split == split] for split in ('train', 'REDS4')}
    assert splits['REDS4'] == ['000', '011', '015', '020']
    assert len(splits['train']) == 21 + 2 - 4 and len(found.clips) == 23 and not found.faults and not found.extra
    official = find_reds(reds, 'official', expected=SMALL_REDS)
    assert [c.name for c in official.clips if c.split == 'val'] == ['021', '022']
    assert official.clips[21].gt[0] == reds / 'val' / 'val_sharp' / '000' / '00000000.png'
    assert RedsNumbers() == RedsNumbers(240, 30, 100, (720, 1280))


def test_reds_lmdb_holds_the_owners_bytes(reds, tmp_path):
    out = tmp_path / 'out'
    manifest = make_reds(reds, out)
    assert sorted(p.name for p in out.iterdir()) == ['REDS4', 'manifest.json', 'train']
    assert manifest == json.loads((out / 'manifest.json').read_bytes())
    stored = {kind: values(out / 'train' / f'{kind}.lmdb') for kind in ('GT', 'BIx4')}
    assert len(stored['GT']) == len(stored['BIx4']) == 19 * 3
    train, val = reds / 'train', reds / 'val'
    assert stored['GT']['001/00000002'] == (train / 'train_sharp/001/00000002.png').read_bytes()
    assert stored['BIx4']['001/00000002'] == (train / 'train_sharp_bicubic/X4/001/00000002.png').read_bytes()
    assert stored['GT']['022/00000000'] == (val / 'val_sharp/001/00000000.png').read_bytes()
    lines = (out / 'train' / 'GT.lmdb' / 'meta_info.txt').read_text().splitlines()
    assert lines[0] == '001/00000000.png (16,24,3) 1'
    assert (out / 'REDS4' / 'meta_info.txt').read_text().splitlines()[1] == '011 3 (16,24,3)'


def test_reds_is_read_by_the_data_sets_and_by_basicsr(reds, tmp_path):
    out = tmp_path / 'out'
    make_reds(reds, out)
    roots = {f'dataroot_{side}': str(out / 'train' / f'{kind}.lmdb') for side, kind in (('gt', 'GT'), ('lq', 'BIx4'))}
    client = FileClient('lmdb', db_paths=[roots['dataroot_lq']], client_keys=['lq'])
    assert client.get('021/00000001', 'lq')
    client.client._client['lq'].close()  # LMDB opens a database only once in a process
    common = {**roots, 'io_backend': {'type': 'lmdb'}, 'scale': 4}
    train = MedicalClipDataset({**common, 'num_frame': 2, 'gt_size': 16})
    assert len(train) == 19 * 2 and train[0]['lq'].shape == (2, 3, 4, 4)
    test = {key: path.replace('train', 'REDS4') for key, path in roots.items()}
    clips = MedicalClipTestDataset({**common, **test})
    assert [clips[i]['folder'] for i in range(len(clips))] == ['000', '011', '015', '020']
    assert clips[1]['gt'].shape == (3, 3, 16, 24)


def test_reds_lq_is_computed_where_it_is_not_given(reds, tmp_path):
    for recompute in (True, False):
        if not recompute:
            for part in ('train', 'val'):
                (reds / part / f'{part}_sharp_bicubic').rename(tmp_path / part)
        found = find_reds(reds, recompute=recompute, expected=SMALL_REDS)
        out = tmp_path / f'out{recompute}'
        manifest = prepare(found, out, form='png')
        assert manifest['settings']['lq'] == 'computed'
        gt = cv2.imread(str(reds / 'train/train_sharp/011/00000001.png'))
        lq = cv2.imread(str(out / 'REDS4/BIx4/011/00000001.png'))
        assert (lq == imresize_bicubic(gt, 4)).all()
    assert tree(tmp_path / 'outTrue') == tree(tmp_path / 'outFalse')


def test_merged_reds_is_understood(reds, tmp_path):
    make_reds(reds, tmp_path / 'one')
    root = tmp_path / 'merged'  # as BasicSR's script leaves it
    root.mkdir()
    for kind, below in (('sharp', ''), ('sharp_bicubic', 'X4')):
        (reds / 'train' / f'train_{kind}').rename(root / f'train_{kind}')
        for clip in (reds / 'val' / f'val_{kind}' / below).iterdir():
            clip.rename(root / f'train_{kind}' / below / f'{21 + int(clip.name):03d}')
    make_reds(root, tmp_path / 'two')
    assert tree(tmp_path / 'one') == tree(tmp_path / 'two')


def test_what_is_missing_from_reds_is_named(reds, tmp_path):
    sharp = reds / 'train' / 'train_sharp'
    for i in (1, 2):
        (sharp / '003' / f'{i:08d}.png').unlink()
    (reds / 'val' / 'val_sharp_bicubic' / 'X4' / '000').rename(tmp_path / 'away')
    (sharp / '300').mkdir()
    (sharp / '004' / 'extra.png').touch()
    write(sharp / '005' / '00000000.png', (16, 20), 0)
    (sharp / '006' / '00000002.png').write_bytes((sharp / '006' / '00000002.png').read_bytes()[:-20])
    found = find_reds(reds, expected=SMALL_REDS)
    assert found.extra == [f'{sharp / "004"}: extra.png', f'{sharp}: 300']
    with pytest.raises(
        UserError, match=r'(?s)003: .*2 of 3 frames missing \(00000001.png … 00000002.png\).*021: .*X4/000'
    ):
        prepare(found, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    manifest = prepare(found, tmp_path / 'out', skip_missing=True)
    reasons = {skip['name']: skip['reason'] for skip in manifest['skipped']}
    assert set(reasons) == {'003', '005', '006', '021'}
    assert 'is 20x16 (width x height), not 24x16' in reasons['005'] and 'the PNG is cut off' in reasons['006']
    assert {clip['name'] for clip in manifest['clips']}.isdisjoint(reasons)
    assert not any(key.startswith('003') for key in values(tmp_path / 'out' / 'train' / 'GT.lmdb'))
    with pytest.raises(UserError, match='is not complete'):  # damage that only reading shows
        prepare(find_reds(reds, expected=RedsNumbers(3, 0, 3, (16, 20))), tmp_path / 'other')


def test_an_empty_folder_is_not_reds(tmp_path):
    with pytest.raises(UserError, match=r'(?s)train_sharp/000: no such folder.*\n  and 13 more'):
        prepare(find_reds(tmp_path, expected=SMALL_REDS), tmp_path / 'out')
    with pytest.raises(UserError, match='no clip is complete: .*no such folder'):
        prepare(find_reds(tmp_path, expected=SMALL_REDS), tmp_path / 'out', skip_missing=True)


# ------------------------------------------------------------ Vimeo-90K


def test_vimeo_lmdb(vimeo, tmp_path):
    (vimeo / 'sep_testlist_fast.txt').write_text('00002/0001\n')
    out = tmp_path / 'out'
    manifest = prepare(find_vimeo90k(vimeo, expected=SMALL_VIMEO), out)
    stored = values(out / 'train' / 'GT.lmdb')
    assert len(stored) == 3 * 7
    path = vimeo / 'sequences/00002/0002/im4.png'
    assert stored['00002/0002/im4'] == path.read_bytes()  # BasicSR's key
    lq = cv2.imdecode(np.frombuffer(values(out / 'train/BIx4.lmdb')['00002/0002/im4'], np.uint8), cv2.IMREAD_COLOR)
    assert (lq == imresize_bicubic(cv2.imread(str(path)), 4)).all()
    assert (out / 'test' / 'meta_info.txt').read_text() == '00001/0266 7 (16,24,3)\n00002/0001 7 (16,24,3)\n'
    assert (out / 'test' / 'meta_info_fast.txt').read_text() == '00002/0001 7 (16,24,3)\n'
    assert [clip['split'] for clip in manifest['clips']] == ['train', 'train', 'test', 'test', 'train']
    roots = {'dataroot_gt': out / 'train/GT.lmdb', 'dataroot_lq': out / 'train/BIx4.lmdb'}
    opt = {**roots, 'io_backend': {'type': 'lmdb'}, 'scale': 4, 'num_frame': 7, 'gt_size': 16}
    assert len(MedicalClipDataset(opt)) == 3
    roots = {'dataroot_gt': out / 'test/GT.lmdb', 'dataroot_lq': out / 'test/BIx4.lmdb'}
    fast = {**opt, **roots, 'meta_info_file': out / 'test/meta_info_fast.txt'}
    assert MedicalClipTestDataset(fast)[0]['folder'] == '00002/0001'
    assert VimeoNumbers() == VimeoNumbers(64612, 7824, (256, 448))


def test_vimeo_with_given_lq(vimeo, tmp_path):
    for i, path in enumerate(sorted((vimeo / 'sequences').rglob('*.png'))):
        write(tmp_path / 'lr' / path.relative_to(vimeo), (4, 6), 1000 + i)
    out = tmp_path / 'out'
    manifest = prepare(find_vimeo90k(vimeo, tmp_path / 'lr', expected=SMALL_VIMEO), out, form='png')
    assert manifest['settings']['lq'] == 'published'
    name = '00001/0001/im3.png'
    assert (out / 'train/BIx4' / name).read_bytes() == (tmp_path / 'lr/sequences' / name).read_bytes()
    assert (out / 'train/GT' / name).read_bytes() == (vimeo / 'sequences' / name).read_bytes()


def test_vimeo_without_the_lq_that_is_named(vimeo, tmp_path):
    with pytest.raises(UserError, match=r'--lq .*/nowhere: no such folder$'):
        find_vimeo90k(vimeo, tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    found = find_vimeo90k(vimeo, tmp_path / 'empty')
    missing = r'lists 3 clips, .*; .*/empty/00001/0001: no such folder, or empty; .*; and 4 more$'
    with pytest.raises(UserError, match=f'no clip is complete: .*{missing}'):  # not of the lists alone
        prepare(found, tmp_path / 'out', skip_missing=True)


def test_vimeo_lists_that_are_not_the_published_ones(vimeo, tmp_path):
    (vimeo / 'sequences/00001/0002/im7.png').unlink()
    found = find_vimeo90k(vimeo)
    assert 'lists 3 clips, published are 64612' in found.faults['sep_trainlist.txt']
    assert '1 of 7 frames missing (im7.png)' in found.faults['00001/0002']
    (vimeo / 'sep_testlist.txt').write_text('00001/0001\n')
    with pytest.raises(UserError, match='00001/0001 is a clip of the other list, too'):
        find_vimeo90k(vimeo)
    (vimeo / 'sep_testlist.txt').write_text('hello\n')
    with pytest.raises(UserError, match="'hello' is not a clip"):
        find_vimeo90k(vimeo)
    (vimeo / 'sep_testlist.txt').unlink()
    with pytest.raises(UserError, match=r'sep_testlist.txt: cannot be read \(No such file'):
        find_vimeo90k(vimeo)


# ------------------------------------------------------------ Vid4


@pytest.mark.parametrize('layout', ['GT/{}', '{}/original', '{}'])
@pytest.mark.parametrize('given', [True, False])
def test_vid4(tmp_path, layout, given):
    root = tmp_path / 'Vid4'
    for name, (count, size) in SMALL_VID4.items():
        for i in range(count):
            write(root / layout.format(name) / f'Frame {i + 1:03d}.png', size, i)
            if given:
                write(root / 'BIx4' / name / f'{i:08d}.png', [n // 4 for n in size], 50 + i)
    out = tmp_path / 'out'
    manifest = prepare(find_vid4(root, expected=SMALL_VID4), out, form='png')
    assert sorted(p.name for p in out.iterdir()) == ['BIx4', 'GT', 'manifest.json', 'meta_info.txt']
    assert manifest['settings']['lq'] == ('published' if given else 'computed')
    original = root / layout.format('walk') / 'Frame 002.png'
    assert (out / 'GT/walk/Frame 002.png').read_bytes() == original.read_bytes()
    lq = cv2.imread(str(out / 'BIx4/walk/Frame 002.png'))
    wanted = root / 'BIx4/walk/00000001.png'
    assert (lq == (cv2.imread(str(wanted)) if given else imresize_bicubic(cv2.imread(str(original)), 4))).all()
    opt = {'dataroot_gt': out / 'GT', 'dataroot_lq': out / 'BIx4', 'io_backend': {'type': 'disk'}, 'scale': 4}
    assert [clip.name for clip in MedicalClipTestDataset(opt)._set.clips] == ['calendar', 'walk']


def test_vid4_with_a_clip_too_few(tmp_path):
    write(tmp_path / 'GT/walk/0.png', (480, 720), 0)
    found = find_vid4(tmp_path)
    assert '1 frames, published are 47' in found.faults['walk'] and set(found.faults) == set(VID4)
    assert all(h % 4 == w % 4 == 0 for _, (h, w) in VID4.values())


def test_frames_whose_names_do_not_sort_keep_their_order(tmp_path):
    for i in range(12):
        write(tmp_path / 'Vid4/walk' / f'{i}.png', (16, 20), i)
    prepare(find_vid4(tmp_path / 'Vid4', expected={'walk': (12, (16, 20))}), tmp_path / 'out', form='png')
    last = (tmp_path / 'out/GT/walk/00000011.png').read_bytes()
    assert last == (tmp_path / 'Vid4/walk/11.png').read_bytes()


# ------------------------------------------------------------ interrupted, changed, full


def killed_preparing(step, find, out, form, prepare=prepare):
    """Prepare in a child process that is killed before the given rename; False if it ends before."""
    return killed_at(step, lambda: prepare(find(), out, form=form, workers=1, progress=False))


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_killed_at_every_step(vimeo, tmp_path, form):
    def find():
        return find_vimeo90k(vimeo, expected=SMALL_VIMEO)

    prepare(find(), tmp_path / 'whole', form=form)
    expected = tree(tmp_path / 'whole')
    step = 1
    while killed_preparing(step, find, tmp_path / str(step), form):
        out = tmp_path / str(step)
        assert not (out / 'manifest.json').exists()
        prepare(find(), out, form=form)
        assert tree(out) == expected, f'killed before rename {step}'
        step += 1
    assert step > 15


def test_a_finished_data_set_without_a_split_is_not_called_complete(vimeo, tmp_path):
    found, out = find_vimeo90k(vimeo, expected=SMALL_VIMEO), tmp_path / 'out'
    prepare(found, out)
    shutil.rmtree(out / 'test')
    for again in (
        lambda: prepare(found, out),
        lambda: prepare_published_shard(found, out, Shard(1, 2)),
        lambda: merge_published_shards(out),
    ):
        with pytest.raises(UserError, match='is gone: test/GT.lmdb, test/BIx4.lmdb; put it back'):
            again()


def test_a_source_that_disappears_while_it_is_packed(reds, tmp_path, monkeypatch):
    make_reds(reds, tmp_path / 'whole')
    original = prepare_published.shrink_all

    def pulling(*args):
        frames = original(*args)
        (reds / 'train').rename(tmp_path / 'gone')
        return frames

    monkeypatch.setattr(prepare_published, 'shrink_all', pulling)
    with pytest.raises(UserError, match=r'train_sharp/.*\.png: cannot be read \(No such file'):
        make_reds(reds, tmp_path / 'out')
    monkeypatch.undo()
    (tmp_path / 'gone').rename(reds / 'train')
    make_reds(reds, tmp_path / 'out')
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


# ------------------------------------------------------------ shards


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_shards_make_the_bytes_of_one_run(vimeo, tmp_path, form):
    (vimeo / 'sequences/00001/0001/im3.png').unlink()
    damaged = vimeo / 'sequences/00002/0001/im2.png'
    damaged.write_bytes(damaged.read_bytes()[:-20])
    (vimeo / 'sep_testlist_fast.txt').write_text('00001/0266\n')

    def find():
        return find_vimeo90k(vimeo, expected=SMALL_VIMEO)

    prepare(find(), tmp_path / 'whole', form=form, skip_missing=True)
    out = tmp_path / 'out'
    for number in (3, 1):
        prepare_published_shard(find(), out, Shard(number, 3), form=form, skip_missing=True)
    with pytest.raises(UserError, match='of 3 shards these have not finished: 2'):
        merge_published_shards(out)
    with pytest.raises(UserError, match='begun with --shard'):
        prepare(find(), out, form=form, skip_missing=True)
    prepare_published_shard(find(), out, Shard(2, 3), form=form, skip_missing=True)
    manifest = merge_published_shards(out)
    assert [entry['name'] for entry in manifest['skipped']] == ['00001/0001', '00002/0001']
    assert tree(out) == tree(tmp_path / 'whole')
    assert prepare_published_shard(find(), out, Shard(2, 3), form=form, skip_missing=True) is None
    assert merge_published_shards(out) == manifest


def test_a_merge_of_published_shards_that_was_killed_goes_on(vimeo, tmp_path):
    def find():
        return find_vimeo90k(vimeo, expected=SMALL_VIMEO)

    prepare(find(), tmp_path / 'whole')
    step = 1
    while True:
        out = tmp_path / str(step)
        for number in (1, 2):
            prepare_published_shard(find(), out, Shard(number, 2), workers=1)
        if not killed_preparing(step, find, out, 'lmdb', lambda _, out, **__: merge_published_shards(out, workers=1)):
            break
        merge_published_shards(out)
        assert tree(out) == tree(tmp_path / 'whole'), f'killed before rename {step}'
        step += 1
    assert step > 10


def test_damage_stops_the_shard_that_sees_it(vimeo, tmp_path):
    damaged = vimeo / 'sequences/00002/0001/im2.png'
    damaged.write_bytes(damaged.read_bytes()[:-20])
    counts = []
    for number in range(1, 6):
        try:
            found = find_vimeo90k(vimeo, expected=SMALL_VIMEO)
            counts.append(prepare_published_shard(found, tmp_path / 'out', Shard(number, 5), workers=1))
        except UserError as error:
            assert 'im2.png' in str(error)
    assert counts == [1, 1, 1, 1]


def test_a_finished_data_set_is_left_alone_and_other_settings_are_refused(reds, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    first = make_reds(reds, out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    assert make_reds(reds, out) == first
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*')} == before
    with pytest.raises(UserError, match='partition: REDS4, now official'):
        prepare(find_reds(reds, 'official', expected=SMALL_REDS), out)
    write(reds / 'val/val_sharp/001/00000001.png', (16, 24), 77)
    with pytest.raises(UserError, match='source REDS has changed'):
        make_reds(reds, out)


def test_a_copy_that_a_power_cut_emptied_is_made_anew(vimeo, tmp_path, monkeypatch):
    def find():
        return find_vimeo90k(vimeo, expected=SMALL_VIMEO)

    prepare(find(), tmp_path / 'whole', form='png')
    with monkeypatch.context() as patch:
        patch.setattr(prepare_published, '_write_lists', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(find(), tmp_path / 'out', form='png')
    work = tmp_path / 'out' / '.partial'
    for path in (work / 'train/GT/00001/0001/im1.png', work / 'made/00001/0001/BIx4/im2.png'):
        path.write_bytes(b'')
    prepare(find(), tmp_path / 'out', form='png')
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_faults_of_a_png(tmp_path):
    def encoded(shape, dtype=np.uint8):
        return cv2.imencode('.png', np.zeros(shape, dtype))[1].tobytes()

    assert fault_of_png(encoded((4, 6, 3)), (4, 6)) is None
    assert fault_of_png(encoded((4, 6)), (4, 6)) is None
    assert fault_of_png(b'', (4, 6)) == 'is empty'
    assert 'not a PNG' in fault_of_png(cv2.imencode('.jpg', np.zeros((4, 6, 3), np.uint8))[1].tobytes(), (4, 6))
    assert '8-bit' in fault_of_png(encoded((4, 6, 4)), (4, 6))
    assert '8-bit' in fault_of_png(encoded((4, 6, 3), np.uint16), (4, 6))
    broken = bytearray(encoded((4, 6, 3)))
    broken[45] ^= 1
    assert 'checksum' in fault_of_png(bytes(broken), (4, 6))


def test_commands(reds, vimeo, tmp_path, capsys, monkeypatch):
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)

    def run(*args):
        return prepare_command.run(parser.parse_args([str(arg) for arg in args]))

    with pytest.raises(UserError, match=r'000: .*97 of 100 frames missing \(00000003.png … 00000099.png'):
        run('reds', '--source', reds, '--output', tmp_path / 'a')
    with pytest.raises(UserError, match='no such folder'):
        run('vid4', '--source', tmp_path / 'nowhere', '--output', tmp_path / 'a')
    for i in range(41):
        write(tmp_path / 'Vid4/GT/calendar' / f'{i:08d}.png', (576, 720), 0, level=1)
    (tmp_path / 'Vid4/GT/bus').mkdir()
    assert run('vid4', '--source', tmp_path / 'Vid4', '--output', tmp_path / 'b', '--skip-missing') == 0
    report = capsys.readouterr().out
    assert 'not part of Vid4, left alone' in report and 'bus' in report
    assert 'all   1 clips, 41 frames' in report and 'left out: walk' in report
