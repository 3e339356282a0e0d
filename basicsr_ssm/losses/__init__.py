"""Losses for BasicSR's loop; importing this package registers them."""

from basicsr_ssm.losses.focal_frequency_loss import FocalFrequencyLoss
from basicsr_ssm.losses.fourier_space_loss import FourierSpaceLoss
from basicsr_ssm.losses.frequency_charbonnier_loss import FrequencyCharbonnierLoss
from basicsr_ssm.losses.wavelet_high_frequency_loss import WaveletHighFrequencyLoss

__all__ = ['FocalFrequencyLoss', 'FourierSpaceLoss', 'FrequencyCharbonnierLoss', 'WaveletHighFrequencyLoss']
