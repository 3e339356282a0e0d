import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.ops import depthwise_conv2d, depthwise_conv3d
from basicsr_ssm.ops.depthwise_conv import channels_last_serves, reference

SHAPES = [(2, 3, 4, 5, 6), (1, 1, 1, 1, 1), (1, 2, 1, 7, 3), (2, 5, 3, 2, 4)]
SIZES = [(3, 3, 3), (1, 5, 3), (5, 1, 1)]


def inputs(shape, size=(3, 3, 3)):
    generator = torch.Generator().manual_seed(0)
    channels = shape[-1]
    sizes = (shape, (channels, 1, *size), (channels,))
    return [torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True) for size in sizes]


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_sum_over_the_taps(shape, size):
    x, weight, bias = inputs(shape, size)
    padded = F.pad(x, (0, 0, *(k // 2 for k in reversed(size) for _ in range(2))))
    _, t, h, w, _ = shape
    expected = torch.zeros_like(x) + bias
    for i, j, k in torch.cartesian_prod(*map(torch.arange, size)).tolist():
        expected = expected + padded[:, i : i + t, j : j + h, k : k + w] * weight[:, 0, i, j, k]
    torch.testing.assert_close(depthwise_conv3d(x, weight, bias), expected)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_as_2d_convolution(shape, size, with_bias):
    x, weight, bias = inputs(shape, size)
    args = (x, weight, bias) if with_bias else (x, weight)
    found = []
    for call in (reference.conv3d, reference.conv3d_by_frames):
        out = call(*args) if with_bias else call(*args, None)
        found.append((out, *torch.autograd.grad(out.square().sum(), args)))
    torch.testing.assert_close(*found)


def test_gradients():
    assert torch.autograd.gradcheck(depthwise_conv3d, inputs((1, 2, 2, 3, 2)))


@pytest.mark.parametrize('size', [(7, 7), (3, 3), (1, 5)])
def test_images_are_clips_of_one_frame(size):
    x, weight, bias = inputs((2, 1, 6, 5, 3), (1, *size))
    found = depthwise_conv2d(x.squeeze(1), weight.squeeze(2), bias)
    torch.testing.assert_close(found, depthwise_conv3d(x, weight, bias).squeeze(1))


def test_images_as_a_module_convolves_them():
    conv = torch.nn.Conv2d(6, 6, 7, padding=3, groups=6)
    x = torch.rand(2, 6, 9, 8)
    found = depthwise_conv2d(x.permute(0, 2, 3, 1), conv.weight, conv.bias).permute(0, 3, 1, 2)
    assert torch.equal(found, conv(x))
    assert not channels_last_serves(x.permute(0, 2, 3, 1), conv.weight, conv.bias)


def test_views():
    x, weight, bias = inputs((2, 3, 4, 5, 6))
    view = x.permute(0, 2, 3, 1, 4)
    torch.testing.assert_close(depthwise_conv3d(view, weight, bias), depthwise_conv3d(view.contiguous(), weight, bias))


@pytest.mark.parametrize('call', [reference.conv3d, reference.conv3d_by_frames])
def test_parameters_of_another_dtype(call):
    x, weight, bias = (v.float() for v in inputs((1, 2, 3, 4, 2)))
    out = call(x.bfloat16(), weight, bias)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), call(x, weight, bias), rtol=0.05, atol=0.05)
    with torch.autocast('cpu', torch.bfloat16):
        assert call(x, weight, bias).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ('call', 'change', 'message'),
    [
        (depthwise_conv3d, lambda x, w, b: (x, w[:1], b), 'depthwise_conv3d: x'),
        (depthwise_conv3d, lambda x, w, b: (x[0], w, b), 'depthwise_conv3d: x'),
        (depthwise_conv3d, lambda x, w, b: (x, w[..., :2], b), 'odd numbers'),
        (depthwise_conv3d, lambda x, w, b: (x, w, b[:1]), 'bias'),
        (depthwise_conv2d, lambda x, w, b: (x[0], w, b), 'depthwise_conv2d: x'),
        (depthwise_conv2d, lambda x, w, b: (x[0], w[:, :, 0, :2], b), 'odd numbers'),
    ],
)
def test_shapes_that_do_not_fit(call, change, message):
    with pytest.raises(ValueError, match=message):
        call(*change(*inputs((1, 2, 2, 3, 2))))


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ['conv2d', 'reference'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_on_a_gpu(dtype, backend, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    x, weight, bias = (v.detach() for v in inputs((1, 3, 20, 24, 48)))
    out = depthwise_conv3d(*(v.to('cuda', dtype) for v in (x, weight, bias)), backend)
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(out.double().cpu(), depthwise_conv3d(x, weight, bias), rtol=tolerance, atol=tolerance)
