import logging
import random
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from basicsr.data.reds_dataset import REDSRecurrentDataset
from basicsr.data.vimeo90k_dataset import Vimeo90KRecurrentDataset
from torch.utils.data import DataLoader

from basicsr_ssm.data import MedicalClipDataset
from basicsr_ssm.data.frame_store import DatasetError
from basicsr_ssm.data.sampler import SampleIndex


class Draws:
    """A sampler of one pass in order, with draw numbers."""

    def __init__(self, dataset, first=0):
        self.indices = [SampleIndex(i, first + i) for i in range(len(dataset))]

    def __iter__(self):
        return iter(self.indices)

    def __len__(self):
        return len(self.indices)


def plain(**changes) -> dict:
    """No spatial augmentation; the patch is the whole frame."""
    return {'use_hflip': False, 'use_rot': False, 'gt_size': 24, **changes}


def numbered(make, count=10) -> dict:
    """A clip whose frame i is i everywhere, so that a sample shows which frames it took."""
    make.clip('a', count, (24, 24))
    make.frames['a'] = [np.full((24, 24, 3), i, np.uint8) for i in range(count)]
    return make.to_folders()


def taken(item) -> list[int]:
    return [round(value * 255) for value in item['gt'][:, 0, 0, 0].tolist()]


# ---------------------------------------------------------------- what a sample is


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_whole_frames_come_back_exactly(make, rgb, backend):
    make.clip('a', 4, (24, 24)).clip('b', 5, (24, 24))
    options = {**(make.to_folders() if backend == 'disk' else make.to_lmdb()), **plain()}
    dataset = MedicalClipDataset(options)
    assert len(dataset) == (4 - 2) + (5 - 2)
    item = dataset[3]  # the second window of b
    expected = rgb(make.frames['b'][1:4])
    np.testing.assert_array_equal(item['gt'].numpy(), expected)
    np.testing.assert_array_equal(item['lq'].numpy(), expected[:, :, ::2, ::2])
    assert item['key'] == 'b/00000001'
    assert item['lq'].dtype == item['gt'].dtype == torch.float32
    assert item['lq'].is_contiguous() and item['gt'].is_contiguous()


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_crop_flip_and_transpose_keep_gt_and_lq_together(make, scale):
    make.scale = scale
    dataset = MedicalClipDataset({**make.clip('a', 3, (48, 60)).to_folders(), 'gt_size': 4 * scale * 3})
    # LQ is every scale-th pixel of GT. Flipped, it is every scale-th from the other end: one of four phases each.
    kinds = Counter()
    for draw in range(64):
        item = dataset[SampleIndex(0, draw)]
        assert item['gt'].shape == (3, 3, 12 * scale, 12 * scale) and item['lq'].shape == (3, 3, 12, 12)
        ends = (0, scale - 1)
        match = [(y, x) for y in ends for x in ends if torch.equal(item['gt'][..., y::scale, x::scale], item['lq'])]
        assert len(match) == 1
        kinds[match[0]] += 1
    assert len(kinds) == 4


def test_all_eight_orientations_appear_evenly(make):
    options = {**make.clip('a', 3, (24, 24)).to_folders(), 'gt_size': 24}
    dataset = MedicalClipDataset(options)
    upright = MedicalClipDataset({**options, **plain()})[0]['gt']
    turned = [f.rot90(k, (-2, -1)) for f in (upright, upright.flip(-1)) for k in range(4)]
    seen = Counter()
    for draw in range(400):
        gt = dataset[SampleIndex(0, draw)]['gt']
        seen[next(k for k, candidate in enumerate(turned) if torch.equal(gt, candidate))] += 1
    assert len(seen) == 8 and min(seen.values()) > 25  # 50 expected, standard deviation 6.6


@pytest.mark.parametrize('use_hflip, use_rot, orientations', [(True, False, 2), (False, True, 4), (False, False, 1)])
def test_use_hflip_and_use_rot(make, use_hflip, use_rot, orientations):
    options = make.clip('a', 3, (24, 24)).to_folders()
    dataset = MedicalClipDataset({**options, 'gt_size': 24, 'use_hflip': use_hflip, 'use_rot': use_rot})
    assert len({dataset[SampleIndex(0, draw)]['gt'].numpy().tobytes() for draw in range(50)}) == orientations


