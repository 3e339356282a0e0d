"""HyperKvasir, LDPolypVideo, EndoVis18 and Cataract-101 in miniature, as their owners publish them."""

import argparse
import hashlib
import json
import os
import shutil
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import yaml

from basicsr_ssm.clips import merge, prepare_command
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.medical import cataract101, endovis18, hyperkvasir, ldpolyp
from basicsr_ssm.clips.medical.area import area_mean
from basicsr_ssm.clips.medical.cataract101 import Cataract101Numbers, find_cataract101
from basicsr_ssm.clips.medical.clip_recipe import ClipRecipe
from basicsr_ssm.clips.medical.command import draw_splits, run_medical
from basicsr_ssm.clips.medical.endovis18 import EndoVis18Numbers, find_endovis18
from basicsr_ssm.clips.medical.fitted_source import FittedSource, centred_window
from basicsr_ssm.clips.medical.found import Plan, runs_of, starts_in
from basicsr_ssm.clips.medical.hyperkvasir import HyperKvasirNumbers, find_hyperkvasir
from basicsr_ssm.clips.medical.ldpolyp import LDPolypNumbers, find_ldpolyp
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.clips.verify.stored import open_stored
from basicsr_ssm.clips.verify.verify import verify
from basicsr_ssm.data import MedicalClipDataset, MedicalClipTestDataset
from basicsr_ssm.errors import UserError
from basicsr_ssm.options.yaml_file import read_options

SIZE = (16, 24)
SMALL = {
    'hyperkvasir': HyperKvasirNumbers(videos=(4,), size=SIZE),
    'ldpolyp': LDPolypNumbers(train=3, test=2, frames=40, size=SIZE),
    'endovis18': EndoVis18Numbers(train=(1, 2, 5), test=(1,), train_frames=7, test_frames=(8, 9), size=SIZE),
    'cataract101': Cataract101Numbers(videos=3, size=SIZE),
}
FIND = {
    'hyperkvasir': find_hyperkvasir,
    'ldpolyp': find_ldpolyp,
    'endovis18': find_endovis18,
    'cataract101': find_cataract101,
}
MODULES = {'hyperkvasir': hyperkvasir, 'ldpolyp': ldpolyp, 'endovis18': endovis18, 'cataract101': cataract101}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Flushing all disks of a busy machine takes seconds."""
    monkeypatch.setattr(os, 'sync', lambda: None)


@pytest.fixture
def trees(tmp_path, moving_frames, write_video):
    """trees(kind) → the folder of a small data set."""

    def images(folder, names, seed, h=16, w=24):
        folder.mkdir(parents=True)
        for name, frame in zip(names, moving_frames(len(names), h, w, seed), strict=True):
            cv2.imwrite(str(folder / name), frame)

    def make_hyperkvasir(root):
        top = root / 'labeled-videos'
        places = ('lower-gi-tract/pathological-findings/polyps', 'upper-gi-tract/anatomical-landmarks/z-line')
        sizes = ((16, 24), (16, 24), (40, 48), (20, 36))
        names = [f'7b{i}-e{i}' for i in range(4)]
        for i, (name, (h, w)) in enumerate(zip(names, sizes, strict=True)):
            path = top / places[i % 2] / f'{name}.avi'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, moving_frames(11, h, w, seed=i), 'mpeg4', 'yuv420p', {'qscale': '2'})
        lines = ['Video file;Organ;Finding 1;Finding 2', *(f'{name};Lower GI;Polyps;' for name in names)]
        (top / 'video-labels.csv').write_text('\n'.join(lines) + '\n')

    def make_ldpolyp(root):
        for i, (part, video) in enumerate((('TrainValid', 1), ('TrainValid', 2), ('TrainValid', 10))):
            images(root / part / 'Images' / str(video), [f'{n:04d}.jpg' for n in range(1, 9)], i)
        for i, video in enumerate((101, 102)):
            images(root / 'Test' / 'Images' / str(video), [f'{n:04d}.jpg' for n in range(1, 9)], 10 + i)
        (root / 'Test' / 'Annotations').mkdir()

    def make_endovis18(root):
        one = root / 'miccai_challenge_2018_release_1'
        places = {one / 'seq_1': 7, one / 'seq_2': 7, root / 'miccai_challenge_release_2' / 'seq_5': 7}
        places[root / 'test_data' / 'seq_1'] = 8
        for i, (place, count) in enumerate(places.items()):
            images(place / 'left_frames', [f'frame{n:03d}.png' for n in range(count)], i)
            images(place / 'right_frames', [f'frame{n:03d}.png' for n in range(count)], 10 + i)
            (place / 'left_frames' / '._frame000.png').write_bytes(b'shadow')
        shutil.copytree(one, root / '__MACOSX' / one.name)

    def make_cataract101(root):
        (root / 'videos').mkdir(parents=True)
        for i, case in enumerate((269, 270, 1001)):
            write_video(root / 'videos' / f'case_{case}.mp4', moving_frames(9, *SIZE, seed=i))
        lines = [f'{case};9;25;1;2' for case in (269, 270, 1001)]
        (root / 'videos.csv').write_text('\n'.join(['VideoID;Frames;FPS;Surgeon;Experience', *lines]) + '\n')

    makers = {
        'hyperkvasir': make_hyperkvasir,
        'ldpolyp': make_ldpolyp,
        'endovis18': make_endovis18,
        'cataract101': make_cataract101,
    }

    def make(kind):
        root = tmp_path / 'published' / kind
        makers[kind](root)
        return root

    return make


def arguments(kind, root, out, *more):
    parser = argparse.ArgumentParser()
    MODULES[kind].add_arguments(parser)
    return parser.parse_args(['--source', str(root), '--output', str(out), '--workers', '2', *more])


def make(kind, root, out, *more):
    """`prepare kind` with small expectations and, unless a recipe says so, short clips; small frames look like cuts."""
    cut = [] if '--recipe' in more else ['--clip-length', '3', '--stride', '3', '--cuts', 'ignore']
    return run_medical(arguments(kind, root, out, *cut, *more), FIND[kind](root, expected=SMALL[kind]))


def tree(folder, leave_out=('manifest.json',)):
    paths = (p for p in sorted(folder.rglob('*')) if p.is_file() and p.name not in leave_out)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def frames_of(folder):
    """Key → frame of an LMDB."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {k.decode(): cv2.imdecode(np.frombuffer(v, np.uint8), 1)[..., ::-1] for k, v in transaction.cursor()}


