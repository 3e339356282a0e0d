"""Vimeo-90K septuplets (Xue et al., IJCV 2019), as the owners' archive vimeo_septuplet.zip unpacks."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.clips.published import Published
from basicsr_ssm.clips.published_arguments import add_published_arguments, run_published
from basicsr_ssm.errors import UserError

HELP = 'Vimeo-90K: the septuplets of vimeo_septuplet.zip'

LISTS = {'train': 'sep_trainlist.txt', 'test': 'sep_testlist.txt'}
SPEEDS = ('slow', 'medium', 'fast')
# Names under which others' lists of the test septuplets by speed of motion go about.
SPEED_LISTS = ('sep_testlist_{}.txt', '{}_testset.txt', 'meta_info_Vimeo90K_test_{}_GT.txt')


@dataclass(frozen=True)
class VimeoNumbers:
    """What is published."""

    train: int = 64612
    test: int = 7824
    size: tuple[int, int] = (256, 448)


def find_vimeo90k(root: Path, lq: Path | None = None, expected: VimeoNumbers | None = None) -> Published:
    """The septuplets that the lists in `root` name: splits 'train' and 'test', clips '00001/0001', frames im1 … im7.

    Lists of slow, medium and fast test clips beside the others become test/meta_info_slow.txt and so on.

    Args:
        lq: folder with the same sequences at a fourth of the size; None to make them.
        expected: other numbers than the published ones.

    Raises:
        UserError: no lists, or a list that is none, or a clip in both; no folder `lq`.
    """
    if lq is not None and not lq.is_dir():
        raise UserError(f'--lq {lq}: no such folder')
    expected = expected or VimeoNumbers()
    found = Published('Vimeo-90K', {'lq': 'computed' if lq is None else 'published'})
    tops = [_sequences(top) for top in (root, lq) if top is not None]
    seen: set[str] = set()
    for split, file in LISTS.items():
        names, count = _read_list(root / file), getattr(expected, split)
        if len(names) != count:
            found.faults[file] = f'{root / file} lists {len(names)} clips, published are {count}'
        twice = seen & set(names)
        if twice:
            raise UserError(f'{root / file}: {min(twice)} is a clip of the other list, too')
        seen |= set(names)
        for name in names:
            frames = [[top / name / f'im{i}.png' for i in range(1, 8)] for top in tops]
            found.add(name, split, expected.size, frames[0], frames[1] if lq is not None else None)
    for speed in SPEEDS:
        paths = [root / pattern.format(speed) for pattern in SPEED_LISTS]
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found.lists[f'test/meta_info_{speed}.txt'] = _read_list(path)
    return found


def _sequences(top: Path) -> Path:
    return top / 'sequences' if (top / 'sequences').is_dir() else top


def _read_list(path: Path) -> list[str]:
    """Clip names of a list, one a line; what follows a blank is ignored."""
    try:
        lines = [line.split()[0] for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'is not text'
        raise UserError(f'{path}: cannot be read ({reason})') from error
    wrong = [name for name in lines if not re.fullmatch(r'[0-9]+/[0-9]+', name)]
    if wrong:
        raise UserError(f'{path}: {wrong[0]!r} is not a clip such as 00001/0001')
    return list(dict.fromkeys(lines))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_published_arguments(parser)
    parser.add_argument('--lq', type=Path, metavar='DIR', help='LQ sequences (default: made, as MATLAB does)')


def run(args: argparse.Namespace) -> int:
    return run_published(args, find_vimeo90k(args.source, args.lq))
