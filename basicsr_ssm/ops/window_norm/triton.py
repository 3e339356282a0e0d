"""The norm in Triton: one launch for padding, windows and norm; forward only."""

from __future__ import annotations

from basicsr_ssm.ops import triton_support
from basicsr_ssm.ops.layout import has_channels_together

_MOST_CHANNELS = 1024


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args) or triton_support.why_not_recorded(*args)
    if reason is not None or not args:
        return reason
    x = args[0]
    if not has_channels_together(x):
        return 'a map whose channels do not lie side by side'
    if x.shape[1] > _MOST_CHANNELS:
        return f'{x.shape[1]} channels, {_MOST_CHANNELS} at most'
    return 'an empty tensor' if x.numel() == 0 else None
