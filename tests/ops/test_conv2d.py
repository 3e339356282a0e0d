import pytest
import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.ops import conv2d


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape))).to(dtype)


def test_sum_over_the_taps():
    x, weight, bias = normal(2, 3, 4, 5).double(), normal(6, 3, 3, 3).double(), normal(6).double()
    padded = F.pad(x, (1, 1, 1, 1))
    expected = bias[:, None, None].expand(2, 6, 4, 5)
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + 4, j : j + 5]
            expected = expected + torch.einsum('nchw,oc->nohw', window, weight[:, :, i, j])
    torch.testing.assert_close(conv2d(x, weight, bias), expected)


@pytest.mark.parametrize('activation', [None, 'relu', 'leaky_relu'])
def test_bit_for_bit_what_the_modules_give(activation):
    x, y, residual = normal(2, 3, 7, 5), normal(2, 4, 7, 5), normal(2, 6, 7, 5)
    conv = nn.Conv2d(7, 6, 3, padding=1)
    module = {None: nn.Identity(), 'relu': nn.ReLU(), 'leaky_relu': nn.LeakyReLU(0.2)}[activation]
    parameters = [*conv.parameters()]
    leaves = [x.requires_grad_(), y.requires_grad_(), residual.requires_grad_(), *parameters]
    results = []
    for out in (
        residual + module(conv(torch.cat([x, y], 1))),
        conv2d([x, y], conv.weight, conv.bias, activation, 0.2, residual),
    ):
        results.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('step', [2, 3])
def test_shuffled(step, layout):
    x, conv = normal(2, 5, 4, 3).contiguous(memory_format=layout), nn.Conv2d(5, 4 * step**2, 3, padding=1)
    residual = normal(2, 4, 4 * step, 3 * step)
    expected = F.leaky_relu(F.pixel_shuffle(conv(x), step), 0.1) + residual
    found = conv2d(x, conv.weight, conv.bias, 'leaky_relu', residual=residual, shuffle=step)
    assert torch.equal(found, expected)
    assert conv2d(x, conv.weight, shuffle=step).is_contiguous(memory_format=layout)


def test_dtype_of_autocast():
    inputs, weight, bias = [normal(1, 3, 4, 4).bfloat16(), normal(1, 2, 4, 4)], normal(4, 5, 3, 3), normal(4)
    with torch.autocast('cpu', torch.bfloat16):
        expected = F.relu(F.conv2d(torch.cat(inputs, 1), weight, bias, padding=1))
        assert expected.dtype == torch.bfloat16
        assert torch.equal(conv2d(inputs, weight, bias, 'relu'), expected)
        assert conv2d(inputs, weight, bias, residual=normal(1, 4, 4, 4)).dtype == torch.float32
        assert conv2d(inputs[1].double(), weight[:, :2].double()).dtype == torch.float64  # which no autocast casts


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bits_on_a_cpu_are_rounded_once(dtype):
    given = [normal(2, 64, 6, 7).to(dtype), normal(8, 64, 3, 3).to(dtype), normal(8).to(dtype)]
    found_of, exact_of = ([v.to(kind).requires_grad_() for v in given] for kind in (dtype, torch.float64))
    found, exact = conv2d(*found_of), F.conv2d(*exact_of, padding=1)
    assert found.dtype == dtype
    off = (found.double() - exact).abs() / exact.abs()
    assert off.max() < 0.51 * torch.finfo(dtype).eps * 1.001 + 1e-5
    weights = normal(*found.shape)
    slopes = [torch.autograd.grad((out * weights).sum(), of) for out, of in ((found, found_of), (exact, exact_of))]
    for slope, wanted in zip(*slopes, strict=True):
        assert slope.dtype == dtype
        torch.testing.assert_close(slope.double(), wanted, rtol=0, atol=2 * torch.finfo(dtype).eps * wanted.abs().max())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(inputs=[]), r'inputs \(n, c, h, w\) expected, got \[\]'),
        (dict(inputs=[torch.zeros(3, 4, 5)]), 'inputs'),
        (dict(inputs=[torch.zeros(1, 2, 4, 5), torch.zeros(1, 1, 4, 6)]), 'of one size'),
        (dict(weight=torch.zeros(4, 2, 3, 3)), r'weight \(out, 3, k, k\)'),
        (dict(weight=torch.zeros(4, 3, 2, 2)), 'k odd'),
        (dict(weight=torch.zeros(4, 3, 3, 1)), 'k odd'),
        (dict(bias=torch.zeros(3)), r'bias \(4,\) expected, got \(3,\)'),
        (dict(activation='gelu'), "'gelu' is not one of None, 'relu', 'leaky_relu'"),
        (dict(residual=torch.zeros(1, 1, 4, 5), shuffle=2), r'residual \(1, 1, 8, 10\)'),
        (dict(shuffle=3), '4 channels cannot be shuffled by 3'),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        conv2d(**{'inputs': [torch.zeros(1, 3, 4, 5)], 'weight': torch.zeros(4, 3, 3, 3), **change})
