"""Metrics for BasicSR's validation; importing this package registers them."""

from basicsr_ssm.metrics.masked import calculate_masked_psnr, calculate_masked_ssim
from basicsr_ssm.metrics.measure import measure, takes_mask

__all__ = ['calculate_masked_psnr', 'calculate_masked_ssim', 'measure', 'takes_mask']
