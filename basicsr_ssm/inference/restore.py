"""Run a video super-resolution network over a clip of any length with bounded memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.chunks import Chunk, overlapping_chunks

# Past a border a recurrent network misses what the frames beyond would have told it. BasicVSR on a 64x64 crop of Vid4's
# walk loses 0.62 dB in the frame at a bare border, 0.25 dB with 5 frames between and 0.19 dB with 8, which an overlap
# of 16 gives to the frame at each cut. Segments of 40 then cost 1.7 times the work of the whole clip.
SEGMENT = 40
OVERLAP = 16


class RestoreError(UserError):
    """The network could not restore some frames: the message says which and what may help."""


def restore_clip(
    net: torch.nn.Module,
    frames: Iterable[np.ndarray],
    *,
    segment: int = SEGMENT,
    overlap: int = OVERLAP,
    device: torch.device | str = 'cpu',
    dtype: torch.dtype = torch.float32,
    first: int = 0,
) -> Iterator[np.ndarray]:
    """Restore a clip, chunk by chunk (see overlapping_chunks); a clip of at most ``segment`` frames is run as a whole.

    Args:
        net: maps (1, t, 3, h, w), RGB in [0, 1], to (1, t, 3, s*h, s*w); in eval mode and on ``device`` already.
        frames: uint8 RGB, (h, w, 3) each, all of one size.
        segment: frames a chunk; more context and less recomputing, but more memory.
        overlap: frames that neighbouring chunks share.
        device: where chunks are moved to.
        dtype: float32, or bfloat16 or float16 for autocast.
        first: number of the first frame, for messages.

    Yields:
        uint8 RGB frames (s*h, s*w, 3), as many as came in and in their order.

    Raises:
        RestoreError: memory runs out, or a value of the result is not finite.
        ValueError: unless 0 <= overlap < segment.
    """
    for chunk in overlapping_chunks(frames, segment, overlap):
        restored = _run(net, chunk, first, torch.device(device), dtype)
        # The frames leave the device one by one, so that no second copy of the chunk is made.
        for index in range(len(chunk.frames))[chunk.keep]:
            yield _to_uint8(restored[index], first + chunk.first + index)
        del restored


def _run(net: torch.nn.Module, chunk: Chunk, first: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    t, (h, w) = len(chunk.frames), chunk.frames[0].shape[:2]
    try:
        lq = torch.from_numpy(np.stack(chunk.frames)).to(device)
        lq = lq.permute(0, 3, 1, 2).float().div_(255).unsqueeze(0)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            restored = net(lq)
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _ran_out_of_memory(error):
            raise
        start = first + chunk.first
        advice = f'give --segment a smaller number than {t}' if t > 1 else 'a single frame of this size is too large'
        raise RestoreError(
            f'{device} ran out of memory on frames {start} to {start + t - 1} ({t} of {w}x{h}); {advice}'
        ) from error
    if restored.shape[:3] != (1, t, 3) or restored.shape[3] % h or restored.shape[3] * w != restored.shape[4] * h:
        raise RestoreError(
            f'{type(net).__name__} made {tuple(restored.shape)} of {tuple(lq.shape)}: '
            'not as many frames, enlarged by a whole number'
        )
    return restored[0]


def _ran_out_of_memory(error: Exception) -> bool:
    # PyTorch has no class of its own for a failed allocation on the CPU.
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _to_uint8(frame: torch.Tensor, number: int) -> np.ndarray:
    if not torch.isfinite(frame).all():
        raise RestoreError(
            f'frame {number}: the network gave values that are not finite; with --precision fp16 try bf16 or fp32, '
            'otherwise the checkpoint is broken'
        )
    frame = frame.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())