def manifest_of(out):
    return json.loads((out / 'manifest.json').read_bytes())


# ------------------------------------------------------------ what is found


@pytest.mark.parametrize('kind', FIND)
def test_a_complete_tree_has_no_faults(kind, trees):
    found = FIND[kind](trees(kind), expected=SMALL[kind])
    assert not found.faults and not found.extra
    assert found.plan.size == SIZE and found.kind == kind


@pytest.mark.parametrize(
    ('kind', 'name'), [('hyperkvasir', 'labeled-videos'), ('ldpolyp', 'LDPolypVideo'), ('cataract101', 'cataract-101')]
)
def test_the_folder_or_the_one_above_may_be_given(kind, name, trees):
    root = trees(kind)
    sources = FIND[kind](root, expected=SMALL[kind]).sources.keys()
    inside = root / name if kind == 'hyperkvasir' else root.rename(root.parent / name)
    for place in (inside, inside.parent):
        found = FIND[kind](place, expected=SMALL[kind])
        assert found.sources.keys() == sources and not found.faults and found.root == inside
    renamed = inside.rename(inside.with_name('other'))
    assert FIND[kind](renamed, expected=SMALL[kind]).root == renamed


def test_published_numbers():
    assert HyperKvasirNumbers() == HyperKvasirNumbers((373, 374), (576, 720))
    assert LDPolypNumbers() == LDPolypNumbers(100, 60, 40266, (480, 560))
    assert len(EndoVis18Numbers().train) == 15 and 8 not in EndoVis18Numbers().train
    assert (EndoVis18Numbers().train_frames, EndoVis18Numbers().size) == (149, (1024, 1280))
    assert Cataract101Numbers() == Cataract101Numbers(101, (540, 720))


