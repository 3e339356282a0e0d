"""meta_info.txt, BasicSR's list of the clips of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.errors import UserError


@dataclass(frozen=True)
class Listed:
    """What the list says of a clip; None where it says nothing.

    Attributes:
        count: frames.
        size: (h, w) of the ground truth.
    """

    count: int | None
    size: tuple[int, int] | None


_LINE = re.compile(r'(?P<clip>.+?)(?:\s+(?P<count>[0-9]+)(?:\s+\((?P<h>[0-9]+),\s*(?P<w>[0-9]+)[,0-9\s]*\))?)?')


def read_meta_info(path: Path) -> dict[str, Listed]:
    """Clip → what is said of it, from lines ``<clip> <frames> (<h>,<w>,<c>)`` without the last or the last two parts.

    Raises:
        UserError: the file cannot be read or is not such a list. The message names it, and the line.
    """
    listed = {}
    for number, line in lines_of(path):
        match = _LINE.fullmatch(line)
        if '(' in line and match['h'] is None:
            raise UserError(f'{path}, line {number}: expected "<clip> <frames> (<h>,<w>,<c>)", not "{line}"')
        if match['clip'] in listed:
            raise UserError(f'{path}, line {number}: clip {match["clip"]} is listed twice')
        size = None if match['h'] is None else (int(match['h']), int(match['w']))
        listed[match['clip']] = Listed(None if match['count'] is None else int(match['count']), size)
    if not listed:
        raise UserError(f'{path} lists no clips')
    return listed


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of the lines that are not blank.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')  # editors of Windows begin with a mark
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'cannot read {path}: it is not UTF-8 text') from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()
