"""The Triton backend of the windowed cross scan against the reference in float64: in Triton's interpreter on the CPU,
in a process of its own, where it has to be chosen before Triton is imported; and on a GPU."""

import sys

import pytest
import torch
from triton_interpreter import INTERPRETED, interpreted, run_interpreted

from basicsr_ssm.ops import window_cross_scan
from basicsr_ssm.ops.dispatch import BackendError, operators

NAMES = ('frame', 'positions', 'encoding', 'C', 'A', 'D')


def tensors(n=1, frame_size=(4, 5), size=(2, 2), points=3, d=3, s=2, spread=2.0, dtype=torch.float32, device='cpu'):
    g = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=g)

    values = (
        randn(n, *frame_size, 2 * d + s).to(dtype),
        between(randn(n, *size, points, 2) * spread + 1.5),
        randn(points, 2 * d + s),
        randn(n, *size, s).to(dtype),
        -randn(d, s).exp(),
        randn(d),
    )
    return [v.to(device).requires_grad_() for v in values]


def between(positions):
    """Off the pixels, where the sample has a derivative on either side, and the reference's rounding chooses one."""
    return torch.where(positions == positions.round(), positions + 0.25, positions)


def compare(args, tolerance=1e-5, rounded=1e-5):
    """Output and gradients relative to those of float64; `rounded` for what comes back in the frame's dtype."""
    exact = [v.detach().double().requires_grad_() for v in args]
    y, truth = window_cross_scan(*args, backend='triton'), window_cross_scan(*exact, backend='reference')
    assert y.dtype == args[0].dtype
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device, y.dtype)
    near(y, truth, rounded, 'output')
    grads = torch.autograd.grad(y, args, g)
    for name, ours, theirs, v in zip(NAMES, grads, torch.autograd.grad(truth, exact, g.double()), args, strict=True):
        assert ours.dtype == v.dtype
        near(ours, theirs, tolerance if v.dtype == torch.float32 else rounded, name)
    return grads


def near(ours, theirs, tolerance, name):
    error = (ours.double() - theirs).norm() / theirs.norm().clamp(min=1e-30)
    assert error <= tolerance, f'{name}: {error:.1e}'


def test_in_the_interpreter():
    run_interpreted(__file__)


@interpreted
@pytest.mark.parametrize(
    'sizes',
    [
        {'n': 2, 'points': 9, 'size': (1, 1)},
        {'points': 1},
        {'frame_size': (1, 1), 'size': (1, 1), 'd': 1, 's': 5},
        {'d': 40, 's': 3, 'points': 4, 'size': (1, 1)},  # blocks of 32 channels, the last not full
        {'spread': 100.0},
    ],
)
def test_outputs_and_gradients(sizes):
    compare(tensors(**sizes))


@interpreted  # which cuts digits off where a GPU rounds to bfloat16
@pytest.mark.parametrize(('dtype', 'rounded'), [(torch.bfloat16, 8e-3), (torch.float16, 5e-4)])
def test_half_precision(dtype, rounded):
    compare(tensors(dtype=dtype), rounded=rounded)


@interpreted
def test_parts_add_up(monkeypatch):
    module = sys.modules['basicsr_ssm.ops.cross_scan.triton']
    monkeypatch.setattr(module, '_PIXELS_AT_ONCE', 3)
    compare(tensors(n=2, size=(2, 2), points=2))


@interpreted
def test_views_of_other_tensors():
    args = tensors()
    views = [torch.stack([v, v], -1).select(-1, 0) for v in args]
    ours, theirs = (window_cross_scan(*v, backend='triton') for v in (views, args))
    torch.testing.assert_close(ours, theirs)
    g = torch.ones_like(ours)
    torch.testing.assert_close(torch.autograd.grad(ours, args, g), torch.autograd.grad(theirs, args, g))


@interpreted
def test_huge_steps():
    args = tensors(points=3)
    with torch.no_grad():
        args[2][0, 3:6] = torch.tensor([1e4, -1e4, 80.0])
    grads = compare(args)
    assert all(g.isfinite().all() for g in grads)


@interpreted
def test_a_deterministic_gradient():
    torch.use_deterministic_algorithms(True)
    try:
        compare(tensors())
        args = tensors()
        assert torch.autograd.grad((window_cross_scan(*args, backend='triton') * 0).sum(), args)[0].eq(0).all()
    finally:
        torch.use_deterministic_algorithms(False)


@interpreted
def test_it_is_the_first_choice():
    operator = next(v for v in operators() if v.name == 'window_cross_scan')
    assert operator.choose(None, *tensors()).name == 'triton'


@interpreted
def test_as_an_operator_of_pytorch():
    from basicsr_ssm.ops.cross_scan.torch_op import window_cross_scan as operator

    torch.library.opcheck(operator, tuple(tensors()))


@interpreted
@pytest.mark.parametrize(
    ('sizes', 'reason'),
    [({'dtype': torch.float64}, 'float64'), ({'s': 33}, '33 states'), ({'points': 17}, '17 points')],
)
def test_why_not(sizes, reason):
    args = tensors(**sizes)
    with pytest.raises(BackendError, match=reason):
        window_cross_scan(*args, backend='triton')
    window_cross_scan(*args)  # by the reference


@pytest.mark.skipif(INTERPRETED, reason='of compiled Triton')
def test_tensors_of_the_cpu_are_for_the_reference():
    with pytest.raises(BackendError, match='is not installed|is installed|CUDA needed'):
        window_cross_scan(*tensors(), backend='triton')


@pytest.mark.gpu
@pytest.mark.parametrize(
    'sizes',
    [
        {'frame_size': (180, 320), 'size': (180, 320), 'points': 9, 'd': 120, 's': 16, 'spread': 200.0},
        {'n': 2, 'frame_size': (64, 64), 'size': (64, 64), 'points': 9, 'd': 120, 's': 16, 'spread': 40.0},
        {'frame_size': (64, 64), 'size': (64, 64), 'points': 9, 'd': 240, 's': 16, 'spread': 40.0},
        {'frame_size': (37, 53), 'size': (41, 29), 'points': 9, 'd': 72, 's': 16, 'spread': 30.0},
        {'frame_size': (19, 7), 'size': (5, 3), 'points': 4, 'd': 33, 's': 5, 'spread': 9.0},
        {'points': 1},
    ],
)
@pytest.mark.parametrize(('dtype', 'rounded'), [(torch.float32, 1e-5), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)])
def test_on_a_gpu(sizes, dtype, rounded):
    compare(tensors(**sizes, dtype=dtype, device='cuda'), rounded=rounded)


@pytest.mark.gpu
def test_the_same_twice_on_a_gpu():
    args = tensors(frame_size=(32, 32), size=(64, 64), points=9, d=120, s=16, spread=20.0, device='cuda')
    y = window_cross_scan(*args, backend='triton')
    grads = []
    for deterministic in (False, True, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            grads.append(torch.autograd.grad(y, args, torch.ones_like(y), retain_graph=True))
        finally:
            torch.use_deterministic_algorithms(False)
    for name, first, second, free in zip(NAMES, grads[1], grads[2], grads[0], strict=True):
        assert torch.equal(first, second), name
        near(first, free.double(), 1e-5, name)
