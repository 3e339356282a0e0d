"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
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


def save_png(image: np.ndarray, path: str | Path) -> None:
    """Write a uint8 BGR image (h, w, 3), making its folder, under the same promise except for a power cut."""
    path = Path(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode('.png', image)[1]
    _write_whole(path, lambda file: file.write(content.data), durable=False)  # syncing each frame would take long


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f'cannot write {path}: {error.strerror or error}; what was saved before is untouched'
        ) from error


def _write_whole(path: Path, write: Callable[[BinaryIO], object], durable: bool = True) -> None:
    temporary = path.with_name(f'.{path.name}.tmp')
    with _told(path):
        try:
            with open(temporary, 'wb') as file:
                write(file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
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
