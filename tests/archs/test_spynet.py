import pytest
import torch
from basicsr.archs import spynet_arch

from basicsr_ssm.archs.spynet import SpyNet


@pytest.fixture(scope='module')
def networks():
    torch.manual_seed(0)
    ours, theirs = SpyNet().eval(), spynet_arch.SpyNet().eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize('size', [(64, 64), (65, 70), (96, 130)])
def test_bit_for_bit_that_of_basicsr(networks, size):
    ours, theirs = networks
    a, b = torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours(a, b), theirs(a, b))


@pytest.mark.parametrize('size', [(64, 64), (65, 70)])
def test_same_gradients_bit_for_bit(networks, size):
    frames = torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(2))
    grads = []
    for net in networks:
        a, b = (v.clone().requires_grad_() for v in frames)
        grads.append(torch.autograd.grad(net(a, b).square().sum(), (a, b, *net.parameters())))
    for ours, theirs in zip(*grads, strict=True):
        assert ours.any() and torch.equal(ours, theirs)


def test_parameters_are_those_of_basicsr(networks):
    ours, theirs = ([(key, v.shape) for key, v in net.state_dict().items()] for net in networks)
    assert ours == theirs
