"""The folder that a data set is made in: begun, taken up again with the same settings, finished, one run at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.file_lock import lock_file
from basicsr_ssm.files import WriteError, write_json, writing

WORK = '.partial'  # below the output: everything that is not finished

_KEYS = {'settings', 'sources', 'skipped', 'clips'}  # of every manifest
_BEGUN_KEYS = {'settings', 'sources'}


def finished_manifest(output: Path) -> dict | None:
    """The manifest of a finished data set; UserError when `output` is something else, or parts of it are gone."""
    if output.exists() and not output.is_dir():
        raise UserError(f'{output}: is a file; --output names a folder')
    try:
        if (output / 'manifest.json').exists():
            manifest = json.loads((output / 'manifest.json').read_bytes())
            if set(manifest) >= _KEYS:
                _refuse_incomplete(manifest, output)
                return manifest
        elif not output.exists() or (output / WORK).exists() or not any(output.iterdir()):
            return None
    except (ValueError, TypeError, KeyError):  # damaged, or of another program
        pass
    except OSError as error:
        raise UserError(f'{output}: cannot be read ({error.strerror})') from error
    raise UserError(f'{output}: holds something that is not a prepared data set; choose another --output')


def is_data_set(folder: Path) -> bool:
    """Whether a data set was made or begun there, whatever has become of it since."""
    begun = (folder / WORK / 'begun.json', *folder.glob(f'{WORK}/shard_*/begun.json'))
    return _has_keys(folder / 'manifest.json', _KEYS) or any(_has_keys(path, _BEGUN_KEYS) for path in begun)


def _has_keys(path: Path, keys: set[str]) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # not there, damaged, or of another program
        return False
    return isinstance(content, dict) and keys <= set(content)


def _refuse_incomplete(manifest: dict, output: Path) -> None:
    suffix = '.lmdb' if manifest['settings']['format'] == 'lmdb' else ''
    parts = dict.fromkeys(
        Path(clip['split'], f'{kind}{suffix}') for clip in manifest['clips'] for kind in clip['sha256']
    )
    gone = [str(part) for part in parts if not (output / part).is_dir()]
    if gone:
        some = ', '.join(gone[:5]) + (f' and {len(gone) - 5} more' if len(gone) > 5 else '')
        raise UserError(
            f'{output}: was finished, but of what its manifest.json names is gone: {some}; put it back, or delete '
            f'{output} to prepare it anew'
        )


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


def begin(work: Path, identity: dict, output: Path) -> None:
    """Note in `work` what is being made there; UserError when that is something else (see check_same)."""
    if (work / 'begun.json').exists():
        check_same(json.loads((work / 'begun.json').read_bytes()), identity, output)
    else:
        write_json(work / 'begun.json', identity)


@contextmanager
def locked(work: Path, shared: bool = False, name: str | None = None) -> Iterator[None]:
    """Make the folder `work` and hold it; UserError while another process does.

    Args:
        shared: together with others that share it, but with nobody who wants it alone.
        name: of what is being made, for the error.
    """
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    file = lock_file(work / 'lock', shared)
    if file is None:
        raise UserError(f'{name or work.parent}: another run is preparing this data set')
    with file:
        yield


@contextmanager
def kept_if_resumable(
    work: Path, final: Callable[[UserError], bool], strict: bool, new: Path | None = None
) -> Iterator[None]:
    """After an error that is not the disk's, keep `work` only if another run can go on with its clips, and say so.

    Args:
        final: whether the same sources and settings would fail with this error again.
        strict: another run goes on where this one was too strict.
        new: a folder that was made for this run; it goes, too, if nothing is left in it.
    """
    try:
        yield
    except WriteError:  # says so itself
        raise
    except UserError as error:
        if not final(error) and any(work.glob('sources/*/*/clip.json')):
            how = 'the same command without --strict' if strict else 'the same command'
            raise UserError(f'{error}; the finished clips are kept in {work}: {how} goes on with them') from error
        shutil.rmtree(work, ignore_errors=True)
        if new is not None:
            with suppress(OSError):
                new.rmdir()
        raise
