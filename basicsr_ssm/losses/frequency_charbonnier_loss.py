"""The frequency loss of VSRM."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn

from basicsr_ssm.losses.checks import check_choice, check_pair
from basicsr_ssm.ops.spectrum import NORMS, full_sum, half_spectrum

REDUCTIONS = ('mean', 'sum', 'none')


@LOSS_REGISTRY.register()
class FrequencyCharbonnierLoss(nn.Module):
    """Frequency Charbonnier-like loss (FCL) of VSRM (CVPR 2025), Eq. 14, on the 2D DFT X of every frame and channel:

        Σ_{i ∈ {Re, Im}} λ_i · sqrt((i X(pred) − i X(target))² + eps²)

    for each element of the spectrum. The equation leaves the norm open: here elements stay apart, and ``reduction``
    joins them. At its minimum, pred = target, the mean is (lambda_re + lambda_im) · eps.

    The scale of ``norm`` is part of the weight. 'backward' is Eq. 13 to the letter: a pixel error spread like noise has
    √(h·w) times its own size in each element, so that the same λ weighs 256 times more on crops of 256×256 than with
    'ortho', whose weight does not depend on the size of the crop. 'forward' divides by √(h·w) once more.

    Args:
        loss_weight: factor of the whole.
        lambda_re: weight λ_Re of the real parts.
        lambda_im: weight λ_Im of the imaginary parts.
        eps: rounding of the corner at zero, above 0, in units of the spectrum.
        norm: of the DFT, 'backward' (no factor), 'ortho' (1/√(h·w)) or 'forward' (1/(h·w)).
        reduction: 'mean' or 'sum' over all elements, or 'none'.

    Raises:
        ValueError: an unknown norm or reduction, or an eps that is not above 0.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        lambda_re: float = 0.02,
        lambda_im: float = 0.02,
        eps: float = 1e-3,
        norm: str = 'backward',
        reduction: str = 'mean',
    ):
        super().__init__()
        check_choice('norm', norm, NORMS)
        check_choice('reduction', reduction, REDUCTIONS)
        if not eps > 0:
            raise ValueError(f'eps: expected a number above 0, got {eps!r}')
        self.loss_weight = loss_weight
        self.lambda_re = lambda_re
        self.lambda_im = lambda_im
        self.eps = eps
        self.norm = norm
        self.reduction = reduction

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """pred, target (…, h, w), clips or images, of any precision → float32 (or float64) number, or (…, h, w).

        Raises:
            ValueError: shapes differ.
        """
        pred, target = check_pair(pred, target)
        difference = pred - target  # the DFT is linear: one transform instead of two
        if self.reduction == 'none':
            return self.loss_weight * self._charbonnier(torch.fft.fft2(difference, norm=self.norm))
        total = full_sum(self._charbonnier(half_spectrum(difference, self.norm)), difference.shape[-1]).sum()
        return self.loss_weight * (total / difference.numel() if self.reduction == 'mean' else total)

    def _charbonnier(self, spectrum: torch.Tensor) -> torch.Tensor:
        real, imag = ((part.square() + self.eps**2).sqrt() for part in (spectrum.real, spectrum.imag))
        return self.lambda_re * real + self.lambda_im * imag
