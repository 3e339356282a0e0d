"""LQ made on the fly from GT: each step against what it should do, and the data set that uses them."""

import pickle
import random

import cv2
import numpy as np
import pytest
import torch

from basicsr_ssm.clips.blur_downsample import blur_downsample
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.data import MedicalClipDataset
from basicsr_ssm.data.degradations import CODECS, Degradation, DegradationError
from basicsr_ssm.data.frame_store import DatasetError
from basicsr_ssm.data.sampler import SampleIndex

ALWAYS = {'prob': 1}
ALL = {'blur': ALWAYS, 'noise': ALWAYS, 'compression': ALWAYS}


@pytest.fixture
def frames():
    """Five smooth frames, 64×96 pixels, that move."""
    coarse = np.random.default_rng(0).integers(40, 216, (4, 6, 3), dtype=np.uint8)
    canvas = cv2.resize(coarse, (144, 96), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(canvas[8:72, i : 96 + i]) for i in range(5)]


def mean_error(a, b):
    return float(np.mean([np.abs(x.astype(float) - y).mean() for x, y in zip(a, b, strict=True)]))


@pytest.mark.parametrize(('name', 'shrink'), [('bicubic', imresize_bicubic), ('bd', blur_downsample)])
def test_down_sampling_alone_is_that_of_prepare(frames, name, shrink):
    small = Degradation({'downsample': name}, 4)(frames, random.Random(0))
    assert all(np.array_equal(a, shrink(b, 4)) for a, b in zip(small, frames, strict=True))


def test_blur_has_the_width_that_was_asked_for():
    point = np.zeros((64, 64, 3), np.uint8)
    point[32, 32] = 255
    wide = cv2.GaussianBlur(point.astype(np.float64), (0, 0), 3.0)
    (small,) = Degradation({'blur': {'prob': 1, 'sigma': [3.0, 3.0]}}, 2)([point], random.Random(0))
    expected = imresize_bicubic(np.rint(wide).astype(np.uint8), 2)
    assert np.abs(small.astype(int) - expected).max() <= 1 and small.max() < 6


@pytest.mark.parametrize('gray_prob', [0, 1])
def test_noise_has_the_strength_that_was_asked_for(frames, gray_prob):
    clean = Degradation({}, 2)(frames, random.Random(1))
    noise = {'prob': 1, 'sigma': [6, 6], 'gray_prob': gray_prob}
    noisy = Degradation({'noise': noise}, 2)(frames, random.Random(1))
    difference = np.stack([a.astype(float) - b for a, b in zip(noisy, clean, strict=True)])
    assert difference.std() == pytest.approx(6, rel=0.05) and abs(difference.mean()) < 0.2
    alike = np.mean(difference[..., 0] == difference[..., 2])
    assert alike > 0.99 if gray_prob else alike < 0.2
    assert abs(np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]) < 0.1  # other noise in each frame


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('size', [(64, 96), (52, 76)])  # LQ of 26×38 and, at scale 4, 13×19
def test_compression(frames, codec, size):
    frames = [np.ascontiguousarray(frame[: size[0], : size[1]]) for frame in frames]
    ranges = {'jpeg': ('jpeg_quality', [95, 95], [20, 20]), 'mjpeg': ('mjpeg_q', [2, 2], [25, 25])}
    option, fine, coarse = {**ranges, 'h264': ('h264_crf', [10, 10], [40, 40])}[codec]
    clean = Degradation({}, 4)(frames, random.Random(2))
    errors = []
    for value in (fine, coarse):
        compression = {'prob': 1, 'codecs': [codec], option: value}
        small = Degradation({'compression': compression}, 4)(frames, random.Random(2))
        assert [frame.shape for frame in small] == [frame.shape for frame in clean]
        errors.append(mean_error(small, clean))
        assert value == coarse or errors[-1] < mean_error(small[::-1], clean)  # in order
    assert 0 < errors[0] < 6 and errors[1] > 1.2 * errors[0]


