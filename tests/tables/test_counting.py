"""Multiply-adds against sums by hand, operator by operator, and against the same calls without a formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from basicsr_ssm import ops
from basicsr_ssm.archs import MedVSR
from basicsr_ssm.ops.dispatch import Operator, operators
from basicsr_ssm.tables.counting import MultiplyAdds, count
from basicsr_ssm.tables.operator_counts import OPERATORS


def zeros(*shape):
    return torch.zeros(shape)


def test_convolution():
    conv = nn.Conv2d(3, 8, 5, stride=2, padding=2)
    counted = count(lambda: conv(zeros(2, 3, 16, 20)))
    assert counted == MultiplyAdds(convolutions=2 * 8 * 10 * 8 * 3 * 25, results=2 * 8 * 10 * 8)


def test_grouped_convolution():
    assert count(lambda: F.conv1d(zeros(1, 6, 10), zeros(6, 2, 3), groups=3, padding=1)).total == 10 * 6 * 2 * 3


def test_linear():
    linear = nn.Linear(12, 5)
    assert count(lambda: linear(zeros(2, 7, 12))) == MultiplyAdds(linear=14 * 60, results=14 * 5)


def test_attention():
    q, k, v = zeros(2, 3, 10, 4), zeros(2, 3, 6, 4), zeros(2, 3, 6, 4)
    assert count(lambda: F.scaled_dot_product_attention(q, k, v)).attention == 2 * 3 * 10 * 6 * (4 + 4)
    assert count(lambda: q @ k.mT).attention == 2 * 3 * 10 * 6 * 4


@pytest.mark.parametrize('direction, sets', [('forward', ()), ('both', (2,))])
def test_selective_scan(direction, sets):
    u, B = zeros(2, 7, 6), zeros(2, 7, 4)
    counted = count(lambda: ops.selective_scan(u, u, -torch.ones(*sets, 6, 4), B, B, direction=direction))
    assert counted == MultiplyAdds(scans=(2 if sets else 1) * 4 * 2 * 7 * 6 * 4, results=2 * 7 * 6)


def test_cross_scan():
    frame, positions = zeros(1, 5, 6, 2 * 8 + 4), zeros(1, 3, 2, 9, 2)
    counted = count(
        lambda: ops.window_cross_scan(frame, positions, zeros(9, 20), zeros(1, 3, 2, 4), zeros(8, 4), zeros(8))
    )
    assert counted == MultiplyAdds(scans=4 * 6 * 9 * 8 * 4, sampling=4 * 6 * 9 * 20, results=6 * 8)


def test_ssd():
    x, dt, B = zeros(2, 5, 3, 16), zeros(2, 5, 3), zeros(2, 5, 1, 8)
    assert count(lambda: ops.ssd(x, dt, zeros(3), B, B)).scans == 3 * 2 * 5 * 3 * 16 * 8


def test_windows():
    b, tokens, d = 3, 16, 32
    cross = count(
        lambda: ops.cross_window_ssd(
            zeros(b, tokens, 2 * d + 16 + 2), zeros(b, tokens, 16), zeros(d + 16, 3), zeros(d + 16), zeros(16, 3),
            zeros(16), zeros(16, 3, 3), zeros(2), zeros(2), zeros(2), zeros(d),
        )
    )  # fmt: skip
    assert cross.scans == 3 * b * tokens * d * 16
    assert cross.short_convolutions == b * tokens * (3 * (d + 16) + 3 * 16 + 9 * 16)
    assert cross.products == 0
    inner = count(
        lambda: ops.inner_window_ssd(
            zeros(b, tokens, 2 * d + 32 + 2), zeros(d + 32, 3), zeros(d + 32), zeros(2), zeros(2), zeros(2),
            zeros(2 * d), zeros(2 * d),
        )
    )  # fmt: skip
    assert inner == MultiplyAdds(
        scans=3 * b * tokens * d * 16, short_convolutions=b * tokens * 3 * (d + 32), results=b * tokens * 2 * d
    )


def test_deformable_convolution():
    x, offset, mask, weight = zeros(2, 8, 6, 7), zeros(2, 2 * 2 * 9, 6, 7), zeros(2, 2 * 9, 6, 7), zeros(5, 8, 3, 3)
    expected = MultiplyAdds(
        deformable_convolutions=2 * 6 * 7 * 5 * 8 * 9, sampling=4 * 2 * 6 * 7 * 8 * 9, results=2 * 5 * 6 * 7
    )
    assert count(lambda: ops.deform_conv2d(x, offset, mask, weight)) == expected

    def theirs():
        import torchvision

        return torchvision.ops.deform_conv2d(x, offset, weight, padding=(1, 1), mask=mask)

    assert count(theirs) == expected
    guided = count(lambda: ops.flow_guided_deform_conv(x, torch.cat([offset, mask], 1), x[:, :2], weight, None, 10))
    assert guided == expected


def test_depthwise_and_short_convolutions():
    x = zeros(2, 5, 6, 8)
    assert count(lambda: ops.depthwise_conv2d(x, zeros(8, 1, 3, 5))).convolutions == 2 * 5 * 6 * 8 * 15
    counted = count(lambda: ops.causal_conv1d(zeros(2, 9, 6), zeros(6, 4), activation='silu'))
    assert (counted.short_convolutions, counted.total) == (2 * 9 * 6 * 4, 0)


def test_warps():
    x, flow = zeros(1, 3, 4, 5), zeros(1, 2, 4, 5)
    assert count(lambda: ops.flow_warp(x, flow)).sampling == 4 * 3 * 4 * 5
    counted = count(lambda: F.grid_sample(x, zeros(1, 7, 2, 2), align_corners=False))
    assert (counted.sampling, counted.total, counted.results) == (4 * 3 * 7 * 2, 0, 3 * 7 * 2)


def test_an_operator_without_a_formula_counts_by_its_reference(monkeypatch):
    monkeypatch.delitem(OPERATORS, 'depthwise_conv2d')
    counted = count(lambda: ops.depthwise_conv2d(zeros(2, 5, 6, 8), zeros(8, 1, 3, 5)))
    assert counted.convolutions == 2 * 5 * 6 * 8 * 15


def test_every_formula_is_of_an_operator():
    assert {operator.name for operator in operators()} >= OPERATORS.keys()


def test_a_network_counts_as_it_is_computed(monkeypatch):
    """Convolutions, linear maps and deformable convolutions of MedVSR, whose reference makes the last by products."""
    monkeypatch.setenv('BASICSR_SSM_BACKEND', 'deform_conv2d=reference')
    net = MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8).eval()
    clip, shapes = torch.rand(1, 3, 3, 64, 72), []
    counted = count(lambda: shapes.append(net(clip).shape))
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        assert shapes == [net(clip).shape]
    computed = {str(k): v for k, v in flops.get_flop_counts()['Global'].items()}
    products = computed['aten.mm'] + computed['aten.addmm']
    assert 2 * (counted.linear + counted.deformable_convolutions) == products
    windows = 4 * 64 * 72 * 16 * 9  # inside of an operator: the convolution of C, once in each branch
    assert 2 * (counted.convolutions + windows) == computed['aten.convolution']


def test_nothing_is_left_behind():
    plainly = Operator.__call__
    with pytest.raises(ZeroDivisionError):
        count(lambda: 1 / 0)
    assert Operator.__call__ is plainly
    with pytest.raises(ValueError, match='stride 1'):
        import torchvision

        count(lambda: torchvision.ops.deform_conv2d(zeros(1, 1, 4, 4), zeros(1, 18, 2, 2), zeros(1, 1, 3, 3), stride=2))


def test_questions_about_numbers_are_answered_no():
    asked = []

    def function():
        x = torch.zeros(1, 4, 2)
        asked.extend([bool(x.norm() == 0), torch.equal(x[:, :2], x[:, 2:]), x.abs().mean().item()])

    count(function)
    assert asked == [False, False, 0]
