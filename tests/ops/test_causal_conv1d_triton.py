"""The Triton backend of the causal convolution: in Triton's interpreter without a GPU, and on one if there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib

import pytest
import torch
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import causal_conv1d
from basicsr_ssm.ops.dispatch import BackendError

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.causal_conv1d.triton')


def inputs(b=2, length=20, d=6, k=3, bias=True, dtype=torch.float32, device='cpu'):
    """x as the middle of a wider projection, and parameters in float32."""
    g = torch.Generator().manual_seed(0)
    wide = torch.randn(b, length, 2 * d + 8, generator=g).to(device, dtype)
    parameters = [torch.randn(*s, generator=g).to(device) for s in ((d, k), (d,))[: 1 + bias]]
    return [v.requires_grad_() for v in (wide[..., d : 2 * d], *parameters)]


def compare(tensors, activation='silu', tolerance=1e-6, call=TRITON.call):
    """Output and gradients relative to those of float64; `tolerance` for what comes back in the dtype of x."""
    x, weight, bias = tensors if len(tensors) == 3 else (*tensors, None)
    y = call(x, weight, bias, activation)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device, y.dtype)
    exact = [v.detach().double().requires_grad_() for v in tensors]
    truth = causal_conv1d(exact[0], exact[1], exact[2] if len(exact) == 3 else None, activation, 'reference')
    ours = (y, *torch.autograd.grad(y, tensors, g))
    theirs = (truth, *torch.autograd.grad(truth, exact, g.double()))
    for name, got, wanted, like in zip(('y', 'x', 'weight', 'bias'), ours, theirs, (y, *tensors), strict=False):
        assert got.dtype == like.dtype and got.shape == like.shape
        error = (got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30)
        assert error <= (2e-6 if like.dtype == torch.float32 else tolerance), f'{name}: {error:.1e}'


def test_in_the_interpreter():
    run_interpreted(__file__, '-k', 'interpreter_')


@interpreted
@pytest.mark.parametrize('activation', [None, 'silu'])
@pytest.mark.parametrize(
    'sizes',
    [
        dict(k=3),
        dict(k=4, length=33, bias=False),  # several runs, the last with one token
        dict(b=1, length=1, d=1, k=4),
        dict(length=2, k=1),
        dict(b=1, length=17, d=130, k=2),  # several blocks of channels
    ],
    ids=str,
)
def test_interpreter_equals_float64(sizes, activation):
    compare(inputs(**sizes), activation)


@interpreted
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 4e-3), (torch.float16, 5e-4)], ids=str)
def test_interpreter_low_precision(dtype, tolerance):
    compare(inputs(dtype=dtype), tolerance=tolerance)
    compare([v.detach().to(dtype).requires_grad_() for v in inputs(dtype=dtype)], tolerance=tolerance)


@interpreted
def test_interpreter_takes_any_layout():
    x, weight, bias = inputs()
    turned = [x.mT.contiguous().mT, weight.T.contiguous().T, torch.stack([bias, bias], 1)[:, 0]]
    compare([v.detach().requires_grad_() for v in turned])
    expanded = x.detach()[:, :1].expand(-1, 20, -1).requires_grad_()
    compare([expanded, weight, bias])


@interpreted
def test_interpreter_is_an_operator_of_pytorch():
    from basicsr_ssm.ops.causal_conv1d.torch_op import forward

    for bias in (True, False):
        x, weight, *rest = inputs(length=5, bias=bias)
        torch.library.opcheck(forward, (x, weight, *(rest or [None]), True))


@pytest.mark.skipif(torch.cuda.is_available(), reason='of machines without a GPU')
@pytest.mark.parametrize('backend', ['triton', 'causal-conv1d'])
def test_tensors_of_the_cpu_are_for_the_reference(backend):
    with pytest.raises(BackendError, match='no CUDA device|CUDA needed|not installed'):
        causal_conv1d(*inputs(), backend=backend)


SHAPES = [(1, 172800, 240), (108, 256, 96), (3, 1001, 57)]


@pytest.mark.gpu
@pytest.mark.parametrize('k', [3, 4])
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 2e-6), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)])
def test_gpu_equals_float64(shape, k, dtype, tolerance):
    compare(inputs(*shape, k, dtype=dtype, device='cuda'), 'silu', tolerance, _on('triton'))


@pytest.mark.gpu
@pytest.mark.parametrize('shape', SHAPES)
def test_gpu_vendor_equals_float64(shape):
    pytest.importorskip('causal_conv1d')
    tensors = inputs(*shape, 4, device='cuda')
    y = causal_conv1d(*tensors, 'silu', backend='causal-conv1d')
    exact = causal_conv1d(*(v.detach().double() for v in tensors), 'silu', backend='reference')
    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_gpu_vendor_says_what_it_cannot():
    pytest.importorskip('causal_conv1d')
    with pytest.raises(BackendError, match='5 taps'):
        causal_conv1d(*inputs(k=5, device='cuda'), backend='causal-conv1d')


@pytest.mark.gpu
def test_gpu_gradients_are_the_same_each_time():
    tensors = inputs(4, 5000, 240, 4, device='cuda')
    y = causal_conv1d(*tensors, 'silu', backend='triton')
    first, second = (torch.autograd.grad(y, tensors, torch.ones_like(y), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.gpu
def test_gpu_compiles():
    tensors = inputs(2, 100, 64, 4, device='cuda')

    def twice(*v):
        return 2 * causal_conv1d(*v, 'silu', backend='triton')

    torch.testing.assert_close(torch.compile(twice)(*tensors), twice(*tensors))


def _on(backend):
    return lambda *v: causal_conv1d(*v, backend=backend)
