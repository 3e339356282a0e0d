"""Warping: the reference against sampling by hand and BasicSR; Triton's kernels in its interpreter, in a process of its
own, and on a GPU."""

import pytest
import torch
from triton_interpreter import interpreted, run_interpreted

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


def test_layout():
    """The result of a map whose channels lie together, a part of another map too, has them together."""
    x, flow = inputs()
    together = x.contiguous(memory_format=torch.channels_last)
    assert flow_warp(together, flow).is_contiguous(memory_format=torch.channels_last)
    assert flow_warp(together[..., :5], flow[..., :5]).is_contiguous(memory_format=torch.channels_last)
    assert flow_warp(x, flow).is_contiguous()


SHAPES = [(2, 3, 7, 9), (1, 1, 1, 1), (1, 2, 1, 5), (2, 64, 5, 40), (1, 70, 3, 300), (1, 4, 6, 1)]


def kernels(x, flow, padding='zeros'):
    from basicsr_ssm.ops.flow_warp.torch_op import flow_warp as operator

    return operator(x, flow, padding == 'border')


def tensors(shape, dtype=torch.float32, device='cpu', spread=4.0):
    g = torch.Generator().manual_seed(0)
    n, _, h, w = shape
    x, flow = torch.randn(shape, generator=g), spread * torch.randn(n, 2, h, w, generator=g)
    flow = (torch.round(8 * flow) + 0.5) / 8  # far from whole pixels, where its gradient jumps and rounding decides
    return x.to(device, dtype), flow.to(device)


def assert_exact(x, flow, padding, tolerance=1e-5):
    """Outputs and gradients are those of the reference in float64."""
    results = []
    for call, given in ((kernels, (x, flow)), (flow_warp, (x.double(), flow.double()))):
        given = [v.detach().requires_grad_() for v in given]
        y = call(*given, padding)
        slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
        results.append([y, *torch.autograd.grad(y, given, slope)])
    for got, exact, like in zip(*results, (x, x, flow), strict=True):
        assert got.dtype == like.dtype
        assert (got.double() - exact).norm() <= tolerance * exact.norm() + 1e-6


def test_in_the_interpreter():
    run_interpreted(__file__)


@interpreted
@pytest.mark.parametrize('padding', ['zeros', 'border'])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_kernels(shape, padding):
    assert_exact(*tensors(shape), padding)


@interpreted
@pytest.mark.parametrize('padding', ['zeros', 'border'])
def test_kernels_without_motion_and_far_outside(padding):
    x, flow = tensors((2, 3, 5, 8))
    assert torch.equal(kernels(x, 0 * flow, padding), x)
    assert_exact(x, 0 * flow, padding)
    assert_exact(x, 1e9 * flow, padding)


@interpreted
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str)
def test_kernels_in_low_precision(dtype, tolerance):
    assert_exact(*tensors((2, 5, 6, 20), dtype), 'zeros', tolerance)


@interpreted
def test_kernels_on_views():
    x, flow = tensors((2, 6, 5, 8))
    together = x.contiguous(memory_format=torch.channels_last)
    for view in (
        together,
        together[:, 1:4],
        together[..., ::2].repeat_interleave(2, -1),
        x[:, ::2],
        x.mT.contiguous().mT,
    ):
        assert_exact(view, flow.contiguous(memory_format=torch.channels_last), 'zeros')
    assert kernels(together, flow).is_contiguous(memory_format=torch.channels_last)


@interpreted
@pytest.mark.parametrize('wanted', [0, 1])
def test_kernels_give_one_gradient_alone(wanted):
    given = tensors((1, 3, 4, 6))
    given[wanted].requires_grad_()
    got, expected = (
        torch.autograd.grad(call(*given).square().sum(), given[wanted])[0] for call in (kernels, flow_warp)
    )
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@interpreted
def test_kernels_show_what_is_not_a_number():
    x, flow = tensors((1, 2, 4, 6), spread=0.5)
    flow[0, 1, 2, 3] = torch.nan
    for padding in ('zeros', 'border'):
        bad = kernels(x, flow, padding).isnan()
        assert bad[0, :, 2, 3].all() and bad.sum() == 2


@interpreted
@pytest.mark.parametrize('border', [False, True])
def test_as_an_operator_of_pytorch(border):
    from basicsr_ssm.ops.flow_warp.torch_op import flow_warp as operator

    torch.library.opcheck(operator, (*(v.requires_grad_() for v in tensors((2, 3, 4, 6))), border))


@pytest.mark.gpu
@pytest.mark.parametrize('padding', ['zeros', 'border'])
@pytest.mark.parametrize('shape', [*SHAPES, (1, 64, 144, 180), (5, 3, 180, 320)], ids=str)
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str
)
def test_on_a_gpu(shape, padding, dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    x, flow = tensors(shape, dtype, 'cuda')
    assert_exact(x, flow, padding, tolerance)
    assert_exact(x.contiguous(memory_format=torch.channels_last), flow, padding, tolerance)
