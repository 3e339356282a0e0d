"""Features of a clip's frames, while they wait for a later branch: on the GPU, or in the CPU's memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch

_AHEAD = 2  # frames whose features are on their way back while one is computed; features on their way out

Row = dict[int, torch.Tensor]


class FeatureStore:
    """Keeps features between the branches of a recurrent network.

    Away from a GPU they are copied beside the computation: out while the next frames are computed, into page-locked
    memory, and back some frames before they are read. All memory on the GPU is taken and given back in the order of the
    computation's stream, which waits for each copy before what it filled is read or what it read is given back. Where
    gradients are recorded, plain copies are made, which autograd follows. Waiting for copies cannot be captured in a
    CUDA graph.

    Args:
        device: where features are made and read.
        away: keep them on the CPU; on a CPU, that changes nothing.
    """

    def __init__(self, device: torch.device, away: bool):
        self.device = device
        self.home = torch.device('cpu') if away else device
        overlapped = self.home != device and device.type == 'cuda' and not torch.is_grad_enabled()
        self._copies = _Copies(device) if overlapped else None
        self._leaving: deque = deque()  # features that are being copied, with the copy's event

    def row(self, features: Iterable[tuple[int, torch.Tensor]]) -> Row:
        """What is kept of frames' features (n, c, h, w), each put away as it comes; for `read`."""
        return {frame: self._put(feature) for frame, feature in features}

    def read(self, rows: list[Row], frames: Iterable[int], used_up: bool) -> Iterator[tuple[int, list[torch.Tensor]]]:
        """Frame after frame, the features that rows have of it, on the device.

        Args:
            rows: of `row`.
            frames: in the order in which they are wanted.
            used_up: whether the rows let go of what is read.
        """
        ahead = _AHEAD if self._copies else 0
        coming: deque = deque()
        try:
            for frame in frames:
                coming.append((frame, [self._fetch(row.pop(frame) if used_up else row[frame]) for row in rows]))
                if len(coming) > ahead:
                    yield self._arrived(*coming.popleft())
            while coming:
                yield self._arrived(*coming.popleft())
        finally:  # nobody may be given memory that a copy still writes to
            for given in coming:
                self._arrived(*given)

    def _put(self, feature):
        if self._copies is None:
            return feature.to(self.home)
        kept, done = self._copies.start(feature, self.home)
        self._leaving.append((feature, done))
        if len(self._leaving) > _AHEAD:
            self._copies.wait(self._leaving[0][1])
            self._leaving.popleft()
        return kept

    def _fetch(self, kept):
        return (kept.to(self.device), None) if self._copies is None else self._copies.start(kept, self.device)

    def _arrived(self, frame, fetched):
        for _, done in fetched:
            if done is not None:
                self._copies.wait(done)
        return frame, [feature for feature, _ in fetched]


class _Copies:
    """Copies between a GPU and page-locked memory, on a stream of their own."""

    def __init__(self, device: torch.device):
        self._device, self._stream = device, torch.cuda.Stream(device)

    def start(self, source: torch.Tensor, to: torch.device) -> tuple[torch.Tensor, torch.cuda.Event]:
        """The copy, and the event to wait for before it is read, or the memory of either on the GPU is given back."""
        copy = torch.empty_like(source, device=to, pin_memory=to.type == 'cpu')
        # until then the source is not there, or the copy's memory is in use for what it held before
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            copy.copy_(source, non_blocking=True)
            return copy, self._stream.record_event()

    def wait(self, done: torch.cuda.Event) -> None:
        """Whatever the computation's stream does from here on is done after the copy."""
        torch.cuda.current_stream(self._device).wait_event(done)
