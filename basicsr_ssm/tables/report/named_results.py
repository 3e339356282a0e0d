"""The results that a page is about, by the names that it gives them."""

from __future__ import annotations

import os
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.results.results import Results, read_results

BICUBIC, GROUND_TRUTH = 'bicubic', 'ground truth'


def read_all(arguments: list[str]) -> list[Results]:
    """The results of each FOLDER or NAME=FOLDER.

    Raises:
        UserError: see `_read`; two of the same name.
    """
    results = [_read(argument) for argument in arguments]
    for i, one in enumerate(results):
        if one.name in (BICUBIC, GROUND_TRUTH):
            raise UserError(f'{one.folder}: {one.name} has its own place in the table; give it a name: NAME=FOLDER')
        for other in results[:i]:
            if other.name == one.name:
                raise UserError(
                    f'{other.folder} and {one.folder} are both called {one.name}; give them names: NAME=FOLDER'
                )
    return results


def _read(argument: str) -> Results:
    """The results of one FOLDER or NAME=FOLDER; the name of a folder is its last part.

    Raises:
        UserError: no such folder, or nothing in it, see `read_results`.
    """
    name, equals, path = argument.partition('=')
    if Path(argument).is_dir() or not equals:
        name, path = Path(os.path.abspath(argument)).name, argument  # of a link: its own name
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f'no results folder {folder}')
    if not name:
        raise UserError(f'{argument}: the name before = is missing')
    return read_results(folder, name)
