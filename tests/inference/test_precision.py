import pytest
import torch

from basicsr_ssm.archs import VSRM, MedVSR
from basicsr_ssm.inference.precision import cast_weights

NETWORKS = {
    'MedVSR': lambda: MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2),
    'VSRM': lambda: VSRM(embed_dim=12, depths=(1,), attention_heads=2),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_the_same_under_autocast(name):
    torch.manual_seed(0)
    net, clip = NETWORKS[name]().eval(), torch.rand(1, 3, 3, 64, 64)
    results = []
    for cast in (False, True):
        if cast:
            cast_weights(net, torch.bfloat16)
        with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16):
            results.append(net(clip))
    assert torch.equal(*results)
    lower = sum(p.numel() for p in net.parameters() if p.dtype == torch.bfloat16)
    assert lower > 0.9 * sum(p.numel() for p in net.parameters())


@pytest.mark.gpu
def test_weights_of_convolutions_are_laid_out_on_a_gpu():
    net = MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2).cuda()
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    cast_weights(net, torch.float32)
    for name, weight in net.named_parameters():
        assert torch.equal(weight, before[name])
        if name.startswith(('backbone', 'upconv')) and weight.dim() == 4:
            assert weight.is_contiguous(memory_format=torch.channels_last)
