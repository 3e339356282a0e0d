"""Training steps as CUDA graphs: a recurrent network starts tens of thousands of small kernels a step, and the CPU is
what they wait for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import nn


class TrainingGraph:
    """A network's forward pass, and the backward pass that belongs to it, captured for one shape and replayed.

    Captured when first called. What it was not captured for is computed as usual: another shape or dtype, no gradients
    wanted.

    Args:
        net: what it computes must not depend on the values of its input, nor may it wait for the GPU.
        autocast: gives the context of the forward pass; called with cache_enabled=False for the capture, since what
            autocast keeps would be freed under the graph.
    """

    def __init__(self, net: nn.Module, autocast: Callable[..., contextlib.AbstractContextManager]):
        self._net, self._autocast = net, autocast
        self._captured_for: tuple | None = None
        self._replay: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """As the network; the result is overwritten by the next call."""
        if not torch.is_grad_enabled():
            return self._plainly(clip)
        if self._replay is None:
            self._capture(clip)
        if self._state(clip) != self._captured_for:
            return self._plainly(clip)
        return self._replay(clip)

    def forget(self) -> None:
        """Captures anew at the next call; to be called when parameters were frozen or freed."""
        self._replay = self._captured_for = None

    def own_gradients(self) -> None:
        """Keeps the gradients there are from the next backward pass, for one that adds to them: autograd may have taken
        over the graph's own memory, which every replay overwrites."""
        for parameter in self._net.parameters():
            if parameter.grad is not None:
                parameter.grad = parameter.grad.clone()

    def _plainly(self, clip):
        with self._autocast():
            return self._net(clip)

    def _state(self, clip):
        return clip.shape, clip.dtype, self._net.training

    def _capture(self, clip):
        with self._autocast(cache_enabled=False):
            torch.cuda.make_graphed_callables(self._net, (clip.clone(),), allow_unused_input=True)
        # it leaves a forward of the module's own, which would take clips of any shape for that of the graph
        self._replay = self._net.__dict__.pop('forward')
        self._captured_for = self._state(clip)
