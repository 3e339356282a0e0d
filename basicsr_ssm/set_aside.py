"""What BasicSR renames to make room for a run comes back where the run fails before it begins."""

from __future__ import annotations

import glob
import shutil
import sys
from collections.abc import Callable
from pathlib import Path


class SetAside:
    """Folders of earlier runs.

    BasicSR renames an experiment's or a test's folder before it looks at data and weights: with a mistake in them, an
    empty folder would be left in the place of good results, and ``--auto_resume`` would find no checkpoint in it.

    Args:
        mkdir_and_rename: BasicSR's.
    """

    def __init__(self, mkdir_and_rename: Callable[[str], None]):
        self._theirs = mkdir_and_rename
        self._renamed: list[tuple[Path, Path]] = []

    def mkdir_and_rename(self, path: str) -> None:
        """What stands in the place of BasicSR's."""
        folder = Path(path)
        before = self._archives(folder)
        self._theirs(path)
        self._renamed += [(folder, archive) for archive in self._archives(folder) - before]

    def run_has_begun(self) -> None:
        """From now on the new folders stay."""
        self._renamed.clear()

    def put_back(self) -> None:
        """The earlier folders in the place of the new ones, of which the logs are kept."""
        for folder, archive in reversed(self._renamed):
            try:
                for log in folder.glob('*.log'):
                    same = (archive / log.name).exists()  # they are named by the second
                    log.rename(archive / (f'{log.stem}_again.log' if same else log.name))
                shutil.rmtree(folder)
                archive.rename(folder)
            except OSError as error:
                print(f'{archive} could not become {folder} again: {error.strerror}', file=sys.stderr)
            else:
                print(f'{folder} is as it was: the run had not begun', file=sys.stderr)
        self._renamed.clear()

    @staticmethod
    def _archives(folder: Path) -> set[Path]:
        return set(folder.parent.glob(f'{glob.escape(folder.name)}_archived_*'))
