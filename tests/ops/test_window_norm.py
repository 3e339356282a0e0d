"""LayerNorm of windows: the reference is PyTorch's layers; Triton's kernel in its interpreter, in a process of its own,
and on a GPU."""

import pytest
import torch
import torch.nn.functional as F
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import triton_support, window_norm
from basicsr_ssm.ops.window_norm import triton

SHAPES = [(1, 16, 8, 8), (2, 5, 6, 9), (3, 64, 1, 2), (1, 130, 5, 4)]


def inputs(n, c, h, w, dtype=torch.float32, device='cpu'):
    g = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(n, h, w, c, generator=g) + 1).to(device, dtype).permute(0, 3, 1, 2)
    return x, *(torch.randn(c, generator=g).to(device) for _ in range(2))


def assert_exact(x, weight, bias, size, tolerance):
    from basicsr_ssm.ops.window_norm.torch_op import window_norm as operator

    got = operator(x, size, weight, bias, 1e-5)
    exact = window_norm(x.double(), size, weight.double(), bias.double(), backend='reference')
    assert got.dtype == x.dtype and got.shape == exact.shape
    assert (got.double() - exact).norm() <= tolerance * exact.norm()


def test_it_is_that_of_pytorch():
    x, weight, bias = inputs(2, 6, 5, 8)
    padded = F.pad(x, (0, 0, 0, 3)).reshape(2, 6, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(8, 16, 6)
    assert torch.equal(window_norm(x, 4, weight, bias), F.layer_norm(padded, (6,), weight, bias))


def test_gradients_are_recorded_by_the_reference():
    x, weight, bias = (v.double().requires_grad_() for v in inputs(1, 4, 3, 5))
    assert torch.autograd.gradcheck(lambda *v: window_norm(v[0], 2, *v[1:]), (x, weight, bias))


def test_shapes_that_do_not_fit():
    x, weight, bias = inputs(2, 6, 5, 8)
    for wrong in ((x[0], 4, weight, bias), (x, 0, weight, bias), (x, 4, weight[:3], bias)):
        with pytest.raises(ValueError, match='window_norm: x'):
            window_norm(*wrong)


@pytest.mark.skipif(triton_support.why_not_at_all() is not None, reason='no Triton that could serve')
def test_what_the_kernel_does_not_serve(monkeypatch):
    monkeypatch.setattr('basicsr_ssm.ops.triton_support.why_not', lambda *args: None)
    x, weight, bias = inputs(1, 6, 5, 8)
    assert triton.why_not(x, 4, weight, bias, 1e-5) is None
    assert 'side by side' in triton.why_not(x.contiguous(), 4, weight, bias, 1e-5)
    assert 'forward only' in triton.why_not(x, 4, weight.requires_grad_(), bias, 1e-5)
    assert 'empty' in triton.why_not(x[:0], 4, weight.detach(), bias, 1e-5)
    assert '1024 at most' in triton.why_not(x.repeat(1, 200, 1, 1).to(memory_format=torch.channels_last), 4)


def test_in_the_interpreter():
    run_interpreted(__file__)


@interpreted
@pytest.mark.parametrize('size', [4, 3])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_outputs(shape, size):
    assert_exact(*inputs(*shape), size, 1e-5)


@interpreted
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
def test_low_precision(dtype, tolerance):
    assert_exact(*inputs(2, 20, 5, 9, dtype), 4, tolerance)


@interpreted
def test_a_part_of_a_map():
    x, weight, bias = inputs(3, 12, 9, 8)
    assert_exact(x[1:, 2:8, 1:8, 3:], weight[:6], bias[:6], 4, 1e-5)


@interpreted
def test_as_an_operator_of_pytorch():
    from basicsr_ssm.ops.window_norm.torch_op import window_norm as operator

    x, weight, bias = inputs(1, 6, 5, 3)
    torch.library.opcheck(operator, (x, 4, weight, bias, 1e-5))


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [*SHAPES, (1, 64, 144, 180)], ids=str)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str
)
def test_on_a_gpu(shape, dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    assert_exact(*inputs(*shape, dtype, 'cuda'), 16, tolerance)
