"""Networks as CUDA graphs: a recurrent one starts thousands of small kernels, and the CPU is what they wait for."""

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
        autocast = torch.get_autocast_dtype('cuda') if torch.is_autocast_enabled('cuda') else None
        key = *clip.shape, clip.dtype, clip.device, autocast
        if key not in self._graphs:
            if key not in self._seen:
                self._seen.add(key)
                return self.net(clip)
            while len(self._graphs) >= _SHAPES:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[key] = self._capture(clip, autocast)
        graph, given, result = self._graphs[key]
        given.copy_(clip)
        graph.replay()
        return result.clone()

    def _capture(self, clip, autocast):
        given, current = clip.clone(), torch.cuda.current_stream(clip.device)
        stream, graph = torch.cuda.Stream(clip.device), torch.cuda.CUDAGraph()
        stream.wait_stream(current)
        # weights that autocast has cast it keeps for as long as it lasts, and a graph lasts longer
        with torch.autocast('cuda', autocast or torch.bfloat16, enabled=autocast is not None, cache_enabled=False):
            with torch.cuda.stream(stream):
                self.net(given)  # libraries set themselves up, kernels are compiled
            current.wait_stream(stream)
            with torch.cuda.graph(graph, stream=stream):
                result = self.net(given)
        return graph, given, result
