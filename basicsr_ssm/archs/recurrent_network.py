"""What the recurrent networks have in common: clips in, frames out one by one, features kept where there is room."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator

import torch
from torch import nn

from basicsr_ssm.archs.feature_store import FeatureStore


class RecurrentNetwork(nn.Module):
    """A network whose branches walk over all frames of a clip, one after the other.

    Attributes:
        cpu_cache_length: clips of more frames keep their features on the CPU between the branches (see FeatureStore);
            so is the output of forward then.
    """

    cpu_cache_length: int

    def forward(self, lqs: torch.Tensor) -> torch.Tensor:
        """Super-resolves clips.

        Args:
            lqs: (n, t, 3, h, w), RGB in [0, 1]; any t ≥ 1, h ≥ 1, w ≥ 1.

        Returns:
            (n, t, 3, scale·h, scale·w), not clipped; on the CPU if t > cpu_cache_length.

        Raises:
            ValueError: lqs has another shape.
        """
        store = self._store(lqs)
        return _clip_of(self._frames(lqs, slice(None), store), lqs.shape[1], store.home)

    def frames(self, lqs: torch.Tensor, keep: slice = slice(None)) -> Iterator[torch.Tensor]:
        """The frames `keep` of what forward gives, one by one, each as soon as the last branch has its feature.

        What is needed for no frame that follows is let go: whoever keeps no frames needs memory for features alone.
        Frames that are not wanted are not made.

        Args:
            lqs: as for forward.
            keep: of the clip's frames, in steps of 1.

        Yields:
            (n, 3, scale·h, scale·w), on the device of lqs.

        Raises:
            ValueError: lqs has another shape.
        """
        return self._frames(lqs, keep, self._store(lqs))

    def _store(self, lqs: torch.Tensor) -> FeatureStore:
        if lqs.dim() != 5 or lqs.shape[2] != 3 or 0 in lqs.shape:
            raise ValueError(f'{type(self).__name__}: clips (n, t, 3, h, w) expected, got {(*lqs.shape,)}')
        return FeatureStore(lqs.device, away=lqs.shape[1] > self.cpu_cache_length)

    @abstractmethod
    def _frames(self, lqs: torch.Tensor, keep: slice, store: FeatureStore) -> Iterator[torch.Tensor]:
        """As `frames`, with the features of the branches in `store`."""


def _clip_of(frames: Iterator[torch.Tensor], number: int, home: torch.device) -> torch.Tensor:
    """The frames (n, c, h, w) side by side, (n, number, c, h, w), on that device."""
    if torch.is_grad_enabled():
        return torch.stack([frame.to(home) for frame in frames], dim=1)
    # There is no clip before the last frame: while the first ones come, the features of all others take the room.
    made = deque(frame.to(home) for frame in frames)
    clip = torch.empty(len(made[0]), number, *made[0].shape[1:], dtype=made[0].dtype, device=home)
    for i in range(number):
        clip[:, i] = made.popleft()
    return clip
