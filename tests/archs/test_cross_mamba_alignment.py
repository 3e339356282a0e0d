"""DCA against its textbook form, pixel by pixel, in float64; and that it leaves still clips where they are."""

import math

import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.archs.alignment import gather_pixels, sampling_positions
from basicsr_ssm.archs.cross_mamba_alignment import DeformableCrossMambaAlignment, reference_points
from basicsr_ssm.archs.guided_deform_alignment import GuidedDeformAttention
from basicsr_ssm.archs.implicit_alignment import ImplicitAlignment
from basicsr_ssm.archs.position_encoding import sinusoids


def dca(channels=8, **settings):
    torch.manual_seed(1)
    align = DeformableCrossMambaAlignment(channels, d_state=4, **settings).double()
    torch.nn.init.normal_(align.offset_net[-1].weight, std=0.3)  # offsets that move, as after training
    return align


def inputs(channels=8, size=(6, 7), spread=2.0):
    generator = torch.Generator().manual_seed(2)
    target, neighbour = torch.randn(2, 1, channels, *size, generator=generator, dtype=torch.float64)
    return target, neighbour, spread * torch.randn(1, 2, *size, generator=generator, dtype=torch.float64)


def textbook(align, target, neighbour, flow, window_size):
    """VSRM, Eq. 7 to 11, as they are written: a window, its offsets, its samples and a scan for each pixel."""
    channels, height, width = target.shape[1:]
    reach = window_size // 2
    padded = F.pad(neighbour, (2 * reach,) * 4, mode='replicate')[0]
    A = -align.A_log.exp()
    out = torch.empty_like(target)
    for row in range(height):
        for column in range(width):
            x = min(max(column + flow[0, 0, row, column].item(), 0), width - 1)
            y = min(max(row + flow[0, 1, row, column].item(), 0), height - 1)
            x0, y0 = math.floor(x), math.floor(y)
            window = padded[:, y0 + reach : y0 + 3 * reach + 1, x0 + reach : x0 + 3 * reach + 1]
            offsets = align.limit * torch.tanh(align.offset_net(window[None])).view(-1, 2)
            position = torch.tensor([x - x0, y - y0], dtype=torch.float64)
            Q = target[0, :, row, column] + sinusoids(position, channels)
            z, C = align.q_proj(Q).split([channels, align.d_state])
            state = 0
            for point, offset in zip(align.points, offsets, strict=True):
                # bilinear interpolation inside the window, whose centre is (reach, reach)
                at = (point + offset + reach).view(1, 1, 1, 2)
                r = F.grid_sample(window[None], 2 * at / (window_size - 1) - 1, align_corners=True).flatten()
                R = r + sinusoids(point, channels)
                u = align.in_proj(R)
                dt, B = align.x_proj(u).split([align.dt_rank, align.d_state])
                delta = F.softplus(align.dt_proj(dt))
                state = torch.exp(delta[:, None] * A) * state + (delta * u)[:, None] * B
            out[0, :, row, column] = align.out_proj((state @ C + align.D * u) * F.silu(z))
    return out


@pytest.mark.parametrize(
    ('window_size', 'reference_size'), [(5, 3), (7, 3), (5, 2), (3, 1)], ids=lambda size: str(size)
)
def test_it_is_the_textbook_form(window_size, reference_size):
    align = dca(window_size=window_size, reference_size=reference_size)
    target, neighbour, flow = inputs()
    with torch.no_grad():
        expected = textbook(align, target, neighbour, flow, window_size)
        out = align(target, align.encode(neighbour), flow)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_the_textbook_form():
    align = dca(4)
    target, neighbour, _ = inputs(4, (3, 4))
    # the textbook form takes positions as plain numbers: compare the gradients of everything but the flow
    flow = torch.tensor([0.3, -0.6], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 3, 4)
    wanted = [target.requires_grad_(), neighbour.requires_grad_(), *align.parameters()]
    expected = torch.autograd.grad(textbook(align, target, neighbour, flow, 5).square().sum(), wanted)
    found = torch.autograd.grad(align(target, align.encode(neighbour), flow).square().sum(), wanted)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_the_flow_learns_through_the_fraction():
    align = dca(4)
    target, neighbour, flow = inputs(4)
    flow = (0.2 * flow).requires_grad_()
    align(target, align.encode(neighbour), flow).sum().backward()
    assert flow.grad.abs().sum() > 0


