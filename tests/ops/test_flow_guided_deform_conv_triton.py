"""The Triton backend of the flow-guided deformable convolution: in Triton's interpreter without a GPU, and on one if
there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib

import pytest
import torch
import torch.nn.functional as F
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import flow_guided_deform_conv
from basicsr_ssm.ops.dispatch import BackendError

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.flow_guided_deform_conv.triton')
NAMES = ('output', 'feature', 'raw', 'flow', 'weight', 'bias')
MAX_RESIDUE = 3.0


def inputs(n=1, channels=16, out=5, groups=4, copies=2, h=4, w=5, k=3, bias=True, dtype=torch.float32, device='cpu'):
    """Feature and what the convolution predicts in dtype, flow and parameters in float32, as under autocast."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    # smooth where it is large: the slope by a position jumps from pixel to pixel, and no two roundings agree on which
    coarse = (max(1, h // 8), max(1, w // 8))
    feature = (
        normal(n, channels, h, w) if h < 16 else F.interpolate(normal(n, channels, *coarse), (h, w), mode='bicubic')
    )
    tensors = [
        feature.to(dtype),
        normal(n, 3 * groups * k * k, h, w).to(dtype),
        2 * normal(n, 2, h, w),
        normal(out, copies * channels, k, k) / (copies * channels * k * k) ** 0.5,
        normal(out),
    ]
    return [v.to(device).requires_grad_() for v in tensors[: 4 + bias]]


def run(tensors, call):
    feature, raw, flow, weight, bias = tensors if len(tensors) == 5 else (*tensors, None)
    y = call(feature, raw, flow, weight, bias, MAX_RESIDUE)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device, tensors[0].dtype)
    return y, *torch.autograd.grad(y, tensors, g.to(y.dtype))


def compare(tensors, tolerance=2e-6, positions=None, call=TRITON.call):
    """Output and gradients relative to those of float64; `positions`: of what depends on the slope by a position."""
    ours = run(tensors, call)
    low = [v.detach().double().contiguous().requires_grad_() for v in tensors]
    g = torch.randn(ours[0].shape, generator=torch.Generator().manual_seed(1)).to(ours[0].device, ours[0].dtype)
    y = flow_guided_deform_conv(*low, *[None] * (5 - len(low)), MAX_RESIDUE, backend='reference')
    truth = (y, *torch.autograd.grad(y, low, g.double()))
    for name, got, wanted, like in zip(NAMES, ours, truth, (tensors[0], *tensors), strict=False):
        assert got.dtype == like.dtype and got.shape == wanted.shape
        error = (got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30)
        bound = positions if positions and name in ('raw', 'flow') else tolerance
        assert error <= bound, f'{name}: {error:.1e}'
    return ours


def test_in_the_interpreter():
    run_interpreted(__file__, '-k', 'interpreter_')


@interpreted
@pytest.mark.parametrize(
    'sizes',
    [
        dict(),
        dict(n=2, channels=8, out=17, groups=2, copies=1, h=3, w=33, k=1, bias=False),  # two tiles in a row
        dict(channels=12, groups=3, copies=1, out=3, h=2, w=3),  # groups that fill no block
        dict(channels=4, groups=2, copies=1, k=1),
        dict(h=1, w=1),
        dict(channels=16, groups=1, copies=1, h=2, w=2),  # more channels a group than are read together
    ],
    ids=str,
)
def test_interpreter_equals_float64(sizes):
    compare(inputs(**sizes))


@interpreted
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str)
def test_interpreter_low_precision(dtype, tolerance):
    compare(inputs(dtype=dtype), tolerance)


@interpreted
def test_interpreter_takes_any_layout():
    feature, raw, flow, weight, bias = (v.detach() for v in inputs(n=2, channels=8, groups=2, copies=1, h=2, w=3))
    feature, raw = (v.contiguous(memory_format=torch.channels_last) for v in (feature, raw))
    flow, weight = flow.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0), weight.mT.contiguous().mT
    bias = torch.stack([bias, bias], 1)[:, 0]
    output, *_ = compare([v.requires_grad_() for v in (feature, raw, flow, weight, bias)])
    assert output.is_contiguous(memory_format=torch.channels_last)