def test_hyperkvasir_names_what_is_missing_and_extra(trees):
    root = trees('hyperkvasir')
    place = root / 'labeled-videos/lower-gi-tract/pathological-findings/polyps'
    shutil.copy(place / '7b0-e0.avi', place / 'stray.avi')
    (place / '7b2-e2.avi').unlink()
    found = find_hyperkvasir(root, SMALL['hyperkvasir'])
    assert '1 of 4 missing (7b2-e2)' in found.faults['videos of video-labels.csv'] and len(found.faults) == 1
    assert 'stray' in found.extra[0]
    (root / 'labeled-videos/video-labels.csv').unlink()
    assert 'no such file' in find_hyperkvasir(root, SMALL['hyperkvasir']).faults['video-labels.csv']
    assert find_hyperkvasir(root / 'labeled-videos', SMALL['hyperkvasir']).sources == found.sources
    (root / 'labeled-videos/video-labels.csv').write_text('a,b\n1,2\n')
    with pytest.raises(UserError, match='Video file'):
        find_hyperkvasir(root, SMALL['hyperkvasir'])


def test_the_same_video_name_twice_is_a_fault(trees):
    root = trees('hyperkvasir')
    top = root / 'labeled-videos'
    shutil.copy(top / 'lower-gi-tract/pathological-findings/polyps/7b0-e0.avi', top / '7b0-e0.avi')
    assert 'another 7b0-e0' in find_hyperkvasir(root, SMALL['hyperkvasir']).faults['7b0-e0']


def test_ldpolyp_gaps_and_missing_parts(trees):
    root = trees('ldpolyp')
    (root / 'TrainValid/Images/2/0005.jpg').unlink()
    (root / 'TrainValid/Images/2/0009.jpg').write_bytes((root / 'TrainValid/Images/2/0008.jpg').read_bytes())
    found = find_ldpolyp(root, expected=SMALL['ldpolyp'])
    assert found.runs == {'trainvalid_2': [range(0, 4), range(4, 8)]} and '1 gaps' in found.extra[0]
    (root / 'TrainValid/Images/2/0009.jpg').unlink()
    assert '39 frames, published are 40' in find_ldpolyp(root, expected=SMALL['ldpolyp']).faults['frames']
    shutil.rmtree(root / 'Test')
    assert 'no such folder' in find_ldpolyp(root, expected=SMALL['ldpolyp']).faults['Test']


def test_ldpolyp_unlabelled_videos_are_for_training(trees, tmp_path, moving_frames, write_video):
    root, more = trees('ldpolyp'), tmp_path / 'more'
    more.mkdir()
    write_video(more / 'a.mp4', moving_frames(4, *SIZE, seed=50))
    found = find_ldpolyp(root, more, SMALL['ldpolyp'])
    assert found.fixed['unlabelled_a'] == 'train' and found.sources['unlabelled_a'] == more / 'a.mp4'


def test_endovis18_names_what_is_missing_and_extra(trees):
    root = trees('endovis18')
    found = find_endovis18(root, SMALL['endovis18'])
    assert list(found.sources) == ['seq_1', 'seq_2', 'seq_5', 'test_seq_1'] and found.fixed == {'test_seq_1': 'test'}
    (root / 'miccai_challenge_release_2/seq_5/left_frames/frame003.png').unlink()
    shutil.copytree(root / 'test_data/seq_1', root / 'seq_8')
    (root / 'miccai_challenge_2018_release_1/seq_2').rename(root / 'elsewhere')
    found = find_endovis18(root, SMALL['endovis18'])
    assert '6 frames, with 1 gaps, published are 7' in found.faults['seq_5']
    assert '1 of 3 sequences missing (seq_2)' in found.faults['training release'] and len(found.faults) == 2
    assert 'seq_8: no such sequence' in found.extra[0]


def test_endovis18_as_its_archives_unpack(trees):
    """Folders within folders of the same name, and corrected labels beside them."""
    root = trees('endovis18')
    (root / 'nested/test_data/seq_1-20181014T000000Z-001').mkdir(parents=True)
    (root / 'test_data/seq_1').rename(root / 'nested/test_data/seq_1-20181014T000000Z-001/seq_1')
    (root / 'test_data').rmdir()
    (root / 'nested').rename(root / 'test_data')
    (root / 'repairs/repairs').mkdir(parents=True)
    (root / 'repairs/repairs/seq_1_frame042.png').touch()
    found = find_endovis18(root, SMALL['endovis18'])
    assert not found.faults and not found.extra and found.fixed == {'test_seq_1': 'test'}


