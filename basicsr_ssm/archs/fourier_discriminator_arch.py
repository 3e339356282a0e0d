"""A discriminator that sees spectra."""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from basicsr_ssm.ops.spectrum import half_spectrum, hann_window

# amplitude in the orthonormal DFT: about what rounding pixels to 8 bits adds
EPS = 1e-3


@ARCH_REGISTRY.register()
class FourierDiscriminator(nn.Module):
    """Tells real frames from restored ones by their Fourier spectra, for ``network_d`` of an option file.

    After Fuoli et al., "Fourier Space Losses for Efficient Perceptual Image Super-Resolution" (ICCV 2021), whose
    discriminator works in the Fourier domain, beside the supervised `FourierSpaceLoss`. The layers are ours, made for
    frames of any size: frames are multiplied by a Hann window; since neighbours in a spectrum have no more in common
    than others, pointwise layers read each frequency (log amplitude, cosine and sine of the phase for each channel, and
    where the frequency lies); the features are averaged over the frequencies, and a second network judges the average.

    Args:
        num_in_ch: channels of the frames.
        num_feat: width of both networks.
        num_layers: pointwise layers before the average.

    Raises:
        ValueError: an argument below 1.
    """

    def __init__(self, num_in_ch: int = 3, num_feat: int = 64, num_layers: int = 3):
        super().__init__()
        if min(num_in_ch, num_feat, num_layers) < 1:
            raise ValueError('FourierDiscriminator: num_in_ch, num_feat and num_layers must be above 0')
        self.num_in_ch = num_in_ch
        widths = [3 * num_in_ch + 2] + [num_feat] * num_layers
        layers = [(nn.Conv2d(a, b, 1), nn.LeakyReLU(0.2)) for a, b in zip(widths, widths[1:], strict=False)]
        self.pointwise = nn.Sequential(*(part for layer in layers for part in layer))
        self.judge = nn.Sequential(nn.Linear(num_feat, num_feat), nn.LeakyReLU(0.2), nn.Linear(num_feat, 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w), any h and w → (n, 1), the higher the more real (a logit, for GAN losses that take one).

        Raises:
            ValueError: another number of channels.
        """
        if frames.dim() != 4 or frames.shape[1] != self.num_in_ch:
            raise ValueError(f'expected (n, {self.num_in_ch}, h, w), got {(*frames.shape,)}')
        exact = torch.promote_types(frames.dtype, torch.float32)  # half precision has too few digits for the DFT
        features = self.pointwise(self._describe(frames.to(exact)))
        return self.judge(features.mean((-2, -1)))

    def _describe(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) → (n, 3c + 2, h, w // 2 + 1), finite and with finite gradients where there is no amplitude."""
        n, _, h, w = frames.shape
        spectrum = half_spectrum(frames * hann_window(h, w, frames), 'ortho')
        amplitude = spectrum.abs() + EPS
        vertical = 2 * torch.fft.fftfreq(h, dtype=frames.dtype, device=frames.device)
        horizontal = 2 * torch.fft.rfftfreq(w, dtype=frames.dtype, device=frames.device)
        place = torch.stack(torch.meshgrid(vertical, horizontal, indexing='ij')).expand(n, -1, -1, -1)
        return torch.cat([amplitude.log(), spectrum.real / amplitude, spectrum.imag / amplitude, place], 1)
