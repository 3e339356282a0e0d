import math

import numpy as np
import pytest
import torch
from scipy import fft, signal

from basicsr_ssm.losses import FourierSpaceLoss


def parts(pred, target, window, norm):
    """Means of amplitude and phase difference over whole spectra of SciPy's."""
    h, w = pred.shape[-2:]
    edges = np.outer(signal.get_window('hann', h), signal.get_window('hann', w)) if window == 'hann' else 1
    ours, theirs = (fft.fft2(frames.numpy() * edges, norm=norm) for frames in (pred, target))
    turn = np.abs(np.angle(ours) - np.angle(theirs))
    return np.abs(np.abs(ours) - np.abs(theirs)).mean(), np.minimum(turn, 2 * np.pi - turn).mean()


@pytest.mark.parametrize('window', ['hann', 'none'])
@pytest.mark.parametrize('norm', ['ortho', 'backward', 'forward'])
def test_value(pair, window, norm):
    got = FourierSpaceLoss(window=window, norm=norm, eps=1e-12)(*pair).item()
    np.testing.assert_allclose(got, sum(parts(*pair, window, norm)) / 2, rtol=1e-9)


def test_phase_goes_around_the_circle():
    """A wave that is moved by s of its n pixels has turned by 2π·s/n, the shorter way: 5 of 8 are 3 back."""
    x = 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8
    wave = torch.cos(x).expand(8, 8)
    loss = FourierSpaceLoss(window='none')
    for moved, turned in ((1, 1 / 8), (3, 3 / 8), (4, 1 / 2), (5, 3 / 8), (7, 1 / 8)):
        # two of the 64 coefficients are there at all, and their amplitudes are equal
        expected = 0.5 * 2 * 2 * math.pi * turned / 64
        assert loss(wave.roll(moved, 1), wave).item() == pytest.approx(expected)


def test_gradient(pair):
    frames = tuple(frames[..., :1, :5, :6].clone().requires_grad_() for frames in pair)
    assert torch.autograd.gradcheck(FourierSpaceLoss(), frames)


def test_coefficients_without_amplitude_have_no_phase():
    """Moved by less than eps, the phase of nothing may be anything; its gradient stays bounded."""
    target = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    pred = torch.zeros_like(target).requires_grad_()
    loss = FourierSpaceLoss(window='none')
    value = loss(pred, target)
    value.backward()
    amplitude = np.abs(fft.fft2(target.numpy(), norm='ortho')).mean()
    assert value.item() == pytest.approx(amplitude / 2)
    assert (pred.grad == 0).all()
    pred = (1e-3 * torch.rand_like(target)).requires_grad_()
    loss(pred, target).backward()
    assert pred.grad.abs().max() < 0.5 / loss.eps


@pytest.mark.parametrize(
    'options, message',
    [
        ({'norm': 'orto'}, "norm: unknown 'orto'; there are"),
        ({'window': 'hamming'}, "window: unknown 'hamming'; there are 'hann', 'none'"),
        ({'eps': 0}, 'eps: expected a number above 0, got 0'),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(ValueError, match=message):
        FourierSpaceLoss(**options)
