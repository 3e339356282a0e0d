"""The selective scan by selective_scan_cuda of the package mamba-ssm, to compare with."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import triton_support, vendor_package

_MODULE = 'mamba_ssm.ops.selective_scan_interface'
_MOST_STATES = 256


def why_not(*args) -> str | None:
    if (reason := vendor_package.why_not('mamba-ssm', _MODULE)) is not None:
        return reason
    if not args:
        return None if torch.cuda.is_available() else 'no CUDA device'
    tensors, n = [v for v in args if isinstance(v, torch.Tensor)], args[2].shape[-1]
    if not all(v.is_cuda for v in tensors):
        return f'tensors on {tensors[0].device.type}, CUDA needed'
    if any(v.dtype not in triton_support.DTYPES for v in tensors):
        return 'float32, bfloat16 and float16 only'
    return f'{n} states; at most {_MOST_STATES}' if n > _MOST_STATES else None


def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, direction):
    """A and D with the directions first, (1, d, n) or (2, d, n); else as `selective_scan`.

    It knows one direction and channel-major tensors of one dtype: each call copies, and a reverse scan flips.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, B, C = (v.to(u.dtype).mT.contiguous() for v in (u, delta, B, C))
    bias = None if delta_bias is None else delta_bias.float()
    y = 0
    for i, reverse in enumerate({'forward': (False,), 'reverse': (True,), 'both': (False, True)}[direction]):
        tokens = [v.flip(2) if reverse else v for v in (u, delta, B, C)]
        skip = None if D is None else D[i].float()
        part = selective_scan_fn(*tokens[:2], A[i].float(), *tokens[2:], skip, None, bias, delta_softplus)
        y = y + (part.flip(2) if reverse else part)
    y = y.mT
    return y if z is None else (y * F.silu(z)).to(y.dtype)
