"""Choose how many frames and how large tiles a network is given at once, so that it stays within some memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from basicsr_ssm.errors import UserError
from basicsr_ssm.segments.tiles import ALIGNMENT, LEAST_TILE, tiles_of, usual_tile_overlap

RESERVE = 0.1  # share of the memory that no plan counts on: allocators round up, libraries choose by size
TRIAL_SIDES = (96, 128)  # of the square frames of trials, pixels: with smaller ones, fixed costs hide the rest
GIB = 2**30
_COPIES_COST = 1.2  # a guess: the time of a pass whose features go to the CPU and back, over that of a plain one


@dataclass(frozen=True)
class MemoryModel:
    """Bytes that a network needs at its peak: fixed + pixels·(each_pixel + frames·each_frame_and_pixel).

    A recurrent network keeps features of every frame and works on one frame at a time; its weights are there anyway.
    """

    fixed: float
    each_pixel: float
    each_frame_and_pixel: float

    @classmethod
    def measured(cls, peak: Callable[[int, int], int], frames: int) -> MemoryModel:
        """Fitted to three trials; ``peak`` gives the bytes for (number of frames, side of a square frame).

        Two trials have as many ``frames`` as will be given at most: what needs the most with few frames (one frame's
        work) need not be what does with many (their results), so numbers beyond could only be too small. Numbers
        between come out too large, if anything.
        """
        pixels, more_pixels = (side**2 for side in TRIAL_SIDES)
        few = min(2, frames)
        of_few, base, larger = peak(few, TRIAL_SIDES[0]), peak(frames, TRIAL_SIDES[0]), peak(frames, TRIAL_SIDES[1])
        # No part may be negative: a trial that happens to need less would promise room for more.
        each_pixel_of_all = max(0, larger - base) / (more_pixels - pixels)
        each_frame_and_pixel = max(0, base - of_few) / ((frames - few) * pixels) if frames > few else 0
        each_pixel = max(0, each_pixel_of_all - frames * each_frame_and_pixel)
        fixed = max(0, base - pixels * (each_pixel + frames * each_frame_and_pixel))
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


def worth_copies(plain: tuple[int, int], offloaded: tuple[int, int], height: int, width: int) -> bool:
    """Whether the second of two plans, whose features wait on the CPU, is the better one.

    It is if it has longer segments, which changes what comes out, or equal ones and cuts the frame into so much larger
    tiles that their overlap costs more than the copies.
    """
    if plain[0] != offloaded[0]:
        return plain[0] < offloaded[0]
    return _COPIES_COST * _work(height, width, offloaded[1]) < _work(height, width, plain[1])


def _work(height: int, width: int, tile: int) -> float:
    """Pixels that the network is given, over those of the frame."""
    if tile == 0:
        return 1.0
    tiles = tiles_of(height, width, tile, usual_tile_overlap(tile))
    given = sum((t.rows.stop - t.rows.start) * (t.columns.stop - t.columns.start) for t in tiles)
    return given / (height * width)


def measured_on_gpu(
    net: torch.nn.Module, device: torch.device, dtype: torch.dtype, limit: float, frames: int
) -> MemoryModel:
    """The model of a network that lies on a GPU; from here on PyTorch takes no more than ``limit`` bytes there.

    Raises:
        UserError: not even the trials fit.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device.index)

    def peak(frames: int, side: int) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        clip = torch.rand(1, frames, 3, side, side, device=device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            if getattr(net, 'cpu_cache_length', frames) < frames:
                for _ in net.frames(clip):  # one by one, for with features on the CPU there are no CUDA graphs
                    pass
            else:
                net(clip)  # all results at once, as a CUDA graph holds them
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)

    side = TRIAL_SIDES[-1]
    try:
        peak(1, side)  # the first call also sets libraries up
        return MemoryModel.measured(peak, frames)
    except torch.cuda.OutOfMemoryError as error:
        trial = f'a trial on {frames} frame{"s" if frames > 1 else ""} of {side}x{side}'
        advice = f'; give --segment a smaller number than {frames}' if frames > 1 else ''
        raise UserError(f'--max-memory {limit / GIB:g}: that does not suffice for {trial}{advice}') from error


def _tiles_below(side: int) -> range:
    """Sizes of tiles, the largest first."""
    return range((side - 1) // ALIGNMENT * ALIGNMENT, LEAST_TILE - 1, -ALIGNMENT)


def _bytes(model: MemoryModel, segment: int, height: int, width: int, tile: int) -> float:
    tile = tile or max(height, width)
    # Networks pad frames smaller than the least tile.
    return model.bytes_for(segment, *(max(LEAST_TILE, min(tile, side)) for side in (height, width)))
