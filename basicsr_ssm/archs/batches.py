"""How many frames go through a part of a network at once: a small one alone leaves a GPU idle, and many large ones do
not fit its memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar('T')

_PIXELS, _ENLARGED_PIXELS = 2**18, 2**20  # of all clips of a batch together: LR pixels, and of what is enlarged


def frames_at_once(clips: torch.Tensor, scale: int = 1) -> int:
    """For clips (n, t, c, h, w) that are worked on as they are, or enlarged."""
    n, _, _, height, width = clips.shape
    pixels = n * height * width * scale**2
    return max(1, (_PIXELS if scale == 1 else _ENLARGED_PIXELS) // pixels)


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last of what remains. No item is asked for before it is needed, and none is kept."""
    items = iter(items)
    return iter(lambda: list(islice(items, size)), [])
