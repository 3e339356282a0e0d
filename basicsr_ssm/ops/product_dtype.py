"""In which dtype matrices are multiplied."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from basicsr_ssm.ops.autocast import autocast_dtype


def product_dtype(inputs: Sequence[torch.Tensor]) -> torch.dtype:
    """That of autocast, or of the inputs together, as convolutions and linear layers of PyTorch have it."""
    chosen = autocast_dtype(inputs[0].device.type)
    return chosen or functools.reduce(torch.promote_types, (v.dtype for v in inputs))