def test_every_place_of_the_patch_appears(make):
    make.frames['a'] = [np.zeros((24, 32, 3), np.uint8)] * 3
    for frame in make.frames['a']:
        frame[..., 0], frame[..., 1] = np.arange(32), np.arange(24)[:, None]
    dataset = MedicalClipDataset({**make.to_folders(), **plain(gt_size=20)})
    corners = set()
    for draw in range(300):
        corner = (dataset[SampleIndex(0, draw)]['gt'][0, :, 0, 0] * 255).round().int().tolist()
        corners.add((corner[1], corner[2]))
    assert corners == {(y, x) for y in range(0, 5, 2) for x in range(0, 13, 2)}


# ---------------------------------------------------------------- which frames


def test_each_index_is_a_window_of_its_own(make):
    dataset = MedicalClipDataset({**numbered(make), **plain()})
    assert [taken(item) for item in dataset] == [[i, i + 1, i + 2] for i in range(8)]


def test_interval(make):
    dataset = MedicalClipDataset({**numbered(make), **plain(interval_list=[4])})
    assert [taken(item) for item in dataset] == [[0, 4, 8], [1, 5, 9]]


def test_several_intervals_sample_every_window_of_each(make):
    dataset = MedicalClipDataset({**numbered(make), **plain(interval_list=[1, 3])})
    assert len(dataset) == 8
    windows = Counter(tuple(taken(dataset[SampleIndex(d % 8, d)])) for d in range(800))
    assert {w for w in windows if w[1] - w[0] == 1} == {(i, i + 1, i + 2) for i in range(8)}
    wide = {w: n for w, n in windows.items() if w[1] - w[0] == 3}
    assert set(wide) == {(i, i + 3, i + 6) for i in range(4)}
    assert min(wide.values()) > 60 and max(wide.values()) < 140  # even: 100 expected


def test_random_reverse_turns_half_of_the_windows(make):
    dataset = MedicalClipDataset({**numbered(make), **plain(random_reverse=True)})
    items = [dataset[SampleIndex(2, draw)] for draw in range(200)]
    windows = Counter(tuple(taken(item)) for item in items)
    assert set(windows) == {(2, 3, 4), (4, 3, 2)} and min(windows.values()) > 70
    assert {item['key'] for item in items} == {'a/00000002'}


def test_flip_sequence_runs_back_again(make):
    options = {**make.clip('a', 4).to_folders(), 'gt_size': 8, 'num_frame': 3}
    dataset, once = MedicalClipDataset({**options, 'flip_sequence': True}), MedicalClipDataset(options)
    assert len(dataset) == len(once) == 2
    item, first_half = dataset[SampleIndex(1, 5)], once[SampleIndex(1, 5)]
    for side in ('lq', 'gt'):
        assert torch.equal(item[side], torch.cat([first_half[side], first_half[side].flip(0)]))


def test_same_samples_as_basicsr_of_vimeo(make):
    options = make.clip('00001/0001', 7, (16, 20)).to_folders(gt_name='im{}.png', lq_name='im{}.png')
    for path in sorted(make.root.rglob('im*.png'), reverse=True):  # theirs are counted from 1
        path.rename(path.with_name(f'im{int(path.stem[2:]) + 1}.png'))
    make.write_meta_info(make.root / 'meta_info.txt')
    options.update(meta_info_file=str(make.root / 'meta_info.txt'), flip_sequence=True)
    options.update(num_frame=7, gt_size=8, use_hflip=True, use_rot=True)
    ours = MedicalClipDataset({**options, 'interval_list': [1]})
    theirs = Vimeo90KRecurrentDataset({**options, 'random_reverse': False})
    for seed in range(6):
        random.seed(seed)
        random.choice([1])  # of the interval, which theirs does not draw
        expected = theirs[0]
        random.seed(seed)
        item = ours[0]
        assert item['gt'].shape[0] == 14
        assert torch.equal(item['gt'], expected['gt']) and torch.equal(item['lq'], expected['lq'])


