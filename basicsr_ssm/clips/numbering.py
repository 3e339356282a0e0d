"""Numbers in the names of frames, and where they tell that frames are missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def gaps_in(stems: Sequence[str]) -> tuple[int, ...]:
    """Positions in `stems`, names without suffix in natural order, of the frames before which others are missing.

    The names must be alike but for one number, which rises, at least every other time, by the same step (the smallest
    of those that do). A frame that comes two or more such steps after the one before has a gap before it. Where any
    distance is no multiple of the step, as with times in milliseconds, and where names are not alike, nobody can know:
    there are no gaps then.
    """
    distances = [after - before for before, after in pairwise(_numbers(stems))]
    if not distances or min(distances) < 1:
        return ()
    step, count = max(Counter(distances).items(), key=lambda item: (item[1], -item[0]))
    if 2 * count < len(distances) or any(distance % step for distance in distances):
        return ()
    return tuple(position for position, distance in enumerate(distances, 1) if distance > step)


def _numbers(stems: Sequence[str]) -> list[int]:
    """The one number in which the names differ; none where they differ otherwise, too."""
    parts = [re.split(r'(\d+)', stem) for stem in stems]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return []
    changing = [column for column in zip(*(part[1::2] for part in parts), strict=True) if len(set(column)) > 1]
    return [int(number) for number in changing[0]] if len(changing) == 1 else []
