import itertools

import numpy as np
import pytest
import torch

from basicsr_ssm.losses import FocalFrequencyLoss


def difference_spectra(pred, target, patch_factor):
    """(n, patches, c, h, w), complex: whole spectra of NumPy's."""
    difference = (pred - target).numpy()
    difference = difference.reshape(-1, *difference.shape[-3:])
    h, w = (size // patch_factor for size in difference.shape[-2:])
    places = itertools.product(range(patch_factor), repeat=2)
    patches = [difference[..., i * h : (i + 1) * h, j * w : (j + 1) * w] for i, j in places]
    return np.fft.fft2(np.stack(patches, 1), norm='ortho')


def weights(spectra, alpha, log_matrix, batch_matrix):
    weight = np.abs(spectra) ** alpha
    weight = np.log(1 + weight) if log_matrix else weight
    return weight / (weight.max() if batch_matrix else weight.max((-2, -1), keepdims=True))


@pytest.mark.parametrize('ave_spectrum', [False, True])
@pytest.mark.parametrize('batch_matrix', [False, True])
@pytest.mark.parametrize('alpha, log_matrix', [(1.0, False), (0.5, False), (2.0, True), (0, False)])
def test_value(pair, ave_spectrum, batch_matrix, alpha, log_matrix):
    options = dict(alpha=alpha, log_matrix=log_matrix, batch_matrix=batch_matrix)
    spectra = difference_spectra(*pair, 1)
    spectra = spectra.mean(0, keepdims=True) if ave_spectrum else spectra
    expected = (weights(spectra, **options) * np.abs(spectra) ** 2).mean()
    got = FocalFrequencyLoss(ave_spectrum=ave_spectrum, **options)(*pair)
    np.testing.assert_allclose(got.item(), expected, rtol=1e-10)


@pytest.mark.parametrize('size', [(6, 9), (12, 6)])
def test_patches(size):
    pair = torch.rand(2, 2, 3, *size, dtype=torch.float64)
    spectra = difference_spectra(*pair, 3)
    expected = (weights(spectra, 1, False, False) * np.abs(spectra) ** 2).mean()
    np.testing.assert_allclose(FocalFrequencyLoss(patch_factor=3)(*pair).item(), expected, rtol=1e-10)


def test_gradient_leaves_the_weight_alone(pair):
    """Half the derivative by a frame, with the weight held, is the inverse DFT of weight · difference."""
    pred, target = pair
    spectra = difference_spectra(pred, target, 1)
    expected = 2 * np.fft.ifft2(weights(spectra, 1, False, False) * spectra, norm='ortho').real / spectra.size
    pred.requires_grad_()
    FocalFrequencyLoss()(pred, target).backward()
    np.testing.assert_allclose(pred.grad.reshape(expected.shape).numpy(), expected, atol=1e-12)


def test_gradcheck_without_weight(pair):
    """With alpha 0 the weight is 1, and the loss a mean square error, by Parseval's theorem."""
    loss = FocalFrequencyLoss(alpha=0)
    torch.testing.assert_close(loss(*pair), torch.nn.functional.mse_loss(*pair))
    assert torch.autograd.gradcheck(loss, tuple(frames.requires_grad_() for frames in pair))


def test_bad_values():
    with pytest.raises(ValueError, match='patch_factor: expected a whole number above 0, got 0'):
        FocalFrequencyLoss(patch_factor=0)
    with pytest.raises(ValueError, match='patch_factor: frames of 8×9 do not split into 2×2 equal patches'):
        FocalFrequencyLoss(patch_factor=2)(torch.rand(1, 3, 8, 9), torch.rand(1, 3, 8, 9))
    with pytest.raises(ValueError, match=r'expected \(…, c, h, w\), got \(8, 9\)'):
        FocalFrequencyLoss()(torch.rand(8, 9), torch.rand(8, 9))
