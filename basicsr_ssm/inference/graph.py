"""Networks as CUDA graphs: a recurrent one starts thousands of small kernels, and the CPU is what they wait for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import nn

from basicsr_ssm.ops.autocast import autocast_dtype

_WARM_UP = 3  # frames


class GraphedNetwork(nn.Module):
    """A network whose pass is captured when a shape comes for the second time in a row, and replayed from then on.

    Another shape, or other frames that are kept, first lets go of the graph, which holds the memory of a whole pass:
    there is never more than one, nor one beside a pass of the network itself. What the network gives stays the same. On
    a CPU, where gradients are recorded, and for clips whose features the network keeps on the CPU, it is simply called.
    The weights may change from call to call, in place; parameters that are replaced by others are not noticed.

    Args:
        net: in eval mode; its passes must not wait for the GPU, nor depend on the values of their input.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self._shape: tuple | None = None  # the last, if it may be captured
        self._captured: tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor | list[torch.Tensor]] | None = None

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """As that of the network; the result is the caller's own.

        Raises:
            RuntimeError: its pass cannot be captured, since it waits for the GPU or memory does not suffice. There is
                no graph then.
        """
        result = self._replayed(clip, None)
        return self.net(clip) if result is None else result.clone()

    def frames(self, clip: torch.Tensor, keep: slice = slice(None)) -> Iterator[torch.Tensor]:
        """As those of the network, which has to have such a method. The next call may write over them.

        Raises:
            RuntimeError: as forward, by this call; what the network raises comes with the frames.
        """
        result = self._replayed(clip, keep)
        return self.net.frames(clip, keep) if result is None else iter(result)

    def let_go(self) -> None:
        """Gives the graph's memory back."""
        if self._captured is not None:
            torch.cuda.synchronize(self._captured[1].device)  # it may be at work still
            self._captured = None
            torch.cuda.empty_cache()  # what was a graph's is of use to nobody else before
        self._shape = None

    def _replayed(self, clip: torch.Tensor, keep: slice | None) -> torch.Tensor | list[torch.Tensor] | None:
        """What the graph gives; None where there is none, nor will be made now."""
        shape = None
        if self._may_capture(clip):
            frames = None if keep is None else keep.indices(clip.shape[1])
            shape = *clip.shape, frames, clip.dtype, clip.device, autocast_dtype('cuda')
        if shape is None or shape != self._shape:
            self.let_go()
            self._shape = shape
            return None
        if self._captured is None:
            self._captured = self._capture(clip, keep)
        graph, given, result = self._captured
        given.copy_(clip)
        graph.replay()
        return result

    def _may_capture(self, clip: torch.Tensor) -> bool:
        on_gpu = clip.is_cuda and clip.shape[1] <= getattr(self.net, 'cpu_cache_length', math.inf)
        return on_gpu and not torch.is_grad_enabled() and not self.net.training

    def _capture(self, clip: torch.Tensor, keep: slice | None):
        given, current = clip.clone(), torch.cuda.current_stream(clip.device)
        stream = _stream_on(clip.device)
        stream.wait_stream(current)
        graph, autocast = torch.cuda.CUDAGraph(), autocast_dtype('cuda')
        # weights that autocast has cast it keeps for as long as it lasts, and a graph lasts longer
        with torch.autocast('cuda', autocast or torch.bfloat16, enabled=autocast is not None, cache_enabled=False):
            try:
                with torch.cuda.stream(stream):  # libraries set themselves up for it
                    if keep is None:
                        self.net(given)
                    else:
                        self._passed(given[:, :_WARM_UP], slice(None))
                current.wait_stream(stream)
                with torch.cuda.graph(graph, stream=stream):
                    result = self._passed(given, keep)
            finally:
                torch.cuda.set_stream(current)  # a capture that fails at its end leaves its own behind
        return graph, given, result

    def _passed(self, clip: torch.Tensor, keep: slice | None) -> torch.Tensor | list[torch.Tensor]:
        return self.net(clip) if keep is None else list(self.net.frames(clip, keep))


@cache
def _stream_on(device: torch.device) -> torch.cuda.Stream:
    """Of all captures: what libraries set up for a stream they never give back."""
    return torch.cuda.Stream(device)
