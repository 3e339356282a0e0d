"""Networks given what no video holds, or what is not looked at: flows that are no numbers, clips that are recorded."""

import pytest
import torch
from torch import nn

from basicsr_ssm.archs import VSRM, MedVSR
from basicsr_ssm.archs.alignment import gather_pixels
from basicsr_ssm.archs.flow import clip_flows
from basicsr_ssm.ops import window_cross_scan

NETWORKS = {
    'MedVSR': lambda: MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3),
    'VSRM dca': lambda: VSRM(embed_dim=12, depths=(1,), d_state=4),
    'VSRM implicit': lambda: VSRM(embed_dim=12, depths=(1,), d_state=4, alignment='implicit'),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_a_flow_of_nan_gives_frames_of_nan(name):
    """For the training to stop with the name of the clip."""
    net = NETWORKS[name]()
    with torch.no_grad():
        net.spynet.basic_module[-1].basic_module[-1].bias.fill_(float('nan'))
    assert net(torch.rand(1, 3, 3, 8, 9)).isnan().any()


def test_pixels_of_large_frames():
    """Past 2²⁴ pixels float32 does not tell one from the next."""
    height, width = 3, 2**23 + 3
    frame = torch.arange(height * width, dtype=torch.int32).view(1, height, width, 1)
    x = torch.arange(width - 8, width, dtype=torch.float32)
    found = gather_pixels(frame, torch.stack([x, torch.full_like(x, 2)], -1)[None])
    assert found.flatten().tolist() == frame[0, 2, -8:, 0].tolist()


class Flows(nn.Module):
    """All flows of a clip, of a flow network that is only a difference."""

    def forward(self, clip):
        flows = clip_flows(lambda a, b: (a - 2 * b)[:, :2], clip)
        return torch.stack([*flows['backward'], *flows['forward']], 1)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning', 'ignore::DeprecationWarning')
def test_what_is_recorded_holds_for_other_clips():
    """A clip of zeros is its own mirror image, of which flows in one direction are those of the other reversed."""
    zeros, clip = torch.zeros(1, 4, 3, 8, 9), torch.rand(1, 4, 3, 8, 9)
    expected = Flows()(clip)
    assert torch.equal(torch.jit.trace(Flows(), zeros)(clip), expected)
    assert torch.equal(torch.export.export(Flows(), (zeros,), strict=False).module()(clip), expected)
    assert Flows()(clip.to('meta')).shape == expected.shape


def test_without_gradients_the_cross_scan_records_nothing():
    with torch.inference_mode():
        frame, positions, encoding = torch.rand(1, 5, 6, 8), torch.rand(1, 3, 4, 9, 2), torch.rand(9, 8)
        C, A, D = torch.rand(1, 3, 4, 2), -torch.rand(3, 2), torch.rand(3)
    assert not window_cross_scan(frame, positions, encoding, C, A, D).requires_grad
