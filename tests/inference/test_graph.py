"""A network as a CUDA graph: the same results, for every shape, clip and precision."""

import pytest
import torch
from torch import nn

from basicsr_ssm.archs import MedVSR
from basicsr_ssm.inference.graph import GraphedNetwork


def test_on_a_cpu_the_network_is_called():
    net = GraphedNetwork(nn.Linear(3, 2)).eval()
    x = torch.rand(4, 3)
    assert torch.equal(net(x), net.net(x))
    net(x).sum().backward()
    assert net.net.weight.grad is not None


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, torch.bfloat16], ids=str)
def test_the_same_on_a_gpu(amp):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    torch.manual_seed(0)
    net = MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2).cuda().eval()
    graphed = GraphedNetwork(net).eval()

    def run(call, clip):
        with torch.inference_mode(), torch.autocast('cuda', amp or torch.bfloat16, enabled=amp is not None):
            return call(clip)

    for size in ((64, 64), (70, 66), (64, 80), (64, 64)):  # more shapes than graphs are kept
        for _ in range(4):
            clip = torch.rand(1, 4, 3, *size, device='cuda')
            got = run(graphed, clip)
            torch.empty(2**28, device='cuda').fill_(float('nan'))  # what was freed is written over
            assert torch.equal(got, run(net, clip)) or (got - run(net, clip)).abs().max() < (0.02 if amp else 1e-4)
    with torch.no_grad():  # new weights, the same graph
        net.conv_last.bias.add_(1)
    torch.testing.assert_close(run(graphed, clip), run(net, clip), rtol=1e-2, atol=1e-2)
