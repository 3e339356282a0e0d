"""Folder trees whose parts may be links to elsewhere: data sets are put together so, to save room on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_links(top: Path, on_error: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of `top` and of every folder below that is not hidden, from the top downwards.

    Links are followed, except those back to a folder that they were reached through.

    Args:
        on_error: told of each folder that cannot be listed.
    """
    for folder, subfolders, files in os.walk(top, onerror=on_error, followlinks=True):
        yield folder, files
        subfolders[:] = sorted(name for name in subfolders if name[0] != '.' and not leads_back(Path(folder, name)))


def leads_back(path: Path) -> bool:
    """Whether `path` is a link to a folder that it was reached through."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    return any(above.resolve().is_relative_to(target) for above in path.parents)
