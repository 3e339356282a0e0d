import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.ops import depthwise_conv3d
from basicsr_ssm.ops.depthwise_conv3d import _conv2d, _reference

SHAPES = [(2, 3, 4, 5, 6), (1, 1, 1, 1, 1), (1, 2, 1, 7, 3), (2, 5, 3, 2, 4)]


def inputs(shape):
    generator = torch.Generator().manual_seed(0)
    channels = shape[-1]
    sizes = (shape, (channels, 1, 3, 3, 3), (channels,))
    return [torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True) for size in sizes]


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_sum_over_27_taps(shape):
    x, weight, bias = inputs(shape)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1, 1, 1))
    _, t, h, w, _ = shape
    expected = torch.zeros_like(x) + bias
    for i, j, k in torch.cartesian_prod(*[torch.arange(3)] * 3).tolist():
        expected = expected + padded[:, i : i + t, j : j + h, k : k + w] * weight[:, 0, i, j, k]
    torch.testing.assert_close(depthwise_conv3d(x, weight, bias), expected)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_as_2d_convolution(shape, with_bias):
    x, weight, bias = inputs(shape)
    args = (x, weight, bias) if with_bias else (x, weight)
    found = []
    for call in (_reference, _conv2d):
        out = call(*args) if with_bias else call(*args, None)
        found.append((out, *torch.autograd.grad(out.square().sum(), args)))
    torch.testing.assert_close(*found)


def test_gradients():
    assert torch.autograd.gradcheck(depthwise_conv3d, inputs((1, 2, 2, 3, 2)))


def test_views():
    x, weight, bias = inputs((2, 3, 4, 5, 6))
    view = x.permute(0, 2, 3, 1, 4)
    torch.testing.assert_close(depthwise_conv3d(view, weight, bias), depthwise_conv3d(view.contiguous(), weight, bias))


def test_shapes_that_do_not_fit():
    x, weight, _ = inputs((1, 2, 2, 3, 2))
    with pytest.raises(ValueError, match='depthwise_conv3d: x'):
        depthwise_conv3d(x, weight[:1])


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_on_a_gpu(dtype, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    x, weight, bias = (v.detach() for v in inputs((1, 3, 20, 24, 48)))
    out = depthwise_conv3d(*(v.to('cuda', dtype) for v in (x, weight, bias)))
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(out.double().cpu(), depthwise_conv3d(x, weight, bias), rtol=tolerance, atol=tolerance)
