"""Optical-flow error Ω: how far a flow network contradicts itself when a clip runs backwards.

MedVSR's supplement, Eq. 4: for each clip the forward flow, from frame i to i + 1, against the reversed backward flow,
which is the flow from i + 1 to i with its sign turned. Both are compared at the same pixel, as the supplement writes
it; nothing is warped. (The equation prints "backward" for both; the text says which two are meant.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from basicsr_ssm.archs.flow import clip_flows
from basicsr_ssm.errors import UserError


@dataclass(frozen=True)
class FlowError:
    """Of one clip, or the mean over clips.

    Attributes:
        omega: ‖forward − reversed backward‖₂ over all flow vectors of the clip, Ω as it is written. It grows with the
            square root of frames × height × width, so it compares clips of one size and length only.
        pixel: mean length of the difference, in pixels: for clips of any size and length.
        motion: mean length of the forward flow, in pixels.
    """

    omega: float
    pixel: float
    motion: float

    @property
    def share(self) -> float:
        """The error as a share of the motion; NaN without motion."""
        return self.pixel / self.motion if self.motion else math.nan


def flow_pairs(flow_net: nn.Module, frames: Iterable[np.ndarray]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Forward and reversed backward flow between neighbouring frames, two frames in memory at a time.

    Args:
        flow_net: SpyNet, on any device.
        frames: uint8 RGB (h, w, 3), of one size.

    Yields:
        (2, h, w) each, (dx, dy) in pixels, on the CPU.
    """
    device = next(flow_net.parameters()).device
    tensors = (torch.from_numpy(np.ascontiguousarray(f)).permute(2, 0, 1).float() / 255 for f in frames)
    for pair in pairwise(tensors):
        with torch.no_grad():
            flows = clip_flows(flow_net, torch.stack(pair)[None].to(device))
        # clip_flows calls them by the propagation that they serve: its 'backward' leads from frame i to i + 1
        yield flows['backward'][0][0].cpu(), -flows['forward'][0][0].cpu()


def clip_flow_error(
    flow_net: nn.Module, frames: Iterable[np.ndarray], clip: str = 'clip', mask: np.ndarray | None = None
) -> FlowError:
    """Ω of one clip.

    Args:
        flow_net, frames: see flow_pairs.
        clip: for error messages.
        mask: bool (h, w): only vectors where it is true count.

    Raises:
        UserError: fewer than two frames.
    """
    squares = lengths = motion = 0.0
    count = 0
    for forward, reversed_backward in flow_pairs(flow_net, frames):
        inside = torch.ones(forward.shape[1:], dtype=torch.bool) if mask is None else torch.from_numpy(mask)
        forward, difference = (flow.double()[:, inside] for flow in (forward, forward - reversed_backward))
        squares += float((difference**2).sum())
        lengths += float(difference.norm(dim=0).sum())
        motion += float(forward.norm(dim=0).sum())
        count += difference.shape[1]
    if not count:
        raise UserError(f'{clip}: flow needs at least two frames')
    return FlowError(math.sqrt(squares), lengths / count, motion / count)


def mean_flow_error(errors: Iterable[FlowError]) -> FlowError:
    """Over the clips of a data set, each counting once (Eq. 4)."""
    errors = list(errors)
    return FlowError(
        *(math.fsum(getattr(e, key) for e in errors) / len(errors) for key in ('omega', 'pixel', 'motion'))
    )