def test_num_frame_equal_to_the_clip_and_to_one(make):
    options = numbered(make, 5)
    assert [taken(item) for item in MedicalClipDataset({**options, **plain(num_frame=5)})] == [[0, 1, 2, 3, 4]]
    assert [taken(item) for item in MedicalClipDataset({**options, **plain(num_frame=1)})] == [[0], [1], [2], [3], [4]]


def test_same_samples_as_basicsr_from_the_same_random_state(make):
    # BasicSR's data set is made for clips of 100 frames.
    options = make.clip('001', 100, (16, 20)).to_folders()
    make.write_meta_info(make.root / 'meta_info.txt')
    options.update(meta_info_file=str(make.root / 'meta_info.txt'), val_partition='REDS4', test_mode=False)
    options.update(gt_size=8, num_frame=4, interval_list=[1, 2], random_reverse=True, use_hflip=True, use_rot=True)
    ours, theirs = MedicalClipDataset(options), REDSRecurrentDataset(options)
    for index in (0, 17, 50, 92):  # starts that are valid at both intervals
        for seed in range(6):
            random.seed(seed)
            expected = theirs[index]
            random.seed(seed)
            item = ours[index]
            assert item['key'] == expected['key']
            assert torch.equal(item['gt'], expected['gt']) and torch.equal(item['lq'], expected['lq'])


# ---------------------------------------------------------------- reproducible randomness


def test_sample_depends_on_seed_and_draw_alone(make):
    options = {**make.clip('a', 6).to_folders(), 'random_reverse': True, 'interval_list': [1, 2]}
    dataset, other_seed = MedicalClipDataset(options), MedicalClipDataset({**options, 'seed': 1})
    first = [dataset[SampleIndex(1, draw)]['gt'] for draw in range(12)]
    random.seed(123)
    again = [dataset[SampleIndex(1, draw)]['gt'] for draw in reversed(range(12))][::-1]
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, (other_seed[SampleIndex(1, draw)]['gt'] for draw in range(12))))
    assert len({gt.numpy().tobytes() for gt in first}) > 6


def test_drawing_leaves_the_global_random_state_alone(make):
    dataset = MedicalClipDataset(make.clip('a', 4).to_folders())
    before = random.getstate()
    dataset[SampleIndex(0, 5)]
    assert random.getstate() == before
    dataset[0]
    assert random.getstate() != before


@pytest.mark.parametrize('backend', ['disk', 'lmdb'])
def test_same_batches_for_any_number_of_workers(make, backend):
    make.clip('a', 6).clip('b', 5)
    dataset = MedicalClipDataset(make.to_folders() if backend == 'disk' else make.to_lmdb())

    def batches(**workers):
        return list(DataLoader(dataset, batch_size=2, sampler=Draws(dataset), **workers))

    alone = batches(num_workers=0)  # opens the database here, before the workers fork
    forked = batches(num_workers=2, multiprocessing_context='fork')
    assert len(alone) == len(forked) == 4
    for a, b in zip(alone, forked, strict=True):
        assert a['key'] == b['key'] and torch.equal(a['gt'], b['gt']) and torch.equal(a['lq'], b['lq'])


def test_spawned_worker_reads_lmdb(make):
    dataset = MedicalClipDataset(make.clip('a', 4).to_lmdb())
    expected = dataset[SampleIndex(0, 0)]
    loader = DataLoader(dataset, sampler=Draws(dataset), num_workers=1, multiprocessing_context='spawn')
    assert torch.equal(next(iter(loader))['gt'][0], expected['gt'])


# ---------------------------------------------------------------- what is refused, and what the message names


