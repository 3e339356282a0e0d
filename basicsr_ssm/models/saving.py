"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch

from basicsr_ssm.errors import UserError


def save_whole(content: object, path: str | Path) -> None:
    """``torch.save`` that leaves the old file, or none, when it is interrupted at any point.

    Raises:
        UserError: the file cannot be written (full disk, no permission, …).
    """
    buffer = io.BytesIO()  # torch hides the reason when its own writer meets a full disk
    torch.save(content, buffer)
    _write_whole(Path(path), lambda file: file.write(buffer.getbuffer()))


def save_json(content: object, path: str | Path) -> None:
    """Write JSON, under the same promise as ``save_whole``."""
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    _write_whole(Path(path), lambda file: file.write(text.encode()))


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, has to survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(
            f'cannot write {path}: {error.strerror or error}; what was saved before is untouched'
        ) from error
