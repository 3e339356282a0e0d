"""Wavelet-domain high frequency loss, which VSRM is compared with."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn
from torch.nn import functional as F

from basicsr_ssm.losses.checks import check_pair


@LOSS_REGISTRY.register()
class WaveletHighFrequencyLoss(nn.Module):
    """After Kim and Cho, "WHFL: Wavelet-Domain High Frequency Loss for Sketch-to-Image Translation" (WACV 2023): the
    wavelet coefficients of pred and target are compared over several levels of decomposition, under a weight matrix
    that rises with the frequency band.

    The paper's weight matrix was not at hand, so the numbers are ours, and comparisons with published WHFL figures need
    care: the loss is the mean over the orthonormal Haar transform, (h, w) coefficients for a frame of (h, w), of

        weight(band) · |W_pred − W_target|,        weight(band) = (r(band) / r(HH₁))^gamma,

    where r is the distance of the band's centre from frequency zero. A band of level l spans, in each direction, the
    frequencies 0 … π/2^l (low-pass, L) or π/2^l … 2π/2^l (high-pass, H); centres are in the middle of that. HH₁, the
    finest diagonal detail, has weight 1; with gamma = 1 each further level has half the weight, LH and HL have 0.745 of
    HH's, and the remaining LL has a third. gamma = 0 is the plain mean of absolute differences.

    Args:
        loss_weight: factor of the whole.
        levels: of decomposition. Odd sizes are made even by repeating the last row or column.
        gamma: how strongly the weight rises with the frequency.

    Raises:
        ValueError: levels below 1, or a negative gamma.
    """

    def __init__(self, loss_weight: float = 1.0, levels: int = 3, gamma: float = 1.0):
        super().__init__()
        if levels < 1:
            raise ValueError(f'levels: expected a whole number above 0, got {levels!r}')
        if gamma < 0:
            raise ValueError(f'gamma: expected a number from 0 on, got {gamma!r}')
        self.loss_weight = loss_weight
        self.levels = levels
        self.gamma = gamma

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """pred, target (…, h, w), clips or images, of any precision → float32 (or float64) number.

        Raises:
            ValueError: shapes differ.
        """
        pred, target = check_pair(pred, target)
        low = (pred - target).reshape(-1, 1, *pred.shape[-2:])  # the transform is linear: one instead of two
        total, count = 0, 0
        for level in range(1, self.levels + 1):
            low, *details = haar(low)
            bands = [(low, 0, 0)] if level == self.levels else []
            for band, high_x, high_y in [*zip(details, (1, 0, 1), (0, 1, 1), strict=True), *bands]:
                total = total + self._weight(level, high_x, high_y) * band.abs().sum()
                count += band.numel()
        return self.loss_weight * total / count

    def _weight(self, level: int, high_x: int, high_y: int) -> float:
        radius_squared = ((0.5 + high_x) ** 2 + (0.5 + high_y) ** 2) / 4**level
        return (radius_squared / (2 * 1.5**2 / 4)) ** (self.gamma / 2)


def haar(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One level of the orthonormal 2D Haar transform.

    Args:
        x: (n, c, h, w); of odd sizes the last row or column is repeated.

    Returns:
        Low-pass, high-pass along x, high-pass along y and high-pass along both, each (n, c, ⌈h/2⌉, ⌈w/2⌉).
    """
    h, w = x.shape[-2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2), mode='replicate')
    left, right = x[..., 0::2], x[..., 1::2]
    low_x, high_x = left + right, left - right
    low, high_y = low_x[..., 0::2, :] + low_x[..., 1::2, :], low_x[..., 0::2, :] - low_x[..., 1::2, :]
    high, both = high_x[..., 0::2, :] + high_x[..., 1::2, :], high_x[..., 0::2, :] - high_x[..., 1::2, :]
    return low / 2, high / 2, high_y / 2, both / 2
