"""Which frames of GT and LQ belong together, judged by their names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence


def what_tells_apart(names: Sequence[str]) -> list[tuple]:
    """The parts in which the frames of a clip differ, as a rule one number each.

    ``00000000x4, 00000001x4, …`` and ``Frame 0, Frame 1, …`` both give ``(0,), (1,), …``: what all names share is no
    part of it. Names that are not built alike, text and numbers in turn, are their only part.
    """
    # Splitting on numbers alternates text and number, so that the same place has the same kind in all names.
    split = [re.split(r'([0-9]+)', name) for name in names]
    if len({len(parts) for parts in split}) > 1:
        return [(name,) for name in names]
    columns = enumerate(zip(*split, strict=True))
    varying = [map(int, column) if i % 2 else _without_ends(column) for i, column in columns if len(set(column)) > 1]
    return list(zip(*varying, strict=True)) if varying else [()] * len(split)


def _without_ends(texts: Sequence[str]) -> list[str]:
    """Without the beginning and the end that all of them share."""
    start = len(os.path.commonprefix(texts))
    rest = [text[start:] for text in texts]
    end = len(os.path.commonprefix([text[::-1] for text in rest]))
    return [text[: len(text) - end] for text in rest]


def numbering_shift(gt: Sequence[tuple], lq: Sequence[tuple]) -> int | None:
    """How much higher GT is numbered than LQ, given what tells their frames apart, in time order and equally many.

    Returns:
        0 for the same numbers; 1 or -1 where one side counts from 1 and the other from 0, both without a gap; None
        where the frames do not pair up.
    """
    if list(gt) == list(lq):
        return 0
    from_zero, from_one = ([(start + i,) for i in range(len(gt))] for start in (0, 1))
    if list(gt) == from_one and list(lq) == from_zero:
        return 1
    return -1 if list(gt) == from_zero and list(lq) == from_one else None
