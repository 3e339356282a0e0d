import pytest
import torch
from basicsr.archs.basicvsr_arch import ConvResidualBlocks as BasicSRs

from basicsr_ssm.archs import MedVSR
from basicsr_ssm.archs.deform_alignment import FlowGuidedDeformAlignment
from basicsr_ssm.archs.residual_blocks import ConvResidualBlocks
from basicsr_ssm.archs.upsampling import add_upsampling, upsample


def both(*sizes):
    nets = []
    for kind in (ConvResidualBlocks, BasicSRs):
        torch.manual_seed(0)
        nets.append(kind(*sizes))
    return nets


def test_the_start_is_basicsrs():
    ours, theirs = both(5, 8, 2)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize('blocks', [0, 3])
def test_several_features_are_as_one_bit_for_bit(blocks):
    ours, theirs = both(7, 8, blocks)
    features = [torch.rand(2, c, 9, 7, requires_grad=True) for c in (4, 1, 2)]
    results = []
    for net, out in ((ours, ours(*features)), (theirs, theirs(torch.cat(features, 1)))):
        results.append((out, *torch.autograd.grad(out.square().sum(), [*features, *net.parameters()])))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_offsets_are_those_of_the_layers_in_a_row(monkeypatch):
    align, seen = FlowGuidedDeformAlignment(16, 10), []
    torch.nn.init.normal_(align.conv_offset[-1].weight)
    monkeypatch.setattr(
        'basicsr_ssm.archs.deform_alignment.flow_guided_deform_conv', lambda feature, raw, *rest: seen.append(raw)
    )
    feature, *conditions = torch.rand(4, 1, 16, 5, 6)
    flow = torch.rand(1, 2, 5, 6)
    align(feature, conditions, flow)
    assert torch.equal(seen[0], align.conv_offset(torch.cat([*conditions, flow, flow], 1)))


@pytest.mark.parametrize('scale', [3, 4])
def test_upsampling_is_the_layers_in_a_row(scale):
    net = torch.nn.Module()
    add_upsampling(net, 16, scale)
    x, lq = torch.rand(2, 16, 5, 6), torch.rand(2, 3, 5, 6)
    out = x
    for name in ('upconv1', 'upconv2')[: 1 if scale == 3 else 2]:
        out = torch.nn.functional.pixel_shuffle(getattr(net, name)(out), 3 if scale == 3 else 2)
        out = torch.nn.functional.leaky_relu(out, 0.1)
    out = net.conv_last(torch.nn.functional.leaky_relu(net.conv_hr(out), 0.1))
    out = out + torch.nn.functional.interpolate(lq, scale_factor=scale, mode='bilinear', align_corners=False)
    assert torch.equal(upsample(net, x, lq, scale), out)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 5e-3), (torch.bfloat16, 0.03)], ids=str)
def test_network_with_and_without_its_kernel_on_a_gpu(dtype, tolerance, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    torch.manual_seed(0)
    net = MedVSR(mid_channels=32, num_blocks=2, n_convfe=2, n_convrec=3, window_size=8, rec_ks=3).cuda().eval()
    for branch in net.deform_align.values():
        torch.nn.init.normal_(branch.conv_offset[-1].weight, std=0.02)
    clip, results = torch.rand(1, 3, 3, 66, 70).cuda(), []
    for forced in ('', 'conv2d=reference'):
        monkeypatch.setenv('BASICSR_SSM_BACKEND', forced)
        with torch.no_grad(), torch.autocast('cuda', torch.bfloat16, enabled=dtype == torch.bfloat16):
            enlarged = torch.nn.functional.interpolate(clip[0], scale_factor=4, mode='bilinear')
            results.append(net(clip)[0].float() - enlarged)
    assert (results[0] - results[1]).norm() < tolerance * results[1].norm()
