"""One of several runs that make a data set together, each with its share of the sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from basicsr_ssm.errors import UserError

Item = TypeVar('Item')
_FOLDER = re.compile(r'shard_(\d+)_of_(\d+)')


@dataclass(frozen=True)
class Shard:
    """
    Attributes:
        number: from 1 to `count`.
        count: how many there are.

    Raises:
        UserError: a number beyond.
    """

    number: int
    count: int

    def __post_init__(self):
        if not 1 <= self.number <= self.count:
            raise UserError(f'--shard {self}: expected I/N with I from 1 to N, as in 3/8')

    def __str__(self) -> str:
        return f'{self.number}/{self.count}'

    @classmethod
    def parse(cls, text: str) -> Shard:
        """'3/8' → Shard(3, 8).

        Raises:
            UserError: anything else.
        """
        match = re.fullmatch(r'(\d+)/(\d+)', text)
        if not match:
            raise UserError(f'--shard {text}: expected I/N, as in 3/8')
        return cls(int(match[1]), int(match[2]))

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item: neighbours, which are often alike in length, go to different shards."""
        return list(items[self.number - 1 :: self.count])

    def folder(self, work: Path) -> Path:
        """Where this shard works, below the folder that the data set is made in.

        Raises:
            UserError: the data set was begun in another number of shards, or in one.
        """
        others = {shard.count for shard in shards_in(work)} - {self.count}
        if others:
            raise UserError(f'{work.parent}: was begun in {min(others)} shards, not {self.count}')
        if (work / 'begun.json').exists():
            raise UserError(f'{work.parent}: was begun without --shard; go on so, or delete it')
        return self._folder(work)

    def _folder(self, work: Path) -> Path:
        return work / f'shard_{self.number}_of_{self.count}'


def shards_in(work: Path) -> dict[Shard, Path]:
    """Shards that were begun there, in order, with their folders."""
    if not work.is_dir():
        return {}
    found = {Shard(int(m[1]), int(m[2])): p for p in work.iterdir() if (m := _FOLDER.fullmatch(p.name))}
    return dict(sorted(found.items(), key=lambda item: (item[0].count, item[0].number)))


def finished_shards(output: Path, work: Path, note: str) -> list[Path]:
    """Folders of all shards of a data set, each of which holds the file `note`.

    Raises:
        UserError: there are none, or some have not finished.
    """
    there = shards_in(work)
    if not there:
        raise UserError(f'{output}: holds no shards; `prepare KIND … --shard I/N` makes them')
    counts = {shard.count for shard in there}
    if len(counts) > 1:
        raise UserError(f'{output}: holds shards of {" and of ".join(map(str, sorted(counts)))}; delete the wrong ones')
    count = counts.pop()
    done = {shard.number for shard, folder in there.items() if (folder / note).exists()}
    missing = [str(number) for number in range(1, count + 1) if number not in done]
    if missing:
        some = ', '.join(missing[:10]) + (f' and {len(missing) - 10} more' if len(missing) > 10 else '')
        raise UserError(f'{output}: of {count} shards these have not finished: {some}')
    return list(there.values())
