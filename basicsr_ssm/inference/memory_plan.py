"""Choose how many frames and how large tiles a network is given at once, so that it stays within some memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.tiles import ALIGNMENT, LEAST_TILE

RESERVE = 0.1  # share of the memory that no plan counts on: allocators round up, libraries choose by size
# (frames, side) of three trials: two differ in their frames, two in their pixels
TRIALS = ((3, 64), (5, 64), (3, 128))
GIB = 2**30


@dataclass(frozen=True)
class MemoryModel:
    """Bytes that a network needs at its peak: fixed + pixels·(each_pixel + frames·each_frame_and_pixel).

    A recurrent network keeps features of every frame and works on one frame at a time; its weights are there anyway.
    """

    fixed: float
    each_pixel: float
    each_frame_and_pixel: float

    @classmethod
    def measured(cls, peak: Callable[[int, int], int]) -> MemoryModel:
        """Fitted to TRIALS; ``peak`` gives the bytes for (frames, side of a square frame)."""
        (t, side), (more_frames, _), (_, larger_side) = TRIALS
        base, longer, larger = (peak(*trial) for trial in TRIALS)
        pixels, more_pixels = side**2, larger_side**2
        # No part may be negative: a trial that happens to need less would promise room for more.
        each_frame_and_pixel = max(0, (longer - base) / ((more_frames - t) * pixels))
        each_pixel = max(0, (larger - base) / (more_pixels - pixels) - t * each_frame_and_pixel)
        fixed = max(0, base - pixels * (each_pixel + t * each_frame_and_pixel))
        return cls(fixed, each_pixel, each_frame_and_pixel)

    def bytes_for(self, frames: int, height: int, width: int) -> float:
        return self.fixed + height * width * (self.each_pixel + frames * self.each_frame_and_pixel)


def plan(
    model: MemoryModel, limit: float, height: int, width: int, segments: Iterable[int], tile: int | None = None
) -> tuple[int, int]:
    """The first of ``segments``, and for it the largest tile, that needs at most ``limit`` bytes less RESERVE.

    Args:
        model: of the network.
        limit: bytes.
        height, width: of the frames, pixels.
        segments: numbers of frames, the most wanted first.
        tile: takes this one (0: the whole frame) instead of the largest.

    Returns:
        segment and tile; a tile of 0 is the whole frame.

    Raises:
        UserError: nothing fits; says what the least would need.
    """
    segments = list(segments)
    tiles = [0, *_tiles_below(max(height, width))] if tile is None else [tile]
    for segment in segments:
        for size in tiles:
            if _bytes(model, segment, height, width, size) <= (1 - RESERVE) * limit:
                return segment, size
    least = _bytes(model, segments[-1], height, width, tiles[-1]) / (1 - RESERVE)
    part = f'tiles of {tiles[-1]}' if tiles[-1] else 'whole frames'
    frames = f'{segments[-1]} frame{"s" if segments[-1] > 1 else ""} of {width}x{height}'
    raise UserError(
        f'--max-memory {limit / GIB:g}: for {frames} at a time in {part} the network needs about {least / GIB:.2f} GiB'
    )


def measured_on_gpu(net: torch.nn.Module, device: torch.device, dtype: torch.dtype, limit: float) -> MemoryModel:
    """The model of a network that lies on a GPU; from here on PyTorch takes no more than ``limit`` bytes there.

    Raises:
        UserError: not even the trials fit.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)

    def peak(frames: int, side: int) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            net(torch.rand(1, frames, 3, side, side, device=device))
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)

    try:
        peak(*TRIALS[0])  # the first call also sets libraries up
        return MemoryModel.measured(peak)
    except torch.cuda.OutOfMemoryError as error:
        t, side = TRIALS[-1]
        raise UserError(
            f'--max-memory {limit / GIB:g}: that does not suffice for a trial on {t} frames of {side}x{side}'
        ) from error


def _tiles_below(side: int) -> range:
    """Sizes of tiles, the largest first."""
    return range((side - 1) // ALIGNMENT * ALIGNMENT, LEAST_TILE - 1, -ALIGNMENT)


def _bytes(model: MemoryModel, segment: int, height: int, width: int, tile: int) -> float:
    tile = tile or max(height, width)
    # Networks pad frames smaller than the least tile.
    return model.bytes_for(segment, *(max(LEAST_TILE, min(tile, side)) for side in (height, width)))
