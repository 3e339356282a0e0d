"""What the writers of videos and of frame folders share: finished at the end of a `with`, dropped on an exception."""

from __future__ import annotations

import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from basicsr_ssm.clips.video_encoding import OutputError


def part_beside(path: Path, kind: str = 'part') -> Path:
    """A hidden name beside ``path`` for unfinished output, not that of another run, nor of one that was killed."""
    # in a container the process may have the same number in every run
    return path.with_name(f'.{path.name}.{os.getpid()}.{secrets.token_hex(4)}.{kind}')


def parts_beside(path: Path) -> list[Path]:
    """Unfinished output of other runs for ``path``: at work, or killed."""
    name = re.compile(rf'\.{re.escape(path.name)}\.\d+\.[0-9a-f]{{8}}\.part')
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted(part for part in there if name.fullmatch(part.name))


@contextmanager
def putting_in_place(part: Path, path: Path) -> Iterator[None]:
    """For the last step from ``part`` to ``path``: where it fails, what was written stays, and the error says where."""
    try:
        yield
    except OSError as error:
        raise OutputError(f'{path}: cannot be put in place ({error.strerror}); all of it is in {part}') from error


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
