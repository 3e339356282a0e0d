import math

import numpy as np
import pytest
import torch
from basicsr.archs.spynet_arch import SpyNet
from torch import nn

from basicsr_ssm.errors import UserError
from basicsr_ssm.metrics.flow_error import FlowError, clip_flow_error, flow_pairs, mean_flow_error


class GreyFlow(nn.Module):
    """To the right by the difference of the frames' means in levels; and `lean` pixels down, whatever it is shown."""

    def __init__(self, lean=0.0):
        super().__init__()
        self.lean = nn.Parameter(torch.tensor(lean))

    def forward(self, a, b):
        right = (b - a).mean(dim=(1, 2, 3))[:, None, None, None] * 255
        one = torch.ones_like(a[:, :1])
        return torch.cat([right * one, self.lean * one], dim=1)


def grey(*levels, size=(40, 70)):
    return [np.full((*size, 3), level, np.uint8) for level in levels]


def test_a_network_that_agrees_with_itself_has_no_error():
    error = clip_flow_error(GreyFlow(), grey(10, 12, 9))
    assert error.omega == pytest.approx(0, abs=1e-2) and error.pixel == pytest.approx(0, abs=1e-4)
    assert error.motion == pytest.approx((2 + 3) / 2, abs=1e-4)


def test_the_values_of_equation_4():
    """Both directions lean down by 0.5 pixels: reversed, one of them leans up, and they are 1 pixel apart."""
    error = clip_flow_error(GreyFlow(0.5), grey(10, 10, 10, 10))
    assert error.pixel == pytest.approx(1, abs=1e-5)
    assert error.omega == pytest.approx(math.sqrt(3 * 40 * 70), rel=1e-5)
    assert error.motion == pytest.approx(0.5) and error.share == pytest.approx(2)


def test_directions():
    (forward, backward), *_ = flow_pairs(GreyFlow(0.25), grey(10, 14))
    assert forward.shape == (2, 40, 70)
    assert forward[0].mean() == pytest.approx(4, abs=1e-4) and forward[1].mean() == 0.25
    assert backward[0].mean() == pytest.approx(4, abs=1e-4) and backward[1].mean() == -0.25


def test_as_spynet_says_it():
    """Against all pairs at once."""
    torch.manual_seed(0)
    net = SpyNet().eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    tensors = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        difference = net(tensors[:-1], tensors[1:]) + net(tensors[1:], tensors[:-1])
    error = clip_flow_error(net, frames)
    assert error.omega == pytest.approx(float(difference.double().norm()), rel=1e-4)
    assert error.pixel == pytest.approx(float(difference.norm(dim=1).mean()), rel=1e-4)


def test_inside_a_mask():
    class Torn(GreyFlow):
        def forward(self, a, b):
            flow = super().forward(a, b)
            flow[..., 35:] += 7  # to the right and down, both ways: a difference of 14 each
            return flow

    mask = np.zeros((40, 70), bool)
    mask[5:9, :35] = True
    assert clip_flow_error(Torn(), grey(10, 12), mask=mask).pixel == pytest.approx(0, abs=1e-4)
    mask[5:9, 35:] = True
    error = clip_flow_error(Torn(), grey(10, 12), mask=mask)
    assert error.pixel == pytest.approx(14 * math.sqrt(2) / 2, rel=1e-5)
    assert error.omega == pytest.approx(14 * math.sqrt(2 * 4 * 35), rel=1e-5)


def test_mean_over_clips_and_too_few_frames():
    assert mean_flow_error([FlowError(1, 2, 3), FlowError(3, 4, 7)]) == FlowError(2, 3, 5)
    assert math.isnan(FlowError(0, 0, 0).share)
    with pytest.raises(UserError, match='a: flow needs at least two frames'):
        clip_flow_error(GreyFlow(), grey(1), 'a')
