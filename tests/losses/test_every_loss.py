"""What holds for each of the frequency losses."""

import pytest
import torch
from basicsr.losses import build_loss
from basicsr.utils.registry import LOSS_REGISTRY

OURS = sorted(name for name, cls in LOSS_REGISTRY if cls.__module__.startswith('basicsr_ssm'))


def test_all_are_registered():
    names = {'FocalFrequencyLoss', 'FourierSpaceLoss', 'FrequencyCharbonnierLoss', 'WaveletHighFrequencyLoss'}
    assert set(OURS) == names


@pytest.mark.parametrize('name', OURS)
def test_weight_is_a_factor(name, pair):
    one, three = (build_loss({'type': name, 'loss_weight': weight})(*pair) for weight in (1, 3))
    assert three.dim() == 0 and three.dtype == torch.float64
    torch.testing.assert_close(three, 3 * one)
    assert one > 0


@pytest.mark.parametrize('name', OURS)
def test_clip_is_a_batch_of_frames(name):
    pred, target = torch.rand(2, 2, 3, 3, 7, 8, dtype=torch.float64)
    loss = build_loss({'type': name})
    torch.testing.assert_close(loss(pred, target), loss(pred.flatten(0, 1), target.flatten(0, 1)))


@pytest.mark.parametrize('name', OURS)
def test_equal_frames_are_the_minimum(name, pair):
    loss, target = build_loss({'type': name}), pair[1].float()
    pred = target.clone().requires_grad_()
    least = loss(pred, target)
    least.backward()
    floor = 0.04e-3 if name == 'FrequencyCharbonnierLoss' else 0
    assert least.item() == pytest.approx(floor, rel=1e-5, abs=0)
    assert (pred.grad == 0).all()
    assert loss(pair[0].float(), target) > 100 * floor


@pytest.mark.parametrize('name', OURS)
@pytest.mark.parametrize('value', [0.0, 0.5])
def test_flat_frames_have_finite_gradients(name, value):
    """Their spectrum is zero nearly everywhere: amplitudes without phase, and rounding errors that are not zero."""
    for target in (torch.full((1, 3, 8, 9), value), torch.rand(1, 3, 8, 9)):
        for pred in (torch.full_like(target, value), torch.full_like(target, value) + 1e-9, torch.rand_like(target)):
            pred.requires_grad_()
            loss = build_loss({'type': name})(pred, target)
            loss.backward()
            assert loss.isfinite() and pred.grad.isfinite().all()


@pytest.mark.parametrize('name', OURS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_computed_in_float32(name, dtype):
    pred, target = torch.rand(2, 2, 2, 3, 12, 12).to(dtype)
    loss = build_loss({'type': name})
    exact = loss(pred.float(), target.float())
    pred.requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        cast = loss(pred, target)
    assert cast.dtype == torch.float32 and torch.equal(cast, exact)
    cast.backward()
    assert pred.grad.dtype == dtype and pred.grad.isfinite().all()


@pytest.mark.parametrize('name', OURS)
@pytest.mark.parametrize('shape', [(1, 3, 8, 9), (3, 8, 8), (1, 1, 8, 8), (1, 1, 3, 8, 8)])
def test_shapes_that_differ(name, shape):
    with pytest.raises(ValueError, match='pred .* and target .* differ in shape'):
        build_loss({'type': name})(torch.rand(1, 3, 8, 8), torch.rand(shape))


@pytest.mark.gpu
@pytest.mark.parametrize('name', OURS)
def test_on_a_gpu(name):
    pred, target = torch.rand(2, 2, 2, 3, 15, 12)
    loss = build_loss({'type': name})
    with torch.autocast('cuda', torch.bfloat16):
        on_gpu = loss(pred.cuda(), target.cuda())
    assert on_gpu.dtype == torch.float32
    torch.testing.assert_close(on_gpu.cpu(), loss(pred, target), rtol=1e-4, atol=1e-6)
