import pytest
import torch

from basicsr_ssm.ops import deform_conv2d, flow_guided_deform_conv


def inputs(n=2, channels=8, out=5, groups=4, copies=2, h=5, w=6, k=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    return [
        normal(n, channels, h, w),
        normal(n, 3 * groups * k * k, h, w),
        2 * normal(n, 2, h, w),
        normal(out, copies * channels, k, k) / channels,
        normal(out),
    ]


@pytest.mark.parametrize('copies, k', [(1, 1), (2, 3), (3, 3)])
def test_equals_the_deformable_convolution(copies, k):
    feature, raw, flow, weight, bias = inputs(copies=copies, k=k)
    residue, mask = raw[:, : 8 * k * k], raw[:, 8 * k * k :]
    offset = 3 * torch.tanh(residue).unflatten(1, (-1, 2)) + torch.stack([flow[:, 1], flow[:, 0]], 1).unsqueeze(1)
    x = feature.repeat(1, copies, 1, 1)
    expected = deform_conv2d(x, offset.flatten(1, 2), mask.sigmoid(), weight, bias, padding=k // 2)
    out = flow_guided_deform_conv(feature, raw, flow, weight, bias, 3.0)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_half_features_with_positions_in_float32():
    feature, raw, flow, weight, bias = inputs()
    exact = flow_guided_deform_conv(feature.bfloat16().double(), raw.bfloat16().double(), flow, weight, bias, 3.0)
    low = flow_guided_deform_conv(
        feature.bfloat16(), raw.bfloat16(), flow.float(), weight.float(), bias.float(), max_residue=3.0
    )
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), exact, rtol=0.02, atol=0.02)


def test_shapes_that_do_not_fit():
    feature, raw, flow, weight, bias = inputs()
    with pytest.raises(ValueError, match='raw .*expected, got'):
        flow_guided_deform_conv(feature, raw[..., 1:], flow, weight, bias, 3.0)
    with pytest.raises(ValueError, match='flow .*expected, got'):
        flow_guided_deform_conv(feature, raw, flow[..., 1:], weight, bias, 3.0)
    with pytest.raises(ValueError, match='k odd'):
        flow_guided_deform_conv(feature, raw, flow, weight[..., 1:, 1:], bias, 3.0)
    with pytest.raises(ValueError, match='k odd'):
        flow_guided_deform_conv(feature[:, 1:], raw, flow, weight, bias, 3.0)
    with pytest.raises(ValueError, match='16 channels in 3 groups'):
        flow_guided_deform_conv(feature, raw[:, :81], flow, weight, bias, 3.0)
    with pytest.raises(ValueError, match='bias'):
        flow_guided_deform_conv(feature, raw, flow, weight, bias[1:], 3.0)
