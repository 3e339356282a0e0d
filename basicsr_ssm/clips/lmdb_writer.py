"""LMDB in the form that BasicSR's FileClient reads, the same bytes every time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file, writing

PNG_LEVEL = 1  # BasicSR's choice: quick to read, some 10 % larger than the best
# One filter for all rows and runs alone: half the time of OpenCV's own choice to write and two thirds to read, in files
# that are as large.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, 'IMWRITE_PNG_FILTER'):  # not in old versions of OpenCV
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]

_PAGE = 4096
# The layout of the pages depends on where transactions end, so that is fixed; they keep what they write in memory.
_BYTES_A_TRANSACTION = 64 << 20


def encode_png(frame: np.ndarray) -> bytes:
    """uint8 RGB (h, w, 3) → a PNG file."""
    done, png = cv2.imencode('.png', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _PNG)
    if not done:
        raise ValueError(f'cannot encode a frame of shape {frame.shape} as PNG')
    return png.tobytes()


def write_lmdb(
    folder: Path, files: dict[str, Path], shapes: dict[str, tuple[int, int, int]], advance: Callable[[], None]
) -> None:
    """Write PNG files into `folder` (data.mdb and meta_info.txt), which appears only when complete.

    Args:
        folder: ends in .lmdb and does not exist.
        files: key → PNG file. The keys are stored without a suffix, as BasicSR does.
        shapes: key → (h, w, c) for meta_info.txt.
        advance: called after every file.

    Raises:
        UserError: a file cannot be read.
        WriteError: the disk is full or read-only.
    """
    keys = sorted(files, key=str.encode)
    sizes = {key: _from_source(Path.stat, files[key]).st_size for key in keys}
    # A value takes whole pages; 2 % and 1 MiB are more than enough for the tree above them and for freed pages.
    pages = sum((size + 16 + _PAGE - 1) // _PAGE for size in sizes.values())
    map_size = (int(pages * 1.02) + len(keys) // 8 + 256) * _PAGE
    temporary = folder.with_name(f'{folder.name}.tmp')
    with writing(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            # No lock file: BasicSR opens without one, and its bytes would differ from run to run.
            with lmdb.open(os.fsencode(temporary), map_size=map_size, lock=False, sync=False, max_dbs=0) as environment:
                _fill(environment, files, keys, sizes, advance)
                environment.sync(True)
        except lmdb.Error as error:
            # A full disk is EIO to LMDB, if it could write a part.
            full = isinstance(error, lmdb.DiskError) or shutil.disk_usage(temporary).free < _BYTES_A_TRANSACTION
            raise OSError(errno.ENOSPC if full else None, str(error), str(temporary)) from error
        lines = ('{}.png ({},{},{}) {}\n'.format(key, *shapes[key], PNG_LEVEL) for key in keys)
        write_file(temporary / 'meta_info.txt', ''.join(lines).encode())
        os.replace(temporary, folder)


def _fill(environment, files: dict, keys: list[str], sizes: dict, advance: Callable[[], None]) -> None:
    waiting = 0
    transaction = environment.begin(write=True)
    for key in keys:
        if waiting + sizes[key] > _BYTES_A_TRANSACTION and waiting:
            transaction.commit()
            transaction, waiting = environment.begin(write=True), 0
        transaction.put(key.encode(), _from_source(Path.read_bytes, files[key]), append=True)
        waiting += sizes[key]
        advance()
    transaction.commit()


def _from_source(call: Callable, path: Path):
    """call(path), with errors of the source told from those of the output."""
    try:
        return call(path)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
