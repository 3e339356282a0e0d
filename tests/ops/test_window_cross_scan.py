"""The windowed cross scan against its recurrence, one point and one pixel at a time, in float64."""

import importlib
import itertools
import math

import pytest
import torch

from basicsr_ssm.ops import window_cross_scan


def tensors(n=1, frame_size=(5, 6), size=(3, 4), points=9, d=3, s=2, spread=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    positions = randn(n, *size, points, 2) * spread + 2
    return [
        randn(n, *frame_size, 2 * d + s),
        positions,
        randn(points, 2 * d + s),
        randn(n, *size, s),
        -randn(d, s).exp(),
        randn(d),
    ]


def sample(frame, x, y):
    """Bilinear, the nearest edge outside."""
    height, width = frame.shape[:2]
    x, y = min(max(float(x), 0), width - 1), min(max(float(y), 0), height - 1)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    top = frame[y0, x0] * (1 - fx) + frame[y0, x1] * fx
    bottom = frame[y1, x0] * (1 - fx) + frame[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def truth(frame, positions, encoding, C, A, D):
    d, s = A.shape
    n, h, w, points, _ = positions.shape
    out = torch.empty(n, h, w, d, dtype=frame.dtype)
    for i, row, column in itertools.product(range(n), range(h), range(w)):
        state = torch.zeros(d, s, dtype=frame.dtype)
        for j in range(points):
            u, delta, B = (sample(frame[i], *positions[i, row, column, j]) + encoding[j]).split([d, d, s])
            delta = torch.log1p(delta.exp())
            state = (delta[:, None] * A).exp() * state + (delta * u)[:, None] * B
        out[i, row, column] = state @ C[i, row, column] + D * u
    return out


@pytest.mark.parametrize(
    'sizes',
    [
        {},
        {'n': 2, 'points': 4},
        {'points': 1},
        {'frame_size': (1, 1), 'size': (1, 1)},
        {'frame_size': (2, 9), 'size': (6, 1), 'd': 1, 's': 5},
    ],
)
def test_it_is_its_recurrence(sizes):
    args = tensors(**sizes)
    torch.testing.assert_close(window_cross_scan(*args), truth(*args), rtol=1e-10, atol=1e-10)


def test_gradients():
    args = [x.requires_grad_() for x in tensors(frame_size=(3, 4), size=(2, 2), points=3, d=2)]
    assert torch.autograd.gradcheck(window_cross_scan, args)


def test_few_rows_at_a_time_change_nothing(monkeypatch):
    args = [x.requires_grad_() for x in tensors(n=2, size=(5, 4))]
    whole = window_cross_scan(*args)
    expected = torch.autograd.grad(whole.square().sum(), args)
    module = importlib.import_module('basicsr_ssm.ops.cross_scan.reference')
    monkeypatch.setattr(module, '_ELEMENTS_AT_ONCE', 1)
    rows = window_cross_scan(*args)
    torch.testing.assert_close(rows, whole)
    torch.testing.assert_close(torch.autograd.grad(rows.square().sum(), args), expected)


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_lower_precision(dtype, tolerance):
    args = tensors()
    low = [x.float() for x in args]
    low[0], low[3] = args[0].to(dtype), args[3].to(dtype)  # what autocast makes half; positions and decays stay
    rounded = [x.double() for x in low]
    out = window_cross_scan(*low)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), truth(*rounded), rtol=tolerance, atol=tolerance)


def test_views_of_other_tensors():
    args = tensors()
    views = [torch.stack([x, x], -1).select(-1, 0) for x in args]
    torch.testing.assert_close(window_cross_scan(*views), window_cross_scan(*args))


def test_huge_steps_stay_finite():
    args = [x.requires_grad_() for x in tensors(dtype=torch.float32)]
    with torch.no_grad():
        args[2][:, 3:6] = torch.tensor([1e4, -1e4, 80.0])
    out = window_cross_scan(*args)
    grads = torch.autograd.grad(out.sum(), args)
    assert out.isfinite().all()
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize(('which', 'name'), [(0, 'frame'), (2, 'encoding'), (3, 'C'), (5, 'D')])
def test_a_wrong_shape_is_named(which, name):
    args = tensors()
    args[which] = args[which][..., :-1]
    with pytest.raises(ValueError, match=f'window_cross_scan: {name} '):
        window_cross_scan(*args)