def shift(a, b):
    """By how many pixels b lies right of and below a: the vertex of a parabola through the correlation's peak."""
    a, b = (x - x.mean((-2, -1), keepdim=True) for x in (a, b))
    correlation = torch.fft.irfft2(torch.fft.rfft2(a).conj() * torch.fft.rfft2(b), a.shape[-2:]).sum((0, 1))
    h, w = correlation.shape
    row, column = divmod(correlation.argmax().item(), w)
    found = []
    for before, at, after in (
        (correlation[row, column - 1], correlation[row, column], correlation[row, (column + 1) % w]),
        (correlation[row - 1, column], correlation[row, column], correlation[(row + 1) % h, column]),
    ):
        found.append(((before - after) / (before - 2 * at + after) / 2).item())
    whole = [(p + n // 2) % n - n // 2 for p, n in ((column, w), (row, h))]
    return [a + b for a, b in zip(whole, found, strict=True)]


def test_a_still_clip_does_not_shift():
    torch.manual_seed(3)
    for seed in range(5):
        torch.manual_seed(seed)
        align = DeformableCrossMambaAlignment(16)
        with torch.no_grad():  # a projection that keeps channels apart, so that input and output can be compared
            align.in_proj.weight.copy_(torch.eye(16))
            align.out_proj.weight.copy_(torch.eye(16))
            align.q_proj.weight[:16] = 0
            feature = F.avg_pool2d(torch.randn(1, 16, 44, 44), 5, 1)
            # the gate silu(z) is the same everywhere
            align.q_proj = _WithGate(align.q_proj)
            out = align(feature, align.encode(feature), torch.zeros(1, 2, 40, 40))
        dx, dy = shift(feature, out)
        assert abs(dx) < 0.1, (dx, dy)
        assert abs(dy) < 0.1, (dx, dy)


class _WithGate(torch.nn.Module):
    def __init__(self, proj):
        super().__init__()
        self.proj = proj

    def forward(self, x):
        return self.proj(x) + torch.cat([torch.ones(16), torch.zeros(16)])


def test_whole_flow_finds_the_pixel():
    align = dca(4)
    torch.nn.init.zeros_(align.offset_net[-1].weight)
    target, neighbour, _ = inputs(4, (8, 8))
    flow = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    still = align(target, align.encode(neighbour), flow)
    flow[:, 0], flow[:, 1] = 2, -1  # the neighbour's content lies 2 right, 1 above
    moved = align(target, align.encode(neighbour.roll((-1, 2), (2, 3))), flow)
    torch.testing.assert_close(moved[:, :, 2:-2, 2:-3], still[:, :, 2:-2, 2:-3])


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5])
def test_reference_points(size):
    points = reference_points(size)
    first = -((size - 1) // 2)
    region = {(x, y) for x in range(first, first + size) for y in range(first, first + size)}
    assert {tuple(p) for p in points.int().tolist()} == region
    assert len(points) == size**2
    assert points[-1].tolist() == [0, 0]
    assert (points.norm(dim=1).diff() <= 0).all()


def test_positions_stay_in_the_frame():
    flow = torch.full((1, 2, 3, 4), 100.0)
    flow[0, 1] = -100.0
    whole, fraction = sampling_positions(flow)
    assert (whole == torch.tensor([3.0, 0.0])).all()
    assert (fraction == 0).all()


def test_positions_are_exact_in_large_frames_of_bfloat16():
    flow = torch.full((1, 2, 1, 2000), 0.5, dtype=torch.bfloat16)
    whole, fraction = sampling_positions(flow)
    assert whole[0, 0, 1001].tolist() == [1001, 0]
    assert fraction[0, 0, 1001].tolist() == [0.5, 0]


def test_gather_repeats_the_edge():
    x = torch.arange(12.0).view(1, 3, 4, 1)
    at = torch.tensor([[[-5.0, 1.0], [9.0, 9.0], [2.0, 1.0]]])
    assert gather_pixels(x, at).flatten().tolist() == [4, 11, 6]


def test_windows_without_room_for_offsets():
    with pytest.raises(ValueError, match='leaves no room'):
        DeformableCrossMambaAlignment(8, window_size=3, reference_size=3)
    with pytest.raises(ValueError, match='not odd'):
        DeformableCrossMambaAlignment(8, window_size=6, reference_size=3)


def test_implicit_alignment_is_attention_to_the_window():
    torch.manual_seed(0)
    align = ImplicitAlignment(8, reference_size=3, heads=2).double()
    target, neighbour, flow = inputs()
    with torch.no_grad():
        out = align(target, align.encode(neighbour), flow)
        whole, fraction = sampling_positions(flow)
        for row, column in ((0, 0), (2, 5), (5, 6)):
            at = whole[0, row, column] + align.points
            x, y = at[:, 0].clamp(0, 6).long(), at[:, 1].clamp(0, 5).long()
            R = neighbour[0, :, y, x].T + sinusoids(align.points, 8)
            Q = target[0, :, row, column] + sinusoids(fraction[0, row, column], 8)
            q, k, v = align.q_proj(Q).view(2, 1, 4), align.k_proj(R).view(9, 2, 4), align.v_proj(R).view(9, 2, 4)
            expected = F.scaled_dot_product_attention(q, k.transpose(0, 1), v.transpose(0, 1)).flatten()
            torch.testing.assert_close(out[0, :, row, column], expected)


def test_guided_deform_attention_starts_at_the_flow():
    torch.manual_seed(0)
    align = GuidedDeformAttention(8, groups=2).double()
    target, neighbour, _ = inputs()
    flow = torch.zeros(1, 2, 6, 7, dtype=torch.float64)
    flow[:, 0] = 1
    with torch.no_grad():
        out = align(target, align.encode(neighbour), flow)
        # all nine places are one: the attention passes the value on
        v = align.kv_proj(neighbour.permute(0, 2, 3, 1))[..., 8:]
        expected = align.out_proj(v)
        expected = (expected + align.mlp(expected)).permute(0, 3, 1, 2)
    torch.testing.assert_close(out[..., :-1], expected[..., 1:])


def test_guided_deform_attention_groups_have_their_own_places():
    torch.manual_seed(0)
    align = GuidedDeformAttention(8, groups=2).double()
    torch.nn.init.normal_(align.conv_offset[-1].weight, std=0.1)
    target, neighbour, flow = (x.requires_grad_() for x in inputs())
    align(target, align.encode(neighbour), flow).square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in (target, neighbour, flow, *align.parameters()))
