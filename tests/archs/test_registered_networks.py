"""Every restoring network of this package in BasicSR's registry can be built and run."""

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY

SMALL = {
    'MedVSR': dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3),
    'VSRM': dict(embed_dim=12, depths=(1,), d_state=4),
}
OURS = sorted(
    name
    for name, cls in ARCH_REGISTRY
    if cls.__module__.startswith('basicsr_ssm') and not name.endswith('Discriminator')
)


def test_there_are_some():
    assert {'MedVSR', 'VSRM'} <= set(OURS)


@pytest.mark.parametrize('name', OURS)
def test_builds_runs_and_learns(name):
    from basicsr.archs import build_network

    net = build_network({'type': name, **SMALL[name]})
    clip = torch.rand(1, 2, 3, 16, 24)
    out = net(clip)
    assert out.shape == (1, 2, 3, 16 * net.scale, 24 * net.scale)
    out.mean().backward()
    assert any(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize('name', OURS)
def test_same_weights_same_output(name):
    from basicsr.archs import build_network

    net, twin = (build_network({'type': name, **SMALL[name]}).eval() for _ in range(2))
    twin.load_state_dict(net.state_dict())
    clip = torch.rand(1, 2, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(net(clip), twin(clip))
