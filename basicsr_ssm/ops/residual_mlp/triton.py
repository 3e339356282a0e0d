"""The block's end in Triton: one launch for seven, and no hidden number in memory; forward only."""

from __future__ import annotations

import torch

from basicsr_ssm.ops import triton_support
from basicsr_ssm.ops.autocast import autocast_dtype
from basicsr_ssm.ops.layout import has_channels_together
from basicsr_ssm.ops.product_dtype import product_dtype

_CHANNELS = 16, 32, 64, 128  # a tile's numbers, of which there are four kinds, fit the registers


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args) or triton_support.why_not_recorded(*args)
    if reason is not None or not args:
        return reason
    x, mixed, projection, _, _, weight1, _, _, _, _, window = args
    hidden, channels = weight1.shape
    if channels not in _CHANNELS or hidden % channels:
        known = ', '.join(map(str, _CHANNELS))
        return f'{channels} channels, {hidden} hidden; {known}, and a multiple of them, only'
    if window and not has_channels_together(x):
        return 'a map whose channels do not lie side by side'
    dtype = product_dtype((x, mixed))
    if dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32:
        return 'float32 without TF32 (torch.backends.cuda.matmul.allow_tf32)'
    if projection.dtype != dtype and autocast_dtype(x.device.type) is None:
        return f'inputs in {dtype} and weights in {projection.dtype}, without autocast'
    return 'an empty tensor' if x.numel() == 0 else None


def call(x, mixed, projection, norm_weight, norm_bias, weight1, bias1, weight2, bias2, eps, window):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.residual_mlp.torch_op import residual_mlp

    dtype = product_dtype((x, mixed))
    weights = [v.to(dtype) for v in (projection, weight1, weight2)]
    return residual_mlp(x, mixed, *weights, norm_weight, norm_bias, bias1, bias2, eps, window or 0)
