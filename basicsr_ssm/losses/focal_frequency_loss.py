"""Focal frequency loss, which VSRM is compared with."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn

from basicsr_ssm.losses.checks import check_pair
from basicsr_ssm.ops.spectrum import full_sum, half_spectrum


@LOSS_REGISTRY.register()
class FocalFrequencyLoss(nn.Module):
    """Focal frequency loss (FFL) of Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis" (ICCV
    2021): the mean over the spectrum of w(u, v) · |X_pred(u, v) − X_target(u, v)|², where the weight

        w(u, v) = |X_pred(u, v) − X_target(u, v)|^alpha

    is divided by its largest value and not differentiated: hard frequencies count more. X is the orthonormal 2D DFT.

    Args:
        loss_weight: factor of the whole.
        alpha: exponent of the weight.
        patch_factor: cut frames into patch_factor × patch_factor patches with a spectrum each.
        ave_spectrum: compare the average spectra of the batch.
        log_matrix: take log(1 + w) for w.
        batch_matrix: divide by the largest weight of the batch instead of each spectrum's own.

    Raises:
        ValueError: a patch_factor below 1.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        alpha: float = 1.0,
        patch_factor: int = 1,
        ave_spectrum: bool = False,
        log_matrix: bool = False,
        batch_matrix: bool = False,
    ):
        super().__init__()
        if patch_factor < 1:
            raise ValueError(f'patch_factor: expected a whole number above 0, got {patch_factor!r}')
        self.loss_weight = loss_weight
        self.alpha = alpha
        self.patch_factor = patch_factor
        self.ave_spectrum = ave_spectrum
        self.log_matrix = log_matrix
        self.batch_matrix = batch_matrix

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """pred, target (…, c, h, w) of any precision → float32 (or float64) number. A clip's frames are a batch.

        Raises:
            ValueError: shapes differ, or cannot be cut into patches.
        """
        pred, target = check_pair(pred, target, axes=3)
        patches = self._patches(pred - target)  # the DFT and its average are linear: one transform instead of two
        spectrum = half_spectrum(patches, 'ortho')
        if self.ave_spectrum:
            spectrum = spectrum.mean(0)
        distance = spectrum.real.square() + spectrum.imag.square()
        weighted = full_sum(self._weight(distance.detach()) * distance, patches.shape[-1])
        return self.loss_weight * weighted.mean() / (patches.shape[-2] * patches.shape[-1])

    def _patches(self, frames: torch.Tensor) -> torch.Tensor:
        """(…, c, h, w) → (n, c, k, k, h/k, w/k) for patch_factor k."""
        k = self.patch_factor
        *_, c, h, w = frames.shape
        if h % k or w % k:
            raise ValueError(f'patch_factor: frames of {h}×{w} do not split into {k}×{k} equal patches')
        return frames.reshape(-1, c, k, h // k, k, w // k).transpose(3, 4)

    def _weight(self, distance: torch.Tensor) -> torch.Tensor:
        weight = distance.sqrt() ** self.alpha
        if self.log_matrix:
            weight = weight.log1p()
        largest = weight.amax() if self.batch_matrix else weight.amax((-2, -1), keepdim=True)
        # where nothing differs there is nothing to weigh, and no 0 / 0
        return weight / largest.clamp(min=torch.finfo(weight.dtype).tiny)