def test_same_random_state_same_bytes(frames):
    degrade = Degradation(ALL, 4)
    for seed in range(6):
        first, again = (degrade(frames, random.Random(seed)) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(degrade(frames, random.Random(1))[0], degrade(frames, random.Random(2))[0])


def test_probabilities(frames):
    degrade = Degradation({'noise': {'prob': 0.3, 'sigma': [5, 5]}}, 4)
    clean = Degradation({}, 4)(frames[:1], random.Random(0))[0]
    rng = random.Random(0)
    changed = sum(not np.array_equal(degrade(frames[:1], rng)[0], clean) for _ in range(300))
    assert 65 < changed < 115


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'blurr': {}}, 'blurr: no such option; there are downsample, blur, noise, compression'),
        ({'blur': {'sigmas': 3}}, 'blur.sigmas: no such option; there are prob, sigma'),
        ({'blur': 3}, 'blur: expected a section of options, got 3'),
        ({'noise': {'sigma': [5, 2]}}, r'noise.sigma: expected a range \[low, high\] within 0 to 255, got \[5, 2\]'),
        ({'noise': {'prob': 2}}, 'noise.prob: expected a number from 0 to 1, got 2'),
        ({'compression': {'codecs': ['h265']}}, r'compression.codecs: expected a list of jpeg, mjpeg, h264'),
        ({'compression': {'h264_crf': [0, 60]}}, 'compression.h264_crf: expected a range'),
        ({'downsample': 'area'}, 'downsample: expected bicubic or bd'),
        ({'noise': {'prob': 2}, 'downsample': 'x'}, 'downsample: .*; noise.prob: '),
        ({'downsample': ['bd']}, r"downsample: expected bicubic or bd, got \['bd'\]"),
        ({2: {}}, '2: no such option'),
        ([], 'expected a section of options'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Degradation(options, 4)


def test_each_mistake_can_be_told_apart():
    options = {'downsample': 'a; b', 'blurr': {}, 'noise': {'sigmas': 1, 'probs': 1}}
    with pytest.raises(DegradationError) as caught:
        Degradation(options, 4)
    problems = caught.value.args
    assert [problem.partition(':')[0] for problem in problems] == ['downsample', 'blurr', 'noise.sigmas', 'noise.probs']
    assert str(pickle.loads(pickle.dumps(caught.value))) == '; '.join(problems)


def test_bd_at_another_scale():
    with pytest.raises(ValueError, match='downsample: bd is not defined for scale 2'):
        Degradation({'downsample': 'bd'}, 2)


# ---------------------------------------------------------------- in the data set


def gt_only(make, **changes):
    options = {**make.to_folders(), 'degradation': {}, **changes}
    del options['dataroot_lq']
    return options


def test_augmentation_and_patches_stay_as_they_were(make):
    """GT is bit for bit what it is without degradation, and LQ belongs to it."""
    make.clip('a', 6, (40, 48))
    plain = MedicalClipDataset(make.to_folders())
    for degradation in ({}, ALL):
        degraded = MedicalClipDataset(gt_only(make, degradation=degradation))
        assert len(plain) == len(degraded)
        for draw in range(8):
            expected, item = (dataset[SampleIndex(draw % 4, draw)] for dataset in (plain, degraded))
            assert torch.equal(item['gt'], expected['gt']) and item['key'] == expected['key']
            assert item['lq'].shape == expected['lq'].shape
            if not degradation:
                gt = (item['gt'][0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
                small = torch.from_numpy(imresize_bicubic(gt, 2)).permute(2, 0, 1) / 255
                assert torch.equal(item['lq'][0], small)


def test_sample_depends_on_seed_and_draw_alone(make):
    options = gt_only(make.clip('a', 6, (40, 48)), degradation=ALL)
    dataset, other = MedicalClipDataset(options), MedicalClipDataset({**options, 'seed': 1})
    first = [dataset[SampleIndex(1, draw)]['lq'] for draw in range(6)]
    random.seed(5)
    np.random.seed(5)
    again = [dataset[SampleIndex(1, draw)]['lq'] for draw in reversed(range(6))][::-1]
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, (other[SampleIndex(1, draw)]['lq'] for draw in range(6))))


def test_mirrored_windows_stay_mirrored(make):
    options = gt_only(make.clip('a', 6, (40, 48)), degradation=ALL, flip_sequence=True)
    item = MedicalClipDataset(options)[SampleIndex(0, 3)]
    assert len(item['lq']) == 6 and torch.equal(item['lq'][:3], item['lq'][3:].flip(0))
    assert torch.equal(item['gt'][:3], item['gt'][3:].flip(0))


def test_ground_truth_that_is_no_multiple_of_the_scale(make):
    item = MedicalClipDataset(gt_only(make.clip('a', 4, (25, 33))))[SampleIndex(0, 0)]
    assert item['gt'].shape[-2:] == (16, 16) and item['lq'].shape[-2:] == (8, 8)


def test_errors_of_the_data_set(make):
    make.clip('a', 4)
    with pytest.raises(DatasetError, match='degradation and dataroot_lq: LQ is either made from GT or read'):
        MedicalClipDataset({**make.to_folders(), 'degradation': {}})
    with pytest.raises(DatasetError, match='option degradation: blurr: no such option'):
        MedicalClipDataset(gt_only(make, degradation={'blurr': {}}))
    with pytest.raises(DatasetError, match='dataroot_gt: no such folder'):
        MedicalClipDataset(gt_only(make, dataroot_gt='/gone'))
    with pytest.raises(DatasetError, match='larger than the 24×32'):
        MedicalClipDataset(gt_only(make, gt_size=26))[SampleIndex(0, 0)]
