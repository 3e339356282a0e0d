"""Optical flow between the neighbouring frames of a clip."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.archs.batches import frames_at_once, in_batches

_SPYNET_LEAST = 64


def is_mirrored(clip: torch.Tensor) -> bool:
    """Whether the second half of the frames is the first half reversed; clip (n, t, c, h, w)."""
    t = clip.shape[1]
    if _is_recorded(clip):
        return False  # nobody can look at numbers now, or the answer would hold for every clip of the graph
    return t % 2 == 0 and torch.equal(clip[:, : t // 2], clip[:, t // 2 :].flip(1))


def _is_recorded(clip: torch.Tensor) -> bool:
    if clip.is_meta or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return True
    return clip.is_cuda and torch.cuda.is_current_stream_capturing()


def clip_flows(
    flow_net: nn.Module, clip: torch.Tensor, directions: Collection[str] = ('backward', 'forward')
) -> dict[str, list[torch.Tensor]]:
    """Flows of a clip (n, t, 3, h, w), on its device.

    Returns:
        {'backward': flows from frame i to i + 1, 'forward': flows from frame i + 1 to i}, those of the `directions`:
        lists of t − 1 tensors (n, 2, h, w), (dx, dy) in pixels. Forward flows of a mirrored clip are the backward ones
        in reverse.
    """
    if clip.shape[1] == 1:
        return {name: [] for name in directions}
    pairs = {'backward': (clip[:, :-1], clip[:, 1:]), 'forward': (clip[:, 1:], clip[:, :-1])}
    if len(directions) == 2 and is_mirrored(clip):
        flows = _flows(flow_net, *pairs['backward'])
        return {'backward': flows, 'forward': flows[::-1]}
    return {name: _flows(flow_net, *pairs[name]) for name in directions}


def _flows(flow_net: nn.Module, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
    flows = []
    for batch in in_batches(zip(a.unbind(1), b.unbind(1), strict=True), frames_at_once(a)):
        flow = _flow(flow_net, *(torch.cat(frames) for frames in zip(*batch, strict=True)))
        flows += flow.chunk(len(batch))
    return flows


def _flow(flow_net: nn.Module, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    height, width = a.shape[2:]
    # SpyNet halves frames five times, after it has stretched them to a multiple of 32: 64 is the least it takes
    below, right = (_SPYNET_LEAST - size if size <= _SPYNET_LEAST // 2 else 0 for size in (height, width))
    a, b = (F.pad(x, (0, right, 0, below), mode='replicate') for x in (a, b))
    return flow_net(a, b)[:, :, :height, :width]