def test_cataract101_names_what_is_missing_and_extra(trees):
    root = trees('cataract101')
    (root / 'videos/case_270.mp4').rename(root / 'videos/case_271.mp4')
    (root / 'videos/notes.txt').write_text('')
    found = find_cataract101(root, SMALL['cataract101'])
    assert '1 of 3 missing (case_270)' in found.faults['videos of videos.csv']
    assert any('case_271' in extra for extra in found.extra) and any('notes.txt' in extra for extra in found.extra)
    (root / 'videos.csv').write_text('x\ny\n')
    with pytest.raises(UserError, match='VideoID'):
        find_cataract101(root, SMALL['cataract101'])


@pytest.mark.parametrize('kind', FIND)
def test_an_empty_folder_is_an_error(kind, tmp_path):
    with pytest.raises(UserError, match='not as published'):
        make(kind, tmp_path, tmp_path / 'out')
    with pytest.raises(UserError, match='holds nothing of'):
        make(kind, tmp_path, tmp_path / 'out', '--skip-missing')
    assert not (tmp_path / 'out').exists()


# ------------------------------------------------------------ clips


@pytest.mark.parametrize('kind', FIND)
def test_the_option_files_fit(kind, trees, tmp_path, monkeypatch):
    """From the owners' tree to the data sets that options/train and options/test name, at every scale they ask for."""
    options = Path(__file__).resolve().parents[2] / 'options'
    files = sorted(p for part in ('train', 'test') for p in (options / part / 'MedVSR').glob(f'medvsr_{kind}_*.yml'))
    assert len(files) >= 2
    out = tmp_path / 'datasets' / kind
    split = [] if kind in ('ldpolyp', 'endovis18') else ['--split', 'train=0.34,val=0.33,test=0.33']
    assert make(kind, trees(kind), out, '--scale', '2', '4', '--masks', *split) == 0
    monkeypatch.chdir(tmp_path)
    for file in files:
        opt = read_options(file)
        for name, dataset in opt['datasets'].items():
            if opt['scale'] == 6:
                assert Path(dataset['dataroot_gt']).is_dir() and dataset['dataroot_lq'].endswith('BIx6.lmdb')
                continue
            common = {**dataset, 'scale': opt['scale'], 'phase': name}
            if name == 'train':
                loaded = MedicalClipDataset({**common, 'num_frame': 2, 'gt_size': 8})
                assert loaded[0]['gt'].shape == (2, 3, 8, 8)
            else:
                loaded = MedicalClipTestDataset(common)
                assert loaded[0]['gt'].shape == (3, 3, *SIZE)
                assert loaded[0]['lq'].shape == (3, 3, *(n // opt['scale'] for n in SIZE))


def test_sizes_splits_and_low_resolution(trees, tmp_path):
    out = tmp_path / 'out'
    assert make('hyperkvasir', trees('hyperkvasir'), out, '--max-clips', '2') == 0
    manifest = manifest_of(out)
    assert {tuple(clip['size']) for clip in manifest['clips']} == {SIZE}
    assert [c['first_frame'] for c in manifest['clips'] if c['source'] == '7b2-e2'] == [0, 3]
    by_split = {clip['source']: clip['split'] for clip in manifest['clips']}
    assert sorted(by_split.values()) == ['test', 'train', 'train', 'val']
    gt, lq = (frames_of(out / 'train' / f'{kind}.lmdb') for kind in ('GT', 'BIx4'))
    assert gt.keys() == lq.keys() and len(gt) == 12
    assert all((lq[key] == imresize_bicubic(gt[key], 4)).all() for key in gt)


def test_small_videos_are_left_out_and_reported(trees, tmp_path, capsys, moving_frames, write_video):
    root = trees('cataract101')
    for case in (269, 270, 1001):  # whichever it is, no split is left without a clip
        out = tmp_path / f'out{case}'
        whole = (root / f'videos/case_{case}.mp4').read_bytes()
        write_video(root / f'videos/case_{case}.mp4', moving_frames(9, 14, 24))
        assert make('cataract101', root, out, '--split', 'train=0.5,test=0.5') == 0
        assert f'case_{case}.mp4: is 24x14 (width x height), too small for 24x16' in capsys.readouterr().out
        assert {clip['split'] for clip in manifest_of(out)['clips']} == {'train', 'test'}
        (root / f'videos/case_{case}.mp4').write_bytes(whole)


def test_why_too_few_sources_are_left_is_told(trees, tmp_path, capsys):
    root = trees('cataract101')
    for case in (269, 270):
        (root / f'videos/case_{case}.mp4').write_bytes(b'no video' * 100)
    with pytest.raises(UserError, match='there is 1 that can be used'):
        make('cataract101', root, tmp_path / 'out', '--split', 'train=0.5,test=0.5')
    told = capsys.readouterr().err
    assert all(f'skipped: {root}/videos/case_{case}.mp4: not a video' in told for case in (269, 270))


def test_missing_parts_stop_or_are_skipped(trees, tmp_path):
    root = trees('endovis18')
    (root / 'miccai_challenge_release_2/seq_5/left_frames/frame003.png').unlink()
    with pytest.raises(UserError, match='--skip-missing'):
        make('endovis18', root, tmp_path / 'out')
    assert make('endovis18', root, tmp_path / 'out', '--skip-missing') == 0
    assert {c['source'] for c in manifest_of(tmp_path / 'out')['clips']} == {'seq_1', 'seq_2', 'test_seq_1'}


def test_owners_test_split_is_kept_and_the_rest_drawn(trees):
    found = find_ldpolyp(trees('ldpolyp'), expected=SMALL['ldpolyp'])
    lists = draw_splits(found, None, 0).lists
    assert lists['test'] == ('test_101', 'test_102') and len(lists['val']) == 1 and len(lists['train']) == 2
    assert {draw_splits(found, None, seed).lists['val'] for seed in range(9)} != {lists['val']}
    with pytest.raises(UserError, match='test split of its own'):
        draw_splits(found, 'train=0.5,test=0.5', 0)


def test_no_clip_spans_a_gap(trees, tmp_path):
    root = trees('ldpolyp')
    (root / 'TrainValid/Images/2/0005.jpg').rename(root / 'TrainValid/Images/2/0020.jpg')
    make('ldpolyp', root, tmp_path / 'out')
    first = [c['first_frame'] for c in manifest_of(tmp_path / 'out')['clips'] if c['source'] == 'trainvalid_2']
    assert first == [0, 4]  # frames 1-4, 6-8, 20
    shutil.rmtree(root / 'TrainValid/Images/2')
    (root / 'TrainValid/Images/2').mkdir()
    for n in range(0, 20, 2):
        shutil.copy(root / 'TrainValid/Images/1/0001.jpg', root / f'TrainValid/Images/2/{n:04d}.jpg')
    make('ldpolyp', root, tmp_path / 'none', '--skip-missing', '--split', 'train=1')
    assert 'trainvalid_2' not in {c['source'] for c in manifest_of(tmp_path / 'none')['clips']}


@pytest.mark.parametrize(
    ('option', 'repeated', 'damaged', 'expected'),
    [
        (('--duplicates', 'drop'), [3], [], [5]),  # the first clip would have to go on in the next run
        (('--damaged', 'avoid'), [], [2], [5]),
        (('--damaged', 'avoid'), [], [2, 3, 4], [5]),
        (('--damaged', 'avoid'), [], [1], [2, 5]),
    ],
)
def test_no_clip_spans_a_gap_where_frames_are_left_out(trees, tmp_path, option, repeated, damaged, expected):
    root = trees('ldpolyp')
    video = root / 'TrainValid/Images/2'
    files = [video / f'{n:04d}.jpg' for n in (1, 2, 11, 12, 13, 21, 22, 23)]
    for n, file in reversed(list(enumerate(files, 1))):
        (video / f'{n:04d}.jpg').rename(file)
    for i in repeated:
        shutil.copy(files[i - 1], files[i])
    for i in damaged:
        files[i].write_bytes(files[i].read_bytes()[:200])
    make('ldpolyp', root, tmp_path / 'one', *option)
    clips = [clip for clip in manifest_of(tmp_path / 'one')['clips'] if clip['source'] == 'trainvalid_2']
    assert [clip['first_frame'] for clip in clips] == expected and not any('left_out' in clip for clip in clips)
    make('ldpolyp', root, tmp_path / 'two', '--recipe', str(tmp_path / 'one/recipe.yml'))
    assert tree(tmp_path / 'one') == tree(tmp_path / 'two')


def test_starts():
    plan = Plan(SIZE, stride=4, max_clips=3)
    assert starts_in([range(0, 7), range(7, 20)], 3, plan) == (0, 4, 7)
    assert starts_in([range(0, 2)], 3, plan) == ()


def test_runs(tmp_path):
    for name in ('a1.png', 'a2.png', 'a4.png', 'a10.png', 'a11.png'):
        (tmp_path / name).write_bytes(b'')
    assert runs_of(tmp_path) == [range(0, 2), range(2, 3), range(3, 5)]
    (tmp_path / 'b.png').write_bytes(b'')
    assert runs_of(tmp_path) == [range(0, 6)]


# ------------------------------------------------------------ recipes


@pytest.mark.parametrize('kind', ['hyperkvasir', 'ldpolyp'])
def test_a_recipe_given_back_makes_the_same_bytes(kind, trees, tmp_path):
    root = trees(kind)
    if kind == 'ldpolyp':
        (root / 'TrainValid/Images/2/0005.jpg').rename(root / 'TrainValid/Images/2/0020.jpg')
    make(kind, root, tmp_path / 'one', '--seed', '3', '--max-clips', '2')
    moved = tmp_path / 'elsewhere'
    root.rename(moved)
    make(kind, moved, tmp_path / 'two', '--recipe', str(tmp_path / 'one/recipe.yml'))
    one, two = tree(tmp_path / 'one'), tree(tmp_path / 'two')
    assert one == two and 'recipe.yml' in one and 'train/GT.lmdb/data.mdb' in one
    clips = [manifest_of(tmp_path / name)['clips'] for name in ('one', 'two')]
    assert clips[0] == clips[1]


def test_recipe_file(trees, tmp_path):
    make('cataract101', trees('cataract101'), tmp_path / 'out', '--seed', '5')
    text = (tmp_path / 'out/recipe.yml').read_text()
    content = yaml.safe_load(text)
    assert content['recipe'] == 1 and content['size'] == [16, 24] and content['seed'] == 5
    entry = content['sources']['case_269']
    assert entry['file'] == 'videos/case_269.mp4' and entry['starts'] == [0, 3, 6] and len(entry['sha256']) == 64
    assert ClipRecipe.read(tmp_path / 'out/recipe.yml').text() == text


def test_what_was_made_verifies(trees, tmp_path):
    make('hyperkvasir', trees('hyperkvasir'), tmp_path / 'out', '--format', 'png', '--scale', '2', '4')
    clips, findings = verify(open_stored(tmp_path / 'out'), workers=1, progress=False)
    assert not findings.failed and not findings.not_done and len(clips) == 12


def test_a_second_run_only_restores_the_recipe(trees, tmp_path, monkeypatch):
    """As after a kill between the data set and its recipe."""
    root, out = trees('cataract101'), tmp_path / 'out'
    make('cataract101', root, out)
    before = tree(out)
    (out / 'recipe.yml').unlink()
    monkeypatch.setattr('basicsr_ssm.clips.cut_sources.cut_source', None)  # nothing is cut
    make('cataract101', root, out)
    assert tree(out) == before
    with pytest.raises(UserError, match='with other settings'):
        make('cataract101', root, out, '--seed', '7')


@pytest.mark.parametrize('kind', FIND)
def test_shards_make_the_same_data_set_and_recipe(kind, trees, tmp_path):
    root = trees(kind)
    if kind == 'ldpolyp':
        (root / 'TrainValid/Images/2/0005.jpg').rename(root / 'TrainValid/Images/2/0020.jpg')
    make(kind, root, tmp_path / 'whole')
    for number in (1, 2):
        make(kind, root, tmp_path / 'out', '--shard', f'{number}/2')
        assert not (tmp_path / 'out/recipe.yml').exists()
    merge.run(argparse.Namespace(output=tmp_path / 'out', strict=False, workers=1))
    assert tree(tmp_path / 'out', ()) == tree(tmp_path / 'whole', ())
    for number in (1, 2):
        make(kind, root, tmp_path / 'again', '--shard', f'{number}/2', '--recipe', str(tmp_path / 'out/recipe.yml'))
    merge.run(argparse.Namespace(output=tmp_path / 'again', strict=False, workers=1))
    assert tree(tmp_path / 'again') == tree(tmp_path / 'whole')


def test_recordings_are_treated_as_the_recipe_says(trees, tmp_path):
    root = trees('cataract101')
    make('cataract101', root, tmp_path / 'one', '--blank', '0,0,8,8', '--degradation', 'bicubic', 'bd')
    gt = frames_of(tmp_path / 'one/train/GT.lmdb')
    assert all((frame[:8, :8] == 0).all() for frame in gt.values())
    recipe = ('--recipe', str(tmp_path / 'one/recipe.yml'))
    make('cataract101', root, tmp_path / 'two', *recipe)
    assert tree(tmp_path / 'one') == tree(tmp_path / 'two') and (tmp_path / 'two/train/BDx4.lmdb').is_dir()
    with pytest.raises(UserError, match='how recordings are treated'):
        make('cataract101', root, tmp_path / 'three', *recipe, '--blank', '0,0,4,4')


def test_a_listed_clip_with_a_cut_is_not_made_but_stays_listed(trees, tmp_path, moving_frames, write_video, capsys):
    root = trees('cataract101')
    make('cataract101', root, tmp_path / 'out')
    dark, light = ([np.full((*SIZE, 3), level, np.uint8)] * 6 for level in (20, 200))
    digest_of = write_video(root / 'videos/case_270.mp4', dark + light)
    content = yaml.safe_load((tmp_path / 'out/recipe.yml').read_text())
    entry = content['sources']['case_270']
    entry['starts'], entry['sha256'] = [0, 4, 8], hashlib.sha256(digest_of.read_bytes()).hexdigest()
    content['footage']['cuts'] = 'avoid'
    content['sources'] = {'case_270': {**entry, 'split': 'train'}}
    (tmp_path / 'mine.yml').write_text(yaml.safe_dump(content))
    make('cataract101', root, tmp_path / 'mine', '--recipe', str(tmp_path / 'mine.yml'))
    assert [clip['name'] for clip in manifest_of(tmp_path / 'mine')['clips']] == ['case_270_0000', 'case_270_0002']
    assert '1 clips of the recipe are not there' in capsys.readouterr().out
    again = ('--recipe', str(tmp_path / 'mine/recipe.yml'))
    make('cataract101', root, tmp_path / 'again', *again)
    assert tree(tmp_path / 'mine') == tree(tmp_path / 'again')


def test_a_recipe_may_choose_clips(trees, tmp_path):
    root = trees('cataract101')
    make('cataract101', root, tmp_path / 'out')
    content = yaml.safe_load((tmp_path / 'out/recipe.yml').read_text())
    kept = {name: {**entry, 'starts': [1, 2, 5]} for name, entry in content['sources'].items() if name != 'case_270'}
    kept['case_269']['split'], kept['case_1001']['split'] = 'train', 'test'
    recipe = tmp_path / 'mine.yml'
    recipe.write_text(yaml.safe_dump({**content, 'sources': kept}))
    assert make('cataract101', root, tmp_path / 'mine', '--recipe', str(recipe), '--scale', '2') == 0
    frames = list(open_source(root / 'videos/case_269.mp4').frames())
    gt = frames_of(tmp_path / 'mine/train/GT.lmdb')
    assert (gt['case_269_0001/00000002'] == frames[4]).all() and len(gt) == 9
    assert sorted(p.name for p in (tmp_path / 'mine/test').iterdir()) == ['BIx2.lmdb', 'GT.lmdb', 'meta_info.txt']


def test_recipes_that_do_not_fit(trees, tmp_path, moving_frames, write_video):
    root = trees('cataract101')
    make('cataract101', root, tmp_path / 'out')
    recipe = tmp_path / 'out/recipe.yml'
    again = ('--recipe', str(recipe))
    with pytest.raises(UserError, match='--seed: the recipe says it already'):
        make('cataract101', root, tmp_path / 'x', *again, '--seed', '1')
    with pytest.raises(UserError, match='recipe for cataract101, not for ldpolyp'):
        make('ldpolyp', trees('ldpolyp'), tmp_path / 'x', *again)
    write_video(root / 'videos/case_270.mp4', moving_frames(9, *SIZE, seed=77))
    with pytest.raises(UserError, match='case_270.mp4.* has another content'):
        make('cataract101', root, tmp_path / 'x', *again)
    (root / 'videos/case_270.mp4').unlink()
    with pytest.raises(UserError, match='1 sources of the recipe are missing, first videos/case_270.mp4'):
        make('cataract101', root, tmp_path / 'x', *again)
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda text: 'a: [', 'is not YAML'),
        (lambda text: text.replace('recipe: 1', 'recipe: 2'), 'version 1'),
        (lambda text: text.replace('never enlarged', 'enlarged'), 'unknown here'),
        (lambda text: text.replace('clip_length: 3', ''), 'clip_length'),
        (lambda text: text.replace('[0, 3, 6]', '[3, 0]'), 'do not rise'),
        (lambda text: text.replace('split: val', 'split: dev'), 'no split dev'),
    ],
)
def test_broken_recipes(change, message, trees, tmp_path):
    make('cataract101', trees('cataract101'), tmp_path / 'out')
    text = (tmp_path / 'out/recipe.yml').read_text()
    broken = tmp_path / 'broken.yml'
    broken.write_text(change(text))
    with pytest.raises(UserError, match=message):
        ClipRecipe.read(broken)
    with pytest.raises(UserError, match='cannot be read'):
        ClipRecipe.read(tmp_path / 'none.yml')


