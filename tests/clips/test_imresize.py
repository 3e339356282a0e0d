"""Against MATLAB's own output, and against the definition in exact fractions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from basicsr_ssm.clips.imresize import SCALES, _enlarging, _shrinking, imresize_bicubic, imresize_bicubic_up

GOLDEN = Path(__file__).parents[1] / 'goldens' / 'imresize' / 'matlab_x4.npz'


def cubic(x):
    x = abs(x)
    if x <= 1:
        return (3 * x**3 - 5 * x**2 + 2) / 2
    return (-(x**3) + 5 * x**2 - 8 * x + 4) / 2 if x < 2 else Fraction(0)


def resize_by_definition(frame, scale):
    """MATLAB's documented algorithm with fractions; scale < 1 shrinks with antialiasing."""
    stretch = min(scale, 1)

    def matrix(length):
        out = np.full((int(length * scale), length), Fraction(0), dtype=object)
        for o in range(len(out)):
            centre = (o + Fraction(1, 2)) / scale - Fraction(1, 2)
            reach = int(2 / stretch) + 2
            near = range(int(centre) - reach, int(centre) + reach + 1)
            weights = {i: cubic((centre - i) * stretch) for i in near}
            for i, weight in weights.items():
                mirrored = i % (2 * length)
                out[o, min(mirrored, 2 * length - 1 - mirrored)] += weight / sum(weights.values())
        return out

    down, across = matrix(frame.shape[0]), matrix(frame.shape[1])
    exact = np.stack([down @ frame[..., c].astype(object) @ across.T for c in range(frame.shape[2])], -1)
    return np.vectorize(lambda v: min(255, max(0, (v + Fraction(1, 2)).__floor__())))(exact).astype(np.uint8)


def pattern(kind, h, w):
    rng = np.random.default_rng(h * w)
    if kind == 'noise':
        return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    if kind == 'extremes':  # overshoots at both ends
        return rng.integers(0, 2, (h, w, 3), dtype=np.uint8) * 255
    return rng.integers(127, 129, (h, w, 3), dtype=np.uint8)  # many results close to a rounding tie


def test_equals_matlab_in_every_pixel():
    golden = np.load(GOLDEN)
    # the crop's border sees other pixels than the whole frame's did
    assert np.array_equal(imresize_bicubic(golden['gt'], 4)[2:14, 2:14], golden['lq_interior'])


@pytest.mark.parametrize('kind', ['noise', 'extremes', 'ties'])
@pytest.mark.parametrize('scale', SCALES)
def test_shrinks_exactly(scale, kind):
    for rows, columns in ((1, 1), (3, 5)):  # one pixel: the border is mirrored several times over
        frame = pattern(kind, rows * scale, columns * scale)
        assert np.array_equal(imresize_bicubic(frame, scale), resize_by_definition(frame, Fraction(1, scale)))


@pytest.mark.parametrize('kind', ['noise', 'extremes', 'ties'])
@pytest.mark.parametrize('scale', SCALES)
def test_enlarges_exactly(scale, kind):
    for h, w in ((1, 2), (5, 6)):
        frame = pattern(kind, h, w)
        assert np.array_equal(imresize_bicubic_up(frame, scale), resize_by_definition(frame, Fraction(scale)))


def test_ties_go_up():
    frame = np.zeros((8, 8, 1), np.uint8)
    frame[:, 4:] = 1  # symmetric about the middle: the outputs beside it add up to 1
    wide = np.concatenate([frame, frame[:, ::-1]], 1)
    for values in (frame, wide):
        assert np.array_equal(imresize_bicubic(values, 8), resize_by_definition(values, Fraction(1, 8)))
    assert imresize_bicubic(frame, 8).item() == 1  # exactly 0.5


def test_the_error_bound_of_the_float32_pass_holds():
    for filter in (f(scale) for f in (_shrinking, _enlarging) for scale in SCALES):
        assert (filter.weights.sum(1) == filter.denominator).all()
        magnitude = np.abs(filter.weights).sum(1).max()
        assert 128 * magnitude < 2**24  # first pass: whole numbers that float32 holds
        assert 128 * (magnitude / filter.denominator) ** 2 < 256  # what _rounded takes for granted


def test_large_frame_equals_float64():
    """Many blocks and strips; the sums are checked with plain float64 convolution."""
    frame = np.random.default_rng(5).integers(0, 256, (203, 331, 3), dtype=np.uint8)
    for scale in SCALES:
        h, w = (n // scale * scale for n in frame.shape[:2])
        filter = _shrinking(scale)
        weights, pad = filter.weights[0].astype(np.int64), filter.lead
        whole = np.pad(frame[:h, :w].astype(np.int64), ((pad, pad), (pad, pad), (0, 0)), 'symmetric')
        rows = sum(k * whole[i : i + h : scale] for i, k in enumerate(weights))
        sums = sum(k * rows[:, i : i + w : scale] for i, k in enumerate(weights))
        expected = np.clip((2 * sums + filter.denominator**2) // (2 * filter.denominator**2), 0, 255)
        assert np.array_equal(imresize_bicubic(frame, scale), expected)


def test_gray_and_views():
    frame = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    assert np.array_equal(imresize_bicubic(frame[..., 1], 4), imresize_bicubic(frame, 4)[..., 1])
    assert np.array_equal(imresize_bicubic(frame[:, ::-1], 4), imresize_bicubic(frame[:, ::-1].copy(), 4))
    assert imresize_bicubic_up(frame[..., 0], 2).shape == (48, 72)


def test_bad_input():
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match='scale 5'):
        imresize_bicubic(frame, 5)
    with pytest.raises(ValueError, match='float32'):
        imresize_bicubic(frame.astype(np.float32), 4)
    with pytest.raises(ValueError, match='too small'):
        imresize_bicubic(frame[:3], 4)
