"""Checkpoints and images of a run, as files that are either whole or not there."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import torch

from basicsr_ssm.files import write_file, writing


def save_whole(content: object, path: str | Path) -> None:
    """``torch.save`` that leaves the old file, or none, when it is interrupted at any point.

    Raises:
        WriteError: the file cannot be written (full disk, no permission, …).
    """
    buffer = io.BytesIO()  # torch hides the reason when its own writer meets a full disk
    torch.save(content, buffer)
    # released even if writing fails: some releases of Python 3.12 crash when they collect such a view in a traceback
    with buffer.getbuffer() as state:
        write_file(Path(path), state)


def save_png(image: np.ndarray, path: str | Path) -> None:
    """Write a uint8 BGR image (h, w, 3), making its folder, under the same promise except for a power cut."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, cv2.imencode('.png', image)[1].data, durable=False)  # syncing each frame would take long
