"""Files that are either complete or not there, and errors of the disk in words."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from basicsr_ssm.errors import UserError


class WriteError(UserError):
    """The output cannot be written: no space, no permission, a read-only or broken disk."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into WriteError with `path` and what to do."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: 'the disk is full; what is finished is kept: make room and run the same command again',
            errno.EDQUOT: 'the disk quota is used up; what is finished is kept: make room and run it again',
            errno.EROFS: 'the file system is read-only',
            errno.EACCES: 'permission denied',
            errno.EPERM: 'permission denied',
        }
        reason = hints.get(error.errno, error.strerror or str(error))
        raise WriteError(f'{error.filename or path}: cannot write ({reason})') from error


def write_file(path: Path, content: bytes | memoryview, durable: bool = True) -> None:
    """Write under another name, flush to the disk, then rename: `path` is the old file or the whole new one.

    Args:
        durable: also survive a power cut, at the price of waiting for the disk.
    """
    temporary = path.with_name(f'.{path.name}.tmp')
    with writing(path):
        try:
            with open(temporary, 'wb') as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        if durable:
            _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """A new name, too, has to survive a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: object) -> None:
    """write_file of indented JSON with a final newline; the same value gives the same bytes.

    JSON has no infinity (the PSNR of equal frames) and no NaN: they are written as the strings that float() reads.
    Where a path is not UTF-8, what Python has in the place of such bytes is escaped, and comes back.
    """
    text = json.dumps(_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + '\n'
    write_file(path, text.encode(errors='backslashreplace'))


def _jsonable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def sha256_of(files: Iterable[Path]) -> str:
    """SHA-256, in hex, of the files' contents one after the other (`cat … | sha256sum`)."""
    digest = hashlib.sha256()
    for path in files:
        with path.open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