def test_short_clip_is_an_error_or_left_out(make, caplog):
    options = {**make.clip('long', 5).clip('short', 4).to_folders(), 'interval_list': [1, 2]}
    with pytest.raises(DatasetError, match=r'shorter than the 5 frames .* interval 2: clip short \(4 frames\)'):
        MedicalClipDataset(options)
    logging.getLogger('basicsr').addHandler(caplog.handler)  # BasicSR's logger does not propagate
    try:
        dataset = MedicalClipDataset({**options, 'short_clips': 'skip'})
    finally:
        logging.getLogger('basicsr').removeHandler(caplog.handler)
    assert 'clip short (4 frames)' in next(r.getMessage() for r in caplog.records if r.levelname == 'WARNING')
    assert {item['key'].split('/')[0] for item in dataset} == {'long'}
    with pytest.raises(DatasetError, match='clips long .* short'):
        MedicalClipDataset({**options, 'num_frame': 6, 'short_clips': 'skip'})


def test_gt_size_larger_than_the_frame(make):
    options = {**make.clip('a', 3, (24, 32)).to_folders(), 'gt_size': 26}
    message = r'gt_size 26 is larger than the 24×32 \(h×w\) GT frames of clip a'
    with pytest.raises(DatasetError, match=message):
        MedicalClipDataset(options)[0]
    with pytest.raises(DatasetError, match=message):  # known from the start
        MedicalClipDataset({**make.to_lmdb(), 'gt_size': 26})


def test_gt_and_lq_sizes_do_not_fit(make):
    options = make.clip('a', 4).to_folders()
    cv2.imwrite(str(make.root / 'LQ' / 'a' / '00000003.png'), np.zeros((12, 15, 3), np.uint8))
    dataset = MedicalClipDataset(options)
    dataset[0]
    with pytest.raises(DatasetError, match=r'clip a: GT is 24×32 .*LQ is 12×15, not 1/2 .*LQ/a/00000003.png'):
        dataset[1]


def test_size_changes_inside_a_clip(make):
    options = make.clip('a', 3).to_folders()
    cv2.imwrite(str(make.root / 'GT' / 'a' / '00000001.png'), np.zeros((24, 24, 3), np.uint8))
    cv2.imwrite(str(make.root / 'LQ' / 'a' / '00000001.png'), np.zeros((12, 12, 3), np.uint8))
    with pytest.raises(DatasetError, match=r'clip a: frames change size, from 12×16 to 12×12 .*LQ/a/00000001.png'):
        MedicalClipDataset(options)[0]


def test_error_in_a_worker_names_the_frame(make):
    options = make.clip('a', 3).to_folders()
    (make.root / 'GT' / 'a' / '00000001.png').write_bytes(b'\x89PNG cut short')
    dataset = MedicalClipDataset(options)
    with pytest.raises(DatasetError, match='GT/a/00000001.png: it is truncated'):
        next(iter(DataLoader(dataset, num_workers=1)))


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'gt_size': 15}, 'gt_size 15 is not a multiple of the scale 2'),
        ({'gt_size': None}, 'option gt_size must be a whole number'),
        ({'num_frame': 0}, 'option num_frame must be a whole number of at least 1, not 0'),
        ({'interval_list': []}, 'option interval_list must be a list'),
        ({'interval_list': [1, 0]}, 'option interval_list must be a whole number of at least 1, not 0'),
        ({'short_clips': 'drop'}, "option short_clips must be error or skip, not 'drop'"),
        ({'scale': None}, 'option scale must be'),
        ({'dataroot_gt': None}, 'dataroot_gt is missing: training needs ground truth'),
        ({'dataroot_lq': None}, 'option dataroot_lq is missing'),
        ({'dataroot_lq': '/gone/LQ'}, 'dataroot_lq: no such folder: /gone/LQ'),
        ({'dataroot_lq': '/gone/LQ.lmdb'}, 'dataroot_lq: /gone/LQ.lmdb is an LMDB folder, but io_backend says'),
        ({'io_backend': {'type': 'lmdb'}}, r'LQ is not an LMDB folder \(those end in .lmdb\), but io_backend says'),
        ({'io_backend': {'type': 'memcached'}}, 'type: memcached} is not known here; write disk or lmdb'),
        ({'io_backend': None}, 'type: None} is not known here; write disk or lmdb'),
    ],
)
def test_wrong_options(make, changes, message):
    with pytest.raises(DatasetError, match=message):
        MedicalClipDataset({**make.clip('a', 3).to_folders(), **changes})
