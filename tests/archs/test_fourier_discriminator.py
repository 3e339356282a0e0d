import pytest
import torch
from torch.nn import functional as F

from basicsr_ssm.archs import FourierDiscriminator


@pytest.mark.parametrize('size', [(1, 1), (2, 5), (16, 16), (33, 20)])
def test_any_size(size):
    frames = torch.rand(3, 3, *size, requires_grad=True)
    judgement = FourierDiscriminator(num_feat=8)(frames)
    assert judgement.shape == (3, 1)
    judgement.sum().backward()
    assert frames.grad.isfinite().all()


@pytest.mark.parametrize('value', [0.0, 0.5])
def test_gradients_are_finite_without_amplitude(value):
    frames = torch.full((1, 3, 12, 12), value, requires_grad=True)
    FourierDiscriminator(num_feat=8)(frames).sum().backward()
    assert frames.grad.isfinite().all()


def test_gradient():
    frames = torch.rand(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    net = FourierDiscriminator(num_in_ch=2, num_feat=4).double()
    assert torch.autograd.gradcheck(net, frames)


def test_spectrum_is_taken_in_float32():
    net, frames = FourierDiscriminator(num_feat=8), torch.rand(2, 3, 8, 8).bfloat16()
    seen = []
    net.pointwise.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.autocast('cpu', torch.bfloat16):
        net(frames)
    net(frames.float())
    assert seen[0].dtype == torch.float32 and torch.equal(*seen)


def test_learns_to_tell_blurred_frames():
    """Also at another size than it has learned from."""
    net = FourierDiscriminator(num_feat=8)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)

    def judgements(size):
        real = torch.rand(8, 3, size, size)
        return net(real), net(F.avg_pool2d(F.pad(real, (1, 1, 1, 1), 'replicate'), 3, 1))

    for _ in range(60):
        optimizer.zero_grad()
        real, fake = judgements(12)
        (F.softplus(-real) + F.softplus(fake)).mean().backward()
        optimizer.step()
    real, fake = judgements(20)
    assert real.min() > 0 > fake.max()


def test_wrong_channels():
    with pytest.raises(ValueError, match=r'expected \(n, 3, h, w\), got \(2, 1, 8, 8\)'):
        FourierDiscriminator()(torch.rand(2, 1, 8, 8))
    with pytest.raises(ValueError, match='num_in_ch, num_feat and num_layers must be above 0'):
        FourierDiscriminator(num_layers=0)
