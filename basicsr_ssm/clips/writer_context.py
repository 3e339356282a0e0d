"""What the writers of videos and of frame folders share: finished at the end of a `with`, dropped on an exception."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def part_beside(path: Path, kind: str = 'part') -> Path:
    """The hidden name beside ``path`` that unfinished output of this process has."""
    return path.with_name(f'.{path.name}.{os.getpid()}.{kind}')


def missing_folders(path: Path) -> list[Path]:
    """The folders above ``path`` that are not there yet, the deepest first."""
    return [folder for folder in path.parents if not folder.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of ``folders`` that hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


class WriterContext(ABC):
    """A writer whose output appears whole when its `with` block ends, and not at all when the block raises."""

    @abstractmethod
    def finish(self) -> None:
        """Move the complete output to its name."""

    @abstractmethod
    def abort(self) -> None:
        """Drop everything: nothing is left at the output's name that was not there before."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()
