"""The two orders in which VSRM reads the pixels of a clip (Fig. 2)."""

from __future__ import annotations

import torch

# order of (t, h, w), slowest first
ORDERS = {
    's2t': (0, 1, 2),  # spatial to temporal: frame by frame, each row by row
    't2s': (1, 2, 0),  # temporal to spatial: pixel by pixel, row by row, each through all frames
}


def to_tokens(x: torch.Tensor, order: tuple[int, int, int]) -> torch.Tensor:
    """(n, t, h, w, c) → (n, t·h·w, c)."""
    return x.permute(0, *(1 + axis for axis in order), 4).flatten(1, 3)


def from_tokens(tokens: torch.Tensor, order: tuple[int, int, int], shape: torch.Size) -> torch.Tensor:
    """The inverse of `to_tokens`, for the shape (n, t, h, w, c) of its input."""
    x = tokens.unflatten(1, [shape[1 + axis] for axis in order])
    return x.permute(0, *(1 + order.index(axis) for axis in range(3)), 4)
