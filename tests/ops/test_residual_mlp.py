"""The end of a block: the reference is PyTorch's layers; Triton's kernel in its interpreter, in a process of its own,
and on a GPU."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import residual_mlp, triton_support
from basicsr_ssm.ops.layout import has_channels_together
from basicsr_ssm.ops.residual_mlp import triton
from basicsr_ssm.ops.windows import to_map, to_tokens

SHAPES = [(1, 1, 16, 16), (3, 50, 64, 256), (2, 3, 7, 32, 96), (129, 128, 128)]  # tokens, channels, hidden


def inputs(shape, dtype=torch.float32, device='cpu'):
    g = torch.Generator().manual_seed(0)
    *tokens, c, hidden = shape
    x, mixed = (torch.randn(*tokens, c, generator=g).to(device, dtype) for _ in range(2))
    shapes = (c, c), (c,), (c,), (hidden, c), (hidden,), (c, hidden), (c,)
    parameters = [torch.randn(v, generator=g) / (v[-1] ** 0.5 if len(v) > 1 else 1) for v in shapes]
    return [x, mixed, *(v.to(device) for v in parameters)]


def in_windows(n, h, w, size, dtype=torch.float32, device='cpu'):
    """A map whose channels lie side by side, and what belongs to its windows."""
    _, mixed, *parameters = inputs((*to_tokens(torch.empty(n, 16, h, w), size).shape, 32), dtype, device)
    x = torch.randn(n, h, w, 16, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    return [x.permute(0, 3, 1, 2), mixed, *parameters]


def kernel(x, mixed, *parameters, window=None):
    """As in a network whose weights have been cast."""
    with torch.no_grad():
        return triton.call(x, mixed, *(v.to(x.dtype) if v.dim() > 1 else v for v in parameters), 1e-5, window)


def assert_exact(tensors, tolerance, window=None):
    got = kernel(*tensors, window=window)
    exact = residual_mlp(*(v.double() for v in tensors), window=window, backend='reference')
    assert got.dtype == tensors[0].dtype and got.shape == exact.shape
    assert has_channels_together(got) or window is None
    assert (got.double() - exact).norm() <= tolerance * exact.norm()


def test_it_is_that_of_layers():
    x, mixed, *parameters = inputs((3, 5, 16, 64))
    out, norm, fc1, fc2 = nn.Linear(16, 16, bias=False), nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 16)
    layers = [out.weight, norm.weight, norm.bias, fc1.weight, fc1.bias, fc2.weight, fc2.bias]
    with torch.no_grad():
        for layer, value in zip(layers, parameters, strict=True):
            layer.copy_(value)
    v = x + out(mixed)
    expected = v + fc2(F.gelu(fc1(norm(v))))
    torch.testing.assert_close(residual_mlp(x, mixed, *layers), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('together', [False, True])
def test_of_a_map_it_is_that_of_its_tokens(together):
    x, *others = in_windows(2, 6, 9, 4)
    x = x if together else x.contiguous()
    expected = to_map(residual_mlp(to_tokens(x, 4), *others), 4, x)
    got = residual_mlp(x, *others, window=4)
    assert torch.equal(got, expected) and got.shape == x.shape and has_channels_together(got) == together


def test_gradients_are_recorded_by_the_reference():
    tensors = [v.double().requires_grad_() for v in inputs((2, 3, 16, 16))]
    assert torch.autograd.gradcheck(residual_mlp, tensors)


def test_shapes_that_do_not_fit():
    x, mixed, *parameters = inputs((3, 5, 16, 64))
    for wrong in ((x, mixed[1:], *parameters), (x, mixed, parameters[0][:8], *parameters[1:])):
        with pytest.raises(ValueError, match='residual_mlp: x'):
            residual_mlp(*wrong)
    x, *others = in_windows(1, 6, 9, 4)
    for wrong, window in ((x, 3), (x, 0), (x[0], 4), (x[:, :8], 4)):
        with pytest.raises(ValueError, match=f'in windows of {window}'):
            residual_mlp(wrong, *others, window=window)


@pytest.mark.skipif(triton_support.why_not_at_all() is not None, reason='no Triton that could serve')
@pytest.mark.parametrize(
    ('shape', 'dtype', 'recorded', 'reason'),
    [
        ((5, 64, 256), torch.bfloat16, True, 'forward only'),
        ((5, 48, 96), torch.bfloat16, False, '48 channels, 96 hidden'),
        ((5, 64, 96), torch.bfloat16, False, '64 channels, 96 hidden'),
        ((5, 64, 256), torch.float32, False, 'float32 without TF32'),
        ((0, 64, 256), torch.bfloat16, False, 'an empty tensor'),
        ((5, 64, 256), torch.bfloat16, False, None),
    ],
)
def test_what_the_kernel_does_not_serve(shape, dtype, recorded, reason, monkeypatch):
    monkeypatch.setattr('basicsr_ssm.ops.triton_support.why_not', lambda *args: None)
    x, mixed, *parameters = (v.to(dtype) for v in inputs(shape))
    with torch.set_grad_enabled(recorded):
        found = triton.why_not(x.requires_grad_(recorded), mixed, *parameters, 1e-5, None)
    assert found is None if reason is None else reason in found


@pytest.mark.skipif(triton_support.why_not_at_all() is not None, reason='no Triton that could serve')
def test_a_map_that_the_kernel_does_not_serve(monkeypatch):
    monkeypatch.setattr('basicsr_ssm.ops.triton_support.why_not', lambda *args: None)
    x, *others = (v.to(torch.bfloat16) for v in in_windows(1, 6, 9, 4))
    assert triton.why_not(x, *others, 1e-5, 4) is None
    assert 'side by side' in triton.why_not(x.contiguous(), *others, 1e-5, 4)


def test_in_the_interpreter():
    run_interpreted(__file__)


@interpreted
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str
)
def test_outputs(shape, dtype, tolerance):
    assert_exact(inputs(shape, dtype), tolerance)


@interpreted
def test_views():
    x, mixed, *parameters = inputs((6, 5, 16, 32))
    assert_exact([x.transpose(0, 1), mixed.transpose(0, 1), *parameters], 1e-5)
    assert_exact([x[1:4, ::2], mixed[1:4, ::2], *parameters], 1e-5)


@interpreted
@pytest.mark.parametrize('sides', [(2, 6, 9, 4), (1, 8, 8, 4), (1, 1, 2, 5)], ids=str)
def test_maps(sides):
    tensors = in_windows(*sides)
    assert_exact(tensors, 1e-5, sides[-1])
    wide = torch.zeros(tensors[0].shape[0], sides[1] + 2, sides[2] + 3, 20)
    part = wide[:, 1:-1, 2:-1, 3:-1]
    part.copy_(tensors[0].permute(0, 2, 3, 1))
    assert_exact([part.permute(0, 3, 1, 2), *tensors[1:]], 1e-5, sides[-1])


@interpreted
def test_as_an_operator_of_pytorch():
    from basicsr_ssm.ops.residual_mlp.torch_op import residual_mlp as operator

    x, mixed, p, g, b, w1, b1, w2, b2 = inputs((3, 5, 16, 32))
    torch.library.opcheck(operator, (x, mixed, p, w1, w2, g, b, b1, b2, 1e-5, 0))
    x, mixed, p, g, b, w1, b1, w2, b2 = in_windows(1, 3, 5, 4)
    torch.library.opcheck(operator, (x, mixed, p, w1, w2, g, b, b1, b2, 1e-5, 4))


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [*SHAPES, (108, 256, 64, 256), (108, 256, 64, 128)], ids=str)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 2e-3), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str
)
def test_on_a_gpu(shape, dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    assert_exact(inputs(shape, dtype, 'cuda'), tolerance)
    assert_exact(in_windows(2, 36, 45, 16, dtype, 'cuda'), tolerance, 16)
