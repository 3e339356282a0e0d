"""Fourier space loss, which VSRM is compared with."""

from __future__ import annotations

import math

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn

from basicsr_ssm.losses.checks import check_choice, check_pair
from basicsr_ssm.ops.spectrum import NORMS, full_sum, half_spectrum, hann_window

WINDOWS = ('hann', 'none')


@LOSS_REGISTRY.register()
class FourierSpaceLoss(nn.Module):
    """The supervised part of Fuoli et al., "Fourier Space Losses for Efficient Perceptual Image Super-Resolution" (ICCV
    2021): frames are multiplied by a Hann window, against the edges that a DFT sees where a frame meets itself; then

        ½ · mean | |X_pred| − |X_target| |  +  ½ · mean | ∠X_pred − ∠X_target |

    over the spectrum, with the phase difference taken around the circle, 0 … π. The paper adds up half of the spectrum,
    as the other half mirrors it; this is the mean over the whole, for odd sizes, too.

    Chosen here: the window is the periodic one, as `torch.hann_window`; the DFT is orthonormal, so that amplitudes do
    not depend on the size of the crop; and a coefficient whose amplitude in pred or target is below ``eps`` has no
    phase: it adds no phase difference and no gradient, which would otherwise grow like 1/amplitude without bound.

    The adversarial part is `FourierDiscriminator`, as ``network_d`` of the option file.

    Args:
        loss_weight: factor of the whole.
        window: 'hann' or 'none'.
        norm: of the DFT, 'ortho' (1/√(h·w)), 'backward' (no factor) or 'forward' (1/(h·w)).
        eps: amplitude in the orthonormal DFT, above 0. Default: a tenth of what rounding pixels to 8 bits adds.

    Raises:
        ValueError: an unknown window or norm, or an eps that is not above 0.
    """

    def __init__(self, loss_weight: float = 1.0, window: str = 'hann', norm: str = 'ortho', eps: float = 1e-4):
        super().__init__()
        check_choice('window', window, WINDOWS)
        check_choice('norm', norm, NORMS)
        if not eps > 0:
            raise ValueError(f'eps: expected a number above 0, got {eps!r}')
        self.loss_weight = loss_weight
        self.window = window
        self.norm = norm
        self.eps = eps

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """pred, target (…, h, w), clips or images, of any precision → float32 (or float64) number.

        Raises:
            ValueError: shapes differ.
        """
        pred, target = check_pair(pred, target)
        h, w = pred.shape[-2:]
        if self.window == 'hann':
            window = hann_window(h, w, pred)
            pred, target = pred * window, target * window
        ours, theirs = half_spectrum(pred, 'ortho'), half_spectrum(target, 'ortho')
        scale = {'ortho': 1, 'backward': math.sqrt(h * w), 'forward': 1 / math.sqrt(h * w)}[self.norm]
        amplitude = scale * (ours.abs() - theirs.abs()).abs()
        both = 0.5 * amplitude + 0.5 * self._phase_difference(ours, theirs).abs()
        return self.loss_weight * full_sum(both, w).sum() / pred.numel()

    def _phase_difference(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """∠one − ∠other in −π … π: the angle of one · conj(other), written out, so that it is exactly 0 for equals."""
        cross = one.imag * other.real - one.real * other.imag
        dot = one.real * other.real + one.imag * other.imag
        known = (one.detach().abs() > self.eps) & (other.detach().abs() > self.eps)
        # atan2 sees no zeros even where its result is not taken: their gradient would be NaN
        return torch.atan2(torch.where(known, cross, 0), torch.where(known, dot, 1))
