"""The folder that a data set is made in: begun, taken up again with the same settings, finished, one run at a time."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import writing

WORK = '.partial'  # below the output: everything that is not finished


def finished_manifest(output: Path) -> dict | None:
    """The manifest of a finished data set; UserError when there is something else at `output`."""
    if output.exists() and not output.is_dir():
        raise UserError(f'{output}: is a file; --output names a folder')
    try:
        if (output / 'manifest.json').exists():
            manifest = json.loads((output / 'manifest.json').read_bytes())
            if {'settings', 'sources', 'skipped', 'clips'} <= set(manifest):
                return manifest
        elif not output.exists() or (output / WORK).exists() or not any(output.iterdir()):
            return None
    except (ValueError, TypeError):
        pass
    except OSError as error:
        raise UserError(f'{output}: cannot be read ({error.strerror})') from error
    raise UserError(f'{output}: holds something that is not a prepared data set; choose another --output')


def check_same(begun: dict, now: dict, output: Path) -> None:
    """Raise UserError when `output` was begun as something else: {'settings': …, 'sources': {name: checksum}}."""
    old, new = begun['settings'], now['settings']
    changes = [f'{k}: {old.get(k)}, now {new.get(k)}' for k in {**old, **new} if old.get(k) != new.get(k)]
    old, new = begun['sources'], now['sources']
    changes += [f'source {k} is new' for k in new if k not in old]
    changes += [f'source {k} is gone' for k in old if k not in new]
    changes += [f'source {k} has changed' for k in new if k in old and new[k] != old[k]]
    if changes:
        more = f' and {len(changes) - 5} more' if len(changes) > 5 else ''
        raise UserError(
            f'{output}: holds a data set, finished or begun, with other settings ({"; ".join(changes[:5])}{more}); '
            f'choose another --output or delete it'
        )


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Make the folder `work` and hold it; UserError while another process does."""
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
        file = (work / 'lock').open('w')
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f'{work.parent}: another run is preparing this data set') from error
        yield
