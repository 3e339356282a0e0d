"""Pictures of effective receptive fields."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

DECADES = 4  # from the largest gradient down; what is less is white
_SIDE = 320  # pixels of the longer side
_STRIP = 44
_SCALE = 34  # height of the scale below
_DARK = np.array([60, 24, 4], np.float64)  # BGR of the largest gradient
_MIDDLE = np.array([190, 140, 40], np.float64)


def field_picture(space: np.ndarray, label: str, radius: Mapping[str, float] | None = None) -> np.ndarray:
    """A map (h, w) with its logarithm as darkness, its name and, where they are given, radii: uint8 BGR."""
    scale = max(1, _SIDE // max(space.shape))
    image = cv2.resize(_colours(darkness(space)), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    lines = [label]
    if radius:
        lines.append('radius ' + ', '.join(f'{share}: {value:.1f} px' for share, value in radius.items()))
    image = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(160, 160, 160))
    return np.vstack([_text(lines, image.shape[1]), image, _scale(image.shape[1])])


def side_by_side(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Maps beside each other, in the order of their names: uint8 BGR. Each has its own largest gradient as dark."""
    pictures = [field_picture(space, name) for name, space in sorted(maps.items())]
    height = max(picture.shape[0] for picture in pictures)
    padded = [
        cv2.copyMakeBorder(p, 0, height - p.shape[0], 6, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for p in pictures
    ]
    return np.hstack(padded)


def darkness(space: np.ndarray) -> np.ndarray:
    """1 at the largest value, 0 at DECADES powers of ten below it and under that."""
    with np.errstate(divide='ignore'):
        return np.clip(1 + np.log10(space / space.max()) / DECADES, 0, 1)


def _colours(dark: np.ndarray) -> np.ndarray:
    """White, blue, nearly black."""
    dark = dark[..., None]
    light = 255 + (_MIDDLE - 255) * np.minimum(1, 2 * dark)
    return np.rint(light + (_DARK - _MIDDLE) * np.maximum(0, 2 * dark - 1)).astype(np.uint8)


def _text(lines: list[str], width: int) -> np.ndarray:
    strip = np.full((_STRIP, width, 3), 255, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(strip, line, (4, 17 + 19 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _scale(width: int) -> np.ndarray:
    bar = _colours(np.tile(np.linspace(0, 1, width), (10, 1)))
    strip = np.full((_SCALE - 10, width, 3), 255, np.uint8)
    for x, text in ((4, f'1e-{DECADES}'), (width - 110, 'of the largest: 1')):
        cv2.putText(strip, text, (max(0, x), 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([np.full((4, width, 3), 255, np.uint8), bar, strip])
