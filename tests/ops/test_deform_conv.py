import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.ops import deform_conv2d
from basicsr_ssm.ops.deform_conv import _torchvision_reason

needs_torchvision_ops = pytest.mark.skipif(
    _torchvision_reason() is not None, reason="torchvision's compiled operators do not load here"
)


def by_the_formula(x, offset, mask, weight, bias, padding):
    """Equation 1 with loops over groups, taps and pixels."""
    n, channels, h, w = x.shape
    taps = weight.shape[2] * weight.shape[3]
    groups = mask.shape[1] // taps
    out = torch.zeros(n, weight.shape[0], *mask.shape[2:], dtype=x.dtype)
    for b in range(n):
        for i in range(mask.shape[2]):
            for j in range(mask.shape[3]):
                columns = torch.zeros(channels, taps, dtype=x.dtype)
                for g in range(groups):
                    part = slice(g * channels // groups, (g + 1) * channels // groups)
                    for k in range(taps):
                        at = 2 * (g * taps + k)
                        y = i - padding + k // weight.shape[3] + offset[b, at, i, j].item()
                        z = j - padding + k % weight.shape[3] + offset[b, at + 1, i, j].item()
                        y0, x0 = int(y // 1), int(z // 1)
                        for yy in (y0, y0 + 1):
                            for xx in (x0, x0 + 1):
                                if 0 <= yy < h and 0 <= xx < w:
                                    share = (1 - abs(y - yy)) * (1 - abs(z - xx))
                                    columns[part, k] += share * x[b, part, yy, xx] * mask[b, g * taps + k, i, j]
                out[b, :, i, j] = weight.flatten(1) @ columns.flatten() + bias
    return out


def inputs(n=2, channels=8, out=5, groups=4, h=6, w=7, k=3, padding=1, spread=3.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    size = (h + 2 * padding - k + 1, w + 2 * padding - k + 1)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    return [
        normal(n, channels, h, w),
        spread * normal(n, 2 * groups * k * k, *size),
        normal(n, groups * k * k, *size).sigmoid(),
        normal(out, channels, k, k),
        normal(out),
    ]


@pytest.mark.parametrize('padding', [0, 1])
def test_reference_equals_the_formula(padding):
    tensors = inputs(padding=padding, h=4, w=5)
    out = deform_conv2d(*tensors, padding=padding, backend='reference')
    torch.testing.assert_close(out, by_the_formula(*tensors, padding), rtol=0, atol=1e-11)


def test_zero_offsets_and_full_masks_are_a_convolution():
    x, offset, mask, weight, bias = inputs()
    out = deform_conv2d(x, 0 * offset, torch.ones_like(mask), weight, bias, backend='reference')
    torch.testing.assert_close(out, F.conv2d(x, weight, bias, padding=1), rtol=0, atol=1e-12)


def test_far_offsets_read_zeros():
    x, offset, mask, weight, bias = inputs()
    out = deform_conv2d(x, torch.full_like(offset, 1e30), mask, weight, bias, backend='reference')
    torch.testing.assert_close(out, bias.view(1, -1, 1, 1).expand_as(out), rtol=0, atol=0)


def test_nan_offsets_give_nan_not_a_crash():
    x, offset, mask, weight, bias = inputs()
    offset[0, 0, 2, 3] = torch.nan
    out = deform_conv2d(x, offset, mask, weight, bias, backend='reference')
    assert out[0, :, 2, 3].isnan().all() and not out[1].isnan().any()


def test_gradients():
    tensors = inputs(n=1, channels=4, groups=2, out=2, h=3, w=4, spread=0.8)
    tensors = [v.requires_grad_() for v in tensors]
    assert torch.autograd.gradcheck(lambda *v: deform_conv2d(*v, backend='reference'), tensors)


def test_bfloat16_in_bfloat16_out():
    tensors = inputs(dtype=torch.bfloat16)
    out = deform_conv2d(*tensors, backend='reference')
    expected = deform_conv2d(*(v.double() for v in tensors), backend='reference')
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), expected, rtol=0.01, atol=0.05)


@needs_torchvision_ops
@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_reference_equals_torchvision(device):
    # the shape in MedVSR: 128 → 64 channels, 16 groups
    tensors = inputs(n=1, channels=128, out=64, groups=16, h=40, w=52, dtype=torch.float32)
    tensors = [v.to(device) for v in tensors]
    tensors[3] /= 34  # √(fan in), as after initialisation
    results = {}
    for backend in ('reference', 'torchvision'):
        leaves = [v.clone().requires_grad_() for v in tensors]
        out = deform_conv2d(*leaves, backend=backend)
        out.square().mean().backward()
        results[backend] = [out.detach(), *(v.grad for v in leaves)]
    for ours, theirs in zip(results['reference'], results['torchvision'], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('backend', ['reference', pytest.param('torchvision', marks=needs_torchvision_ops)])
def test_an_offset_of_nan_gives_nan_where_it_is(backend):
    x, offset, mask, weight, bias = inputs(dtype=torch.float32)
    expected = deform_conv2d(x, offset, mask, weight, bias, backend=backend)
    offset[0, 3, 1, 2] = float('nan')
    out = deform_conv2d(x, offset, mask, weight, bias, backend=backend)
    assert out[0, :, 1, 2].isnan().any()
    out[0, :, 1, 2] = expected[0, :, 1, 2]
    torch.testing.assert_close(out, expected)


def test_shapes_that_do_not_fit():
    x, offset, mask, weight, bias = inputs()
    with pytest.raises(ValueError, match='offset'):
        deform_conv2d(x, offset[:, :-2], mask, weight, bias)
    with pytest.raises(ValueError, match=r'bias \(.+\) expected, got \(1,\)'):
        deform_conv2d(x, offset, mask, weight, bias[:1])
    with pytest.raises(ValueError, match='mask'):
        deform_conv2d(x, offset, mask, weight, bias, padding=0)
