"""Fields of view as PNG files: white inside, black outside, of the ground truth's size."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.files import write_file, writing

MASKS = 'masks'  # the folder beside GT


def write_mask(path: Path, mask: np.ndarray, multiple: int) -> None:
    """bool (h, w), cut at the bottom and right to multiples, as the ground truth is."""
    h, w = (n // multiple * multiple for n in mask.shape)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    write_file(path, cv2.imencode('.png', mask[:h, :w].astype(np.uint8) * 255)[1].tobytes())


def move_masks(origin: Path, names: Iterable[str], target: Path) -> None:
    """Those of the sources `names`; what an earlier run moved is left alone."""
    for name in names:
        if (origin / f'{name}.png').exists():
            with writing(target):
                target.mkdir(exist_ok=True)
                os.replace(origin / f'{name}.png', target / f'{name}.png')
