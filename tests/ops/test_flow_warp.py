import pytest
import torch

from basicsr_ssm.ops import flow_warp


def sampled(image, y, x):
    """Bilinear value of an (h, w) image at a position, zeros outside."""
    h, w = image.shape
    y0, x0 = int(y // 1), int(x // 1)
    total = 0.0
    for yy in (y0, y0 + 1):
        for xx in (x0, x0 + 1):
            if 0 <= yy < h and 0 <= xx < w:
                total += (1 - abs(y - yy)) * (1 - abs(x - xx)) * image[yy, xx].item()
    return total


def inputs(h=7, w=9, spread=4.0):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, h, w, generator=g, dtype=torch.float64)
    return x, spread * torch.randn(2, 2, h, w, generator=g, dtype=torch.float64)


def test_equals_bilinear_sampling_at_the_moved_position():
    x, flow = inputs()
    out = flow_warp(x, flow)
    for n in range(2):
        for i in range(7):
            for j in range(9):
                expected = sampled(x[n, 1], i + flow[n, 1, i, j].item(), j + flow[n, 0, i, j].item())
                assert abs(out[n, 1, i, j].item() - expected) < 1e-12


def test_equals_basicsr():
    from basicsr_ssm import compat

    compat.apply()
    from basicsr.archs.arch_util import flow_warp as basicsr_flow_warp

    x, flow = (v.float() for v in inputs(40, 50))
    for padding in ('zeros', 'border'):
        expected = basicsr_flow_warp(x, flow.permute(0, 2, 3, 1), padding_mode=padding)
        torch.testing.assert_close(flow_warp(x, flow, padding), expected, rtol=0, atol=1e-6)


def test_zero_flow_is_the_identity():
    x, flow = inputs()
    torch.testing.assert_close(flow_warp(x, 0 * flow), x, rtol=0, atol=1e-14)


def test_gradients():
    x, flow = inputs(3, 4, spread=0.7)
    assert torch.autograd.gradcheck(flow_warp, (x.requires_grad_(), flow.requires_grad_()))


def test_bfloat16_features_move_by_exact_positions():
    # at column 300 bfloat16 has steps of 2 pixels
    x = torch.arange(400.0).expand(1, 1, 4, 400).bfloat16()
    flow = torch.zeros(1, 2, 4, 400)
    flow[:, 0] = 1
    out = flow_warp(x, flow)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[0, 0, 0, :399], x[0, 0, 0, 1:], rtol=0.01, atol=0)


def test_bad_arguments():
    x, flow = inputs()
    with pytest.raises(ValueError, match='padding'):
        flow_warp(x, flow, 'reflect')
    with pytest.raises(ValueError, match='flow'):
        flow_warp(x, flow.permute(0, 2, 3, 1))
