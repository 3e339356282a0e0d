"""How many frames go through a part of a network at once: a small one alone leaves a GPU idle, and many large ones do
not fit its memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar('T')

_PIXELS = 2**18  # LR pixels, of all clips of a batch together


def frames_at_once(clips: torch.Tensor) -> int:
    """For clips (n, t, c, h, w)."""
    n, _, _, height, width = clips.shape
    return max(1, _PIXELS // (n * height * width))


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last of what remains. No item is asked for before it is needed, and none is kept."""
    items = iter(items)
    return iter(lambda: list(islice(items, size)), [])
