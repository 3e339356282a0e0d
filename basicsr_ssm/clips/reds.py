"""REDS (Nah et al., NTIRE 2019): sharp videos and their ×1/4 bicubic versions, as the owners' archives unpack."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.clips.published import Published, name_some, names_in
from basicsr_ssm.clips.published_arguments import add_published_arguments, run_published

HELP = 'REDS: train_sharp, val_sharp and their X4 bicubic versions'

REDS4 = ('000', '011', '015', '020')  # of the training videos, after EDVR
PARTITIONS = {
    'REDS4': 'REDS4 for the test, the other 266 clips for training',
    'official': 'the 240 training clips for training, the 30 validation clips for validation',
}


@dataclass(frozen=True)
class RedsNumbers:
    """What is published."""

    train: int = 240
    val: int = 30
    frames: int = 100
    size: tuple[int, int] = (720, 1280)


def find_reds(
    root: Path, partition: str = 'REDS4', recompute: bool = False, expected: RedsNumbers | None = None
) -> Published:
    """The clips below `root`, which holds train_sharp and val_sharp, itself or in folders train and val.

    Validation clips are renumbered from 240 on, as BasicSR does; a train_sharp that holds them already serves, too.

    Args:
        partition: a key of PARTITIONS: splits 'train' and 'REDS4', or 'train' and 'val'.
        recompute: make the LQ frames even if the owners' are there.
        expected: other numbers than the published ones.
    """
    expected = expected or RedsNumbers()
    gt, lq = _Side(root, '', expected), _Side(root, '_bicubic/X4', expected)
    given = not recompute and lq.exists()
    found = Published('REDS', {'partition': partition, 'lq': 'published' if given else 'computed'})
    files = [f'{i:08d}.png' for i in range(expected.frames)]
    for number in range(expected.train + expected.val):
        name = f'{number:03d}'
        if partition == 'REDS4':
            split = 'REDS4' if name in REDS4 else 'train'
        else:
            split = 'train' if number < expected.train else 'val'
        sides = (gt, lq) if given else (gt,)
        frames = [[side.folder(number) / file for file in files] for side in sides]
        found.add(name, split, expected.size, frames[0], frames[1] if given else None)
    for side in (gt, lq) if given else (gt,):
        found.extra += side.extra()
    return found


class _Side:
    """GT or LQ folders of the training and validation clips."""

    def __init__(self, root: Path, suffix: str, expected: RedsNumbers):
        self._count = {'train': expected.train, 'val': expected.val}
        self._top = {}
        for part in self._count:
            places = (root / f'{part}_sharp{suffix}', root / part / f'{part}_sharp{suffix}')
            self._top[part] = next((place for place in places if place.is_dir()), places[0])
        self._merged = self._top['train'].is_dir() and not self._top['val'].is_dir()
        self._merged = self._merged and (self._top['train'] / f'{expected.train:03d}').is_dir()

    def exists(self) -> bool:
        return any(top.is_dir() for top in self._top.values())

    def folder(self, number: int) -> Path:
        if number < self._count['train'] or self._merged:
            return self._top['train'] / f'{number:03d}'
        return self._top['val'] / f'{number - self._count["train"]:03d}'

    def extra(self) -> list[str]:
        """Folders of clips that REDS does not have."""
        known: dict[Path, set[str]] = {top: set() for top in self._top.values()}
        for number in range(sum(self._count.values())):
            folder = self.folder(number)
            known[folder.parent].add(folder.name)
        more = {top: {name for name in names_in(top) - names if (top / name).is_dir()} for top, names in known.items()}
        return [f'{top}: {name_some(names)}' for top, names in more.items() if names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_published_arguments(parser)
    described = '; '.join(f'{name}: {what}' for name, what in PARTITIONS.items())
    parser.add_argument('--partition', choices=PARTITIONS, default='REDS4', help=f'{described} (%(default)s)')
    parser.add_argument('--recompute', action='store_true', help="make the LQ frames, also where the owners' are there")


def run(args: argparse.Namespace) -> int:
    return run_published(args, find_reds(args.source, args.partition, args.recompute))
