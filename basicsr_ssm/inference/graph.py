"""Networks as CUDA graphs: recurrent ones start thousands of small kernels a second, and the CPU is what they wait for."""

from __future__ import annotations

import torch
from torch import nn

_SHAPES = 2  # whose graphs are kept, the latest; each holds the memory of a forward pass


class GraphedNetwork(nn.Module):
    """A network whose forward pass is captured once for each shape of its input, and replayed from then on.

    A shape is run as usual when it is first seen, captured when it comes again. The network's outputs are those of
    the network itself. On a CPU, and where gradients are recorded, the network is simply called. The weights may change
    from call to call, in place; parameters that are replaced by others are not noticed.

    Args:
        net: in eval mode; its forward pass must not wait for the GPU, nor depend on the values of its input.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self._seen: set[tuple] = set()
        self._graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """As that of the network; the result is the caller's own."""
        if not clip.is_cuda or torch.is_grad_enabled() or self.net.training:
            return self.net(clip)
        key = (*clip.shape, clip.dtype, clip.device, torch.is_autocast_enabled('cuda') and torch.get_autocast_dtype('cuda'))
        if key in self._graphs:
            graph, given, result = self._graphs[key]
            given.copy_(clip)
            graph.replay()
            return result.clone()
        if key not in self._seen:
            self._seen.add(key)
            return self.net(clip)
        while len(self._graphs) >= _SHAPES:
            self._graphs.pop(next(iter(self._graphs)))
        given = clip.clone()
        stream = torch.cuda.Stream(clip.device)
        stream.wait_stream(torch.cuda.current_stream(clip.device))
        with torch.cuda.stream(stream):
            self.net(given)  # once on the side: libraries set themselves up, kernels are compiled
        torch.cuda.current_stream(clip.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            result = self.net(given)
        self._graphs[key] = graph, given, result
        return self(clip)
