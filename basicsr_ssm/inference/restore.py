"""Run a video super-resolution network over a clip of any length and size with bounded memory."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.graph import GraphedNetwork
from basicsr_ssm.segments.chunks import OVERLAP, SEGMENT, Chunk, overlapping_chunks
from basicsr_ssm.segments.tiles import LEAST_TILE, in_tiles, smaller_tile

_GRAPHED_PIXELS = 2**17  # of a frame or tile: larger ones keep a GPU busy by themselves

# Failed allocations that have no class of their own: the CPU's, page-locked ones and those of libraries.
_NO_MEMORY = (
    "can't allocate memory",
    'CUDA error: out of memory',
    'Triton Error [CUDA]: out of memory',
    'CUBLAS_STATUS_ALLOC_FAILED',
    'CUDNN_STATUS_ALLOC_FAILED',
)

_logger = logging.getLogger(__name__)


class RestoreError(UserError):
    """The network could not restore some frames: the message says which and what may help."""


def restore_clip(
    net: torch.nn.Module,
    frames: Iterable[np.ndarray],
    *,
    segment: int = SEGMENT,
    overlap: int = OVERLAP,
    tile: int = 0,
    smaller_tiles: bool = False,
    device: torch.device | str = 'cpu',
    dtype: torch.dtype = torch.float32,
    first: int = 0,
) -> Iterator[np.ndarray]:
    """Restore a clip, chunk by chunk (see overlapping_chunks); a clip of at most ``segment`` frames is run as a whole.

    Args:
        net: maps (1, t, 3, h, w), RGB in [0, 1], to (1, t, 3, s*h, s*w); in eval mode and on ``device`` already. If it
            has a method ``frames``, as MedVSR and VSRM, that gives the frames that are needed, one after the other; on
            a GPU, small frames come from a CUDA graph then, as soon as chunks of one shape follow each other.
        frames: uint8 RGB, (h, w, 3) each, all of one size.
        segment: frames a chunk; more context and less recomputing, but more memory.
        overlap: frames that neighbouring chunks share.
        tile: largest side of what is given to the network at once, pixels (see tiles_of); 0 is the whole frame.
        smaller_tiles: whether to go on with tiles of half the size each time that memory does not suffice.
        device: where chunks are moved to.
        dtype: float32, or bfloat16 or float16 for autocast.
        first: number of the first frame, for messages.

    Yields:
        uint8 RGB frames (s*h, s*w, 3), as many as came in and in their order.

    Raises:
        RestoreError: memory runs out, or a value of the result is not finite.
        ValueError: unless 0 <= overlap < segment.
    """
    graphed = GraphedNetwork(net) if hasattr(net, 'frames') else None
    restorer = _Restorer(net, graphed, torch.device(device), dtype, tile, smaller_tiles)
    for chunk in overlapping_chunks(frames, segment, overlap):
        restored = restorer.restore(chunk, first + chunk.first)
        for frame in restored:
            yield np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        del restored, frame  # a view of it


@dataclass
class _Restorer:
    net: torch.nn.Module
    graphed: GraphedNetwork | None
    device: torch.device
    dtype: torch.dtype
    tile: int
    smaller_tiles: bool

    def restore(self, chunk: Chunk[np.ndarray], first: int) -> torch.Tensor:
        """The frames that are kept of a chunk which starts at frame ``first``: uint8 (t, 3, s*h, s*w), on the CPU."""
        clip = torch.from_numpy(np.stack(chunk.frames)).permute(0, 3, 1, 2)
        t, (h, w) = len(clip), clip.shape[2:]
        while True:
            try:
                return in_tiles(lambda part: self._run(part, chunk.keep, first), clip, self.tile)
            except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _ran_out_of_memory(error):
                    raise
                tile = smaller_tile(h, w, self.tile) if self.smaller_tiles else None
                tiles = f' in tiles of {self.tile}' if self.tile else ''
                where = f'{self.device} ran out of memory on frames {first} to {first + t - 1} ({t} of {w}x{h}{tiles})'
                if tile is None:
                    raise RestoreError(f'{where}; {self._advice(t, h, w)}') from error
            # Here the error is gone, and with it what its traceback held of the attempt.
            self.tile = tile
            _logger.warning('%s; going on with tiles of %d pixels', where, tile)
            if self.graphed is not None:
                self.graphed.let_go()
            self._give_memory_back()

    def _run(self, clip: torch.Tensor, keep: slice, first: int) -> torch.Tensor:
        lq = clip.to(self.device).float().div_(255).unsqueeze(0)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32),
        ):
            # Frames leave the device one by one, so that a clip's results never lie there together.
            restored = [_to_uint8(frame[0], first + i) for i, frame in self._frames(lq, keep)]
        return torch.stack(restored)

    def _frames(self, lq: torch.Tensor, keep: slice) -> Iterator[tuple[int, torch.Tensor]]:
        """Number and result (1, 3, s*h, s*w) of the frames that are kept of (1, t, 3, h, w)."""
        t, _, h, w = lq.shape[1:]
        frames = self._made_one_by_one(lq, keep) if hasattr(self.net, 'frames') else self._made_at_once(lq, keep)
        for i, frame in zip(range(t)[keep], frames, strict=True):
            if frame.shape[2] % h or frame.shape[2] * w != frame.shape[3] * h:
                raise self._unexpected(frame, lq)
            yield i, frame

    def _made_at_once(self, lq: torch.Tensor, keep: slice) -> Sequence[torch.Tensor]:
        """Of a network such as BasicSR's, which cannot take small frames."""
        height, width = lq.shape[3:]
        padding = (0, max(0, LEAST_TILE - width), 0, max(0, LEAST_TILE - height))
        padded = F.pad(lq[0], padding, mode='replicate')[None] if any(padding) else lq
        restored = self.net(padded)
        if restored.shape[:3] != (1, *lq.shape[1:3]) or restored.shape[3] % padded.shape[3]:
            raise self._unexpected(restored, padded)
        scale = restored.shape[3] // padded.shape[3]
        if any(padding):
            restored = restored[..., : scale * height, : scale * width]
        return restored[:, keep].unbind(1)

    def _made_one_by_one(self, lq: torch.Tensor, keep: slice) -> Iterator[torch.Tensor]:
        if self.graphed is not None and lq.shape[3] * lq.shape[4] <= _GRAPHED_PIXELS:
            try:
                return self.graphed.frames(lq, keep)
            except RuntimeError as error:  # of the capture; what the network raises comes with its frames
                _logger.info('going on without a CUDA graph: %s', error)
            self.graphed = None
            self._give_memory_back()
        return self.net.frames(lq, keep)

    def _give_memory_back(self) -> None:
        if self.device.type == 'cuda':
            with contextlib.suppress(RuntimeError):  # PyTorch may refuse after a capture that failed
                torch.cuda.empty_cache()

    def _unexpected(self, restored: torch.Tensor, lq: torch.Tensor) -> RestoreError:
        return RestoreError(
            f'{type(self.net).__name__} made {tuple(restored.shape)} of {tuple(lq.shape)}: '
            'not as many frames, enlarged by a whole number'
        )

    def _advice(self, t: int, h: int, w: int) -> str:
        advice = []
        if t > 1:
            advice.append(f'give --segment a smaller number than {t}')
        if not self.smaller_tiles and (tile := smaller_tile(h, w, self.tile)):
            advice.append(f'give --tile {tile}')
        return ' or '.join(advice) or 'a single frame of this size is too large'


def _ran_out_of_memory(error: Exception) -> bool:
    of_class = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
    return of_class or any(text in str(error) for text in _NO_MEMORY)


def _to_uint8(frame: torch.Tensor, number: int) -> torch.Tensor:
    if not torch.isfinite(frame).all():
        raise RestoreError(
            f'frame {number}: the network gave values that are not finite; with --precision fp16 try bf16 or fp32, '
            'otherwise the checkpoint is broken'
        )
    return frame.float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
