"""Cut an endless row of frames into overlapping chunks that a recurrent network can take one at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

Frame = TypeVar('Frame')

# What a cut costs is measured in docs/results.md, "Long videos in segments".
SEGMENT = 50
OVERLAP = 20


def usual_overlap(segment: int) -> int:
    """Overlap for chunks of ``segment`` frames: of a segment smaller than usual, the usual share."""
    return min(OVERLAP, segment * OVERLAP // SEGMENT)


@dataclass(frozen=True)
class Chunk(Generic[Frame]):
    """Some consecutive frames of a clip.

    Attributes:
        frames: list of frames, arrays or tensors, whatever the clip is made of.
        first: number of frames[0] in the clip.
        keep: slice of the frames whose results are taken from this chunk; the others only give context.
    """

    frames: list[Frame]
    first: int
    keep: slice


def overlapping_chunks(frames: Iterable[Frame], segment: int, overlap: int) -> Iterator[Chunk[Frame]]:
    """Cut ``frames`` into chunks of ``segment`` frames of which neighbours share ``overlap``.

    Where two chunks overlap, each frame is kept from the chunk in which it lies farther from that chunk's border. The
    last chunk is as long as the others and overlaps more instead, so that every frame has its context; a clip of at
    most ``segment`` frames is one chunk. At most 2 * segment - overlap frames are held at a time.

    Raises:
        ValueError: unless 0 <= overlap < segment.
    """
    if not 0 <= overlap < segment:
        raise ValueError(f'overlap must be at least 0 and smaller than segment, got {overlap} and {segment}')
    frames = iter(frames)
    window = list(islice(frames, segment))
    if not window:
        return
    first = taken = 0
    while True:
        # What comes next is read before this chunk is given out: it decides how far the last chunk reaches back.
        ahead = list(islice(frames, segment - overlap))
        if not ahead:
            yield Chunk(window, first, slice(taken - first, len(window)))
            return
        border = (first + len(ahead) + first + len(window)) // 2
        yield Chunk(window, first, slice(taken - first, border - first))
        window = (window + ahead)[-segment:]
        first += len(ahead)
        taken = border
