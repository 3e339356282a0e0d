"""How many images a TIFF file holds: the decoder gives the first one and says nothing of the others."""

from __future__ import annotations

import struct

# struct's letters by the file's mark: byte order; number of entries, then offsets
_KINDS = {b'II*\0': ('<', 'H', 'I'), b'MM\0*': ('>', 'H', 'I'), b'II+\0': ('<', 'Q', 'Q'), b'MM\0+': ('>', 'Q', 'Q')}
_NEW_SUBFILE_TYPE = 254
_SMALLER_OR_MASK = 0b101  # of NewSubfileType: a copy of lower resolution, a mask
_INTEGERS = {1: 'B', 3: 'H', 4: 'I', 13: 'I', 16: 'Q'}


def count_pages(content: bytes) -> int:
    """Pages of a TIFF or BigTIFF, without thumbnails and masks; 0 for another file.

    Directories beyond the end of a file that is cut off are not counted, and none is counted twice: the chain of a
    damaged file may lead back.
    """
    kind = _KINDS.get(content[:4])
    if kind is None:
        return 0
    order, count, offset = kind
    pages, seen = 0, set()
    try:
        (position,) = struct.unpack_from(order + offset, content, 8 if offset == 'Q' else 4)
        while position and position not in seen:
            seen.add(position)
            (entries,) = struct.unpack_from(order + count, content, position)
            first, size = position + struct.calcsize(f'={count}'), struct.calcsize(f'=HH{offset}{offset}')
            (following,) = struct.unpack_from(order + offset, content, first + entries * size)
            pages += not any(_is_smaller_or_mask(content, first + i * size, order, offset) for i in range(entries))
            position = following
    except (struct.error, OverflowError):  # beyond the end, and beyond any file
        pass
    return pages


def _is_smaller_or_mask(content: bytes, entry: int, order: str, offset: str) -> bool:
    tag, form = struct.unpack_from(f'{order}HH', content, entry)
    if tag != _NEW_SUBFILE_TYPE or form not in _INTEGERS:
        return False
    (value,) = struct.unpack_from(order + _INTEGERS[form], content, entry + 4 + struct.calcsize(f'={offset}'))
    return bool(value & _SMALLER_OR_MASK)
