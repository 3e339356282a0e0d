"""Cut large frames into overlapping tiles that fit into memory one at a time, and put the results together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

# Tiles start at multiples of this: MedVSR's windows then hold the same pixels as in the whole frame.
ALIGNMENT = 16
LEAST_TILE = 64  # pixels; networks pad smaller frames
# What a seam costs is measured in docs/results.md, "Large frames in tiles".
TILE_OVERLAP = 64


def usual_tile_overlap(size: int) -> int:
    """Overlap for tiles of ``size`` pixels: 64, but at most a quarter of the tile."""
    return min(TILE_OVERLAP, size // 4)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a frame.

    Attributes:
        rows, columns: slices of the frame that the network is given.
        kept_rows, kept_columns: slices of the frame whose result is taken from this tile; the rest only gives context.
    """

    rows: slice
    columns: slice
    kept_rows: slice
    kept_columns: slice


def tiles_of(height: int, width: int, size: int, overlap: int) -> list[Tile]:
    """Cut a frame into tiles that overlap by ``overlap`` pixels at least.

    All tiles have one shape, at most ``size`` pixels to a side: of that, as much as lets every tile start at a multiple
    of ALIGNMENT and the last one end with the frame. A frame that is not longer than ``size`` to one side is not cut
    there. Each pixel is kept from the tile in which it lies farthest from a border that is not the frame's.

    Raises:
        ValueError: unless overlap is at least 0 and leaves ALIGNMENT pixels of a tile.
    """
    if not 0 <= overlap <= size - 2 * ALIGNMENT:
        raise ValueError(f'overlap must be 0 … {size - 2 * ALIGNMENT} for tiles of {size} pixels, got {overlap}')
    columns = _spans(width, size, overlap)
    return [Tile(y, x, kept_y, kept_x) for y, kept_y in _spans(height, size, overlap) for x, kept_x in columns]


def _spans(length: int, size: int, overlap: int) -> list[tuple[slice, slice]]:
    """What the network is given and what is kept of one side of the frame."""
    if length <= size:
        return [(slice(0, length), slice(0, length))]
    size -= (size - length) % ALIGNMENT
    steps = (length - size) // ALIGNMENT  # from the first start to the last
    count = -(-steps // ((size - overlap) // ALIGNMENT))
    starts = [ALIGNMENT * (steps * i // count) for i in range(count + 1)]
    borders = [0, *((one + size + other) // 2 for one, other in pairwise(starts)), length]
    return [
        (slice(start, start + size), slice(first, last))
        for start, (first, last) in zip(starts, pairwise(borders), strict=True)
    ]


def smaller_tile(height: int, width: int, size: int) -> int | None:
    """Half of ``size`` (0: the whole frame) for a frame that memory did not suffice for, but at least LEAST_TILE.

    Always a multiple of ALIGNMENT, and smaller than the frame; None where there is none.
    """
    now = max(height, width) if size == 0 else min(size, max(height, width))
    half = max(LEAST_TILE, -(-now // (2 * ALIGNMENT)) * ALIGNMENT)
    return half if half < now else None


def in_tiles(
    restore: Callable[[torch.Tensor], torch.Tensor], clip: torch.Tensor, size: int, overlap: int | None = None
) -> torch.Tensor:
    """Enlarge a clip tile by tile.

    Args:
        restore: maps (…, h, w) to (…, s·h, s·w), s whole; the dimensions before may change, but not from tile to tile.
        clip: (…, h, w), anywhere; ``restore`` is given parts of it and moves them itself.
        size: of a tile, in pixels of ``clip``; 0 gives ``restore`` the whole frames.
        overlap: of neighbouring tiles at least, pixels; None is usual_tile_overlap.

    Returns:
        (…, s·h, s·w) as ``restore`` gives it; on the CPU if there was more than one tile.
    """
    height, width = clip.shape[-2:]
    if size == 0 or (height <= size and width <= size):
        return restore(clip)
    result = None
    for tile in tiles_of(height, width, size, usual_tile_overlap(size) if overlap is None else overlap):
        part = restore(clip[..., tile.rows, tile.columns])
        scale = part.shape[-1] // (tile.columns.stop - tile.columns.start)
        if result is None:
            result = part.new_empty((*part.shape[:-2], scale * height, scale * width), device='cpu')
        result[..., _enlarged(tile.kept_rows, scale), _enlarged(tile.kept_columns, scale)] = part[
            ...,
            _enlarged(tile.kept_rows, scale, tile.rows.start),
            _enlarged(tile.kept_columns, scale, tile.columns.start),
        ]
        del part  # it may be large, and the next one needs the room
    return result


def _enlarged(pixels: slice, scale: int, origin: int = 0) -> slice:
    return slice(scale * (pixels.start - origin), scale * (pixels.stop - origin))