# ------------------------------------------------------------ sizes


def naive_area_mean(frame, size):
    """By repeating every pixel until the areas are whole."""
    h, w = size
    big = frame.repeat(h, 0).repeat(w, 1).astype(np.int64)
    big = big.reshape(h, frame.shape[0], w, frame.shape[1], -1)
    sums, count = big.sum((1, 3)), frame.shape[0] * frame.shape[1]
    return ((2 * sums + count) // (2 * count)).astype(np.uint8)


@pytest.mark.parametrize('size', [(7, 9), (7, 5), (3, 9), (4, 6), (1, 1), (6, 8), (5, 7)])
def test_area_mean_is_exact(size):
    frame = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    assert (area_mean(frame, size) == naive_area_mean(frame, size)).all()


def test_area_mean_of_large_frames():
    white = np.full((2000, 2300, 1), 255, np.uint8)
    assert (area_mean(white, (576, 720)) == 255).all()
    ramp = np.random.default_rng(1).integers(0, 256, (60, 82, 3), dtype=np.uint8)
    assert (area_mean(ramp, (30, 41)) == naive_area_mean(ramp, (30, 41))).all()
    for bad in ((0, 5), (8, 9)):
        with pytest.raises(ValueError, match='shrink'):
            area_mean(np.zeros((7, 9, 3), np.uint8), bad)
    with pytest.raises(ValueError, match='uint8'):
        area_mean(np.zeros((7, 9, 3)), (3, 3))


@pytest.mark.parametrize(
    ('size', 'aspect', 'window'),
    [
        ((576, 720), (576, 720), (0, 576, 0, 720)),
        ((1080, 1920), (576, 720), (0, 1080, 285, 1635)),
        ((1072, 1024), (576, 720), (126, 945, 0, 1024)),
    ],
)
def test_centred_window(size, aspect, window):
    rows, columns = centred_window(size, aspect)
    assert (rows.start, rows.stop, columns.start, columns.stop) == window


def test_fitted_source(tmp_path, moving_frames, write_folder):
    frames = moving_frames(2, 40, 50)
    fitted = FittedSource(open_source(write_folder(tmp_path / 'clip', frames)), (16, 24))
    got = list(fitted.frames())
    assert fitted.size == (16, 24) and fitted.frame_count == 2
    assert (got[1] == naive_area_mean(frames[1][3:36], (16, 24))).all()


def test_masks_are_fitted_with_their_frames(tmp_path, moving_frames, write_folder):
    source = open_source(write_folder(tmp_path / 'clip', moving_frames(1, 32, 48)))
    source.mask = np.ones((32, 48), bool)
    source.mask[:, :5] = False
    fitted = FittedSource(source, (16, 24))
    assert fitted.mask.shape == (16, 24) and (fitted.mask.argmax(1) == 3).all() and fitted.mask.sum() == 16 * 21


def test_the_command_is_there(trees, tmp_path):
    parser = argparse.ArgumentParser()
    prepare_command.add_arguments(parser)
    root = trees('cataract101')
    args = parser.parse_args(['cataract101', '--source', str(root), '--output', str(tmp_path / 'out')])
    with pytest.raises(UserError, match='3 videos, published are 101'):
        prepare_command.run(args)
