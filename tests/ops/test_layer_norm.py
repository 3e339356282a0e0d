"""LayerNorm: the reference is PyTorch's; Triton's kernels in its interpreter, in a process of its own, and on a GPU."""

import pytest
import torch
import torch.nn.functional as F
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import layer_norm

SHAPES = [(3, 5, 120), (1, 1), (7, 1), (2, 64), (300, 3), (2, 3, 4, 60), (5, 130)]


def inputs(shape, dtype=torch.float32, device='cpu'):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(v, generator=generator) for v in (shape, shape[-1:], shape[-1:]))
    return [(3 * x + 1).to(device, dtype), weight.to(device), bias.to(device)]


def results(tensors, call):
    given = [v.detach().requires_grad_() for v in tensors]
    y = call(*given)
    slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y, *torch.autograd.grad(y, given, slope)]


def kernels(x, weight, bias):
    from basicsr_ssm.ops.layer_norm.torch_op import layer_norm as operator

    return operator(x, weight, bias, 1e-5)


def assert_exact(tensors, tolerance):
    ours = results(tensors, kernels)
    exact = results([v.double() for v in tensors], lambda *v: layer_norm(*v, backend='reference'))
    for got, truth, given in zip(ours, exact, [tensors[0], *tensors], strict=True):
        assert got.dtype == given.dtype
        off, size = (got.double() - truth).norm(), truth.norm()
        # a single channel has no variance and no gradient: what remains of one is rounding over √eps
        assert off <= tolerance * size + (1e-4 if given.shape[-1] == 1 else 1e-6), f'{off / size:.1e}'


def test_it_is_that_of_pytorch():
    x, weight, bias = inputs((4, 7, 12))
    assert torch.equal(layer_norm(x, weight, bias), F.layer_norm(x, (12,), weight, bias))


def test_dtype_under_autocast():
    x, weight, bias = inputs((4, 7, 12), torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer_norm(x, weight, bias)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), F.layer_norm(x.float(), (12,), weight, bias), rtol=8e-3, atol=8e-3)


def test_shapes_that_do_not_fit():
    x, weight, bias = inputs((4, 12))
    with pytest.raises(ValueError, match='layer_norm: x'):
        layer_norm(x, weight[:3], bias)


def test_in_the_interpreter():
    run_interpreted(__file__)


@interpreted
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_outputs_and_gradients(shape):
    assert_exact(inputs(shape), 1e-5)


@interpreted
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
def test_low_precision(dtype, tolerance):
    assert_exact(inputs((2, 9, 60), dtype), tolerance)


@interpreted
def test_views():
    x, weight, bias = inputs((6, 5, 12))
    for view in (x.transpose(0, 1), x[..., ::2].repeat_interleave(2, -1), x.mT.contiguous().mT, x[1:4, ::2]):
        assert_exact([view, weight, bias], 1e-5)


@interpreted
def test_several_tiles_a_program(monkeypatch):
    from basicsr_ssm.ops.layer_norm import triton

    monkeypatch.setattr(triton, '_TILE', 16)
    monkeypatch.setattr(triton, '_PROGRAMS', 2)
    assert_exact(inputs((37, 6)), 1e-5)


@interpreted
def test_as_an_operator_of_pytorch():
    from basicsr_ssm.ops.layer_norm.torch_op import layer_norm as operator

    torch.library.opcheck(operator, (*(v.requires_grad_() for v in inputs((3, 5, 6))), 1e-5))


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [*SHAPES, (3, 180, 320, 120), (108, 256, 64)], ids=str)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str
)
def test_on_a_gpu(shape, dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    tensors = inputs(shape, dtype, 'cuda')
    assert_exact(tensors, tolerance)
    first, second = (results(tensors, kernels) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
