"""What autocast computes in, asked as every supported release of PyTorch can be."""

from __future__ import annotations

import torch

_BY_DEVICE = hasattr(torch, 'get_autocast_dtype')  # torch 2.4, which deprecates the functions below


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype of autocast on such a device, 'cpu' or 'cuda' and the like; None where it is off."""
    if _BY_DEVICE:
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if device_type == 'cuda' and torch.is_autocast_enabled() else None
