"""The windowed cross scan in plain PyTorch, on any device: the truth."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

# Decays (pixels · k · d · s) that the reference holds at once.
_ELEMENTS_AT_ONCE = 1 << 24


def reference(frame, positions, encoding, C, A, D):
    dtype = torch.promote_types(frame.dtype, torch.float32)
    points, width = positions.shape[3], positions.shape[2]
    rows = max(1, _ELEMENTS_AT_ONCE // (width * points * A.numel()))
    tensors = frame.to(dtype), encoding.to(dtype), A.to(dtype), D.to(dtype)
    scan = _scan_rows
    if torch.is_grad_enabled() and any(v.requires_grad for v in (frame, positions, encoding, C, A, D)):
        # the decays are made again in the backward pass: they are d·s / (2d + s) times the samples
        scan = partial(checkpoint, _scan_rows, use_reentrant=False, preserve_rng_state=False)
    outs = []
    with torch.autocast(frame.device.type, enabled=False):
        for image in range(len(frame)):
            for some, c in zip(positions[image].split(rows), C[image].split(rows), strict=True):
                args = (tensors[0][image], some.to(dtype), tensors[1], c.to(dtype), *tensors[2:])
                outs.append(scan(*args))
    return torch.cat(outs).view(*positions.shape[:3], -1).to(frame.dtype)


def _scan_rows(frame, positions, encoding, C, A, D):
    """One image (H, W, 2d + s) and a few rows of targets: positions (r, w, k, 2), C (r, w, s) → (r, w, d)."""
    d, s = A.shape
    samples = sample_points(frame[None], positions.flatten(0, 1)[None])[0] + encoding  # (r·w, k, 2d + s)
    u, delta, B = samples.split([d, d, s], dim=-1)
    delta = F.softplus(delta)
    # what decays the contribution of point j: all Δ after it
    later = delta.flip(1).cumsum(1).flip(1) - delta
    weights = torch.einsum('pkds,pks->pkd', torch.exp(later.unsqueeze(-1) * A), B * C.flatten(0, 1).unsqueeze(1))
    y = (weights * delta * u).sum(1) + D * u[:, -1]
    return y.view(*C.shape[:2], d)


def sample_points(frame: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Bilinear samples of frame (n, H, W, c) at positions (n, …, 2), (x, y) in pixels, edges repeated → (n, …, c)."""
    n, height, width, channels = frame.shape
    x, y = (2 * positions + 1).unbind(-1)
    # grid_sample divides by size − 1 where corners are aligned; with unaligned ones any size will do
    grid = torch.stack([x / width - 1, y / height - 1], -1).reshape(n, -1, 1, 2)
    out = F.grid_sample(frame.permute(0, 3, 1, 2), grid, mode='bilinear', padding_mode='border', align_corners=False)
    return out.squeeze(3).mT.reshape(n, *positions.shape[1:-1], channels)