@interpreted
def test_interpreter_far_and_missing_positions():
    tensors = inputs(channels=8, groups=2, copies=1, h=3, w=3)
    with torch.no_grad():
        tensors[2][0, :, 0, 0] = torch.tensor([1e30, -1e30])
        tensors[2][0, 0, 0, 1] = torch.inf
    ours = run(tensors, TRITON.call)
    bias = tensors[4].detach()
    assert torch.equal(ours[0][0, :, 0, 0], bias) and torch.equal(ours[0][0, :, 0, 1], bias)
    with torch.no_grad():
        tensors[2][0, 0, 2, 2] = torch.nan
    y = TRITON.call(*tensors, MAX_RESIDUE)
    assert y[0, :, 2, 2].isnan().all() and y.isnan().sum() == len(bias)


@interpreted
def test_interpreter_a_deterministic_gradient():
    torch.use_deterministic_algorithms(True)
    try:
        compare(inputs())
    finally:
        torch.use_deterministic_algorithms(False)


@interpreted
def test_interpreter_is_an_operator_of_pytorch():
    from basicsr_ssm.ops.flow_guided_deform_conv.torch_op import forward

    tensors = inputs(channels=8, groups=1, copies=1, h=2, w=2, k=1, dtype=torch.float16)
    tests = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    torch.library.opcheck(forward, (*tensors, MAX_RESIDUE), test_utils=tests)


@pytest.mark.skipif(torch.cuda.is_available(), reason='of machines without a GPU')
def test_tensors_of_the_cpu_are_for_the_reference():
    with pytest.raises(BackendError, match='no CUDA device|CUDA needed'):
        flow_guided_deform_conv(*inputs(), MAX_RESIDUE, backend='triton')


@pytest.mark.gpu
@pytest.mark.parametrize(
    'sizes, reason',
    [(dict(channels=24, groups=4, copies=1), '6 channels a group'), (dict(out=65), '65 channels out')],
)
def test_gpu_why_not(sizes, reason):
    with pytest.raises(BackendError, match=reason):
        on_gpu(*inputs(**sizes, device='cuda'), MAX_RESIDUE)


MEDVSR = dict(channels=64, out=64, groups=16)


@pytest.fixture
def exact_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', False)


def on_gpu(*args):
    return flow_guided_deform_conv(*args, backend='triton')


@pytest.mark.gpu
@pytest.mark.parametrize(
    'sizes',
    [
        dict(MEDVSR, h=144, w=180),
        dict(MEDVSR, h=512, w=512),
        dict(MEDVSR, n=2, h=37, w=53),
        dict(channels=12, groups=3, copies=1, out=3, h=7, w=9),
        dict(channels=16, groups=1, copies=1, out=50, h=1, w=40, k=1),
        dict(h=1, w=1),
    ],
    ids=str,
)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_gpu_equals_float64(sizes, dtype, tolerance, exact_float32):
    compare(inputs(**sizes, dtype=dtype, device='cuda'), tolerance, max(tolerance, 1e-2), on_gpu)


@pytest.mark.gpu
def test_gpu_in_tf32_where_pytorch_may(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', True)
    compare(inputs(**MEDVSR, h=37, w=53, device='cuda'), 2e-3, 5e-3, on_gpu)


@pytest.mark.gpu
def test_gpu_channels_last(exact_float32):
    tensors = inputs(**MEDVSR, h=37, w=53, dtype=torch.bfloat16, device='cuda')
    last = [v.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for v in tensors[:3]]
    torch.testing.assert_close(run([*last, *tensors[3:]], on_gpu)[0], run(tensors, on_gpu)[0], rtol=0.01, atol=0.01)
    compare([*last, *tensors[3:]], 1e-2, call=on_gpu)


@pytest.mark.gpu
def test_gpu_under_autocast():
    tensors = inputs(**MEDVSR, h=37, w=53, dtype=torch.bfloat16, device='cuda')
    with torch.autocast('cuda', torch.bfloat16):
        low = run(tensors, on_gpu)
        exact = on_gpu(tensors[0].float(), *tensors[1:], MAX_RESIDUE)
    assert low[0].dtype == torch.bfloat16 and exact.dtype == torch.float32
    torch.testing.assert_close(low[0].float(), exact, rtol=0.02, atol=0.02)


@pytest.mark.gpu
def test_gpu_the_same_twice(exact_float32):
    tensors = inputs(**MEDVSR, h=64, w=64, device='cuda')
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (run(tensors, on_gpu) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for ours, usual in zip(first, run(tensors, on_gpu), strict=True):
        assert (ours - usual).norm() <= 1e-5 * usual.norm()


@pytest.mark.gpu
def test_gpu_compiles(exact_float32):
    tensors = inputs(**MEDVSR, h=37, w=53, device='cuda')
    for ours, theirs in zip(run(tensors, torch.compile(on_gpu)), run(tensors, on_gpu), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
