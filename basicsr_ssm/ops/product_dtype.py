"""In which dtype matrices are multiplied."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch


def product_dtype(inputs: Sequence[torch.Tensor]) -> torch.dtype:
    """That of autocast, or of the inputs together, as convolutions and linear layers of PyTorch have it."""
    kind = inputs[0].device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return functools.reduce(torch.promote_types, (v.dtype for v in inputs))
