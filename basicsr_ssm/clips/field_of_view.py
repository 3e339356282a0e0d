"""Where the picture is: endoscopes show a circle or an octagon on black, recorders put black borders around it."""

from __future__ import annotations

import cv2
import numpy as np

BLACK = 24  # levels: a pixel is dark below it in every colour, noise and compression included
BRIGHT_FRAMES = 0.05  # share of the frames in which a pixel of the picture is not dark
LEAST = 0.1  # share of the frame's area; what is smaller is taken for a dark recording without a field of view
_TEXT = 100  # strokes thinner than 1/100 of the frame's shorter side are text, not picture


class FieldOfView:
    """Gathers, over the frames of one source, which pixels are ever bright."""

    def __init__(self, size: tuple[int, int]):
        self._bright = np.zeros(size, np.int32)
        self._count = 0

    def add(self, frame: np.ndarray) -> None:
        """One frame, uint8 (h, w, 3)."""
        smooth = cv2.medianBlur(frame, 3)  # single pixels of noise go, edges stay where they are
        self._bright += smooth.max(axis=2) >= BLACK
        self._count += 1

    def mask(self) -> np.ndarray | None:
        """The field of view, bool (h, w): convex, without text beside it; None where none is found.

        It is the convex hull of the largest bright area, so dark places inside of it belong to it.
        """
        bright = (self._bright >= max(1, BRIGHT_FRAMES * self._count)).astype(np.uint8)
        side = max(3, min(bright.shape) // _TEXT) | 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        # outside is not dark: a picture that reaches the frame's edge stays whole
        bright = cv2.dilate(cv2.erode(bright, kernel, borderValue=1), kernel, borderValue=0)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if not len(areas) or areas.max() < LEAST * bright.size:
            return None
        points = cv2.findNonZero((labels == 1 + areas.argmax()).astype(np.uint8))
        mask = np.zeros(bright.shape, np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(points), 1)
        return mask.astype(bool)


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width and height of the smallest rectangle that holds a mask, bool (h, w), that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = int(rows[0]), int(columns[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
