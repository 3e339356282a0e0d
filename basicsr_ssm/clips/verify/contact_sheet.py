"""Clips at a glance: some frames side by side."""

from __future__ import annotations

import cv2
import numpy as np

from basicsr_ssm.clips.verify.examine import decode, spread
from basicsr_ssm.clips.verify.stored import Stored
from basicsr_ssm.errors import UserError

FRAMES = 6
WIDTH = 160  # of each
GAP = 2


def contact_sheet(stored: Stored, split: str, clip: str) -> np.ndarray:
    """uint8 RGB (h, w, 3): six frames of the clip's GT, evenly spaced; a grey one stands for what cannot be read."""
    store = stored.splits[split].get('GT') or next(iter(stored.splits[split].values()))
    images = []
    for frame in spread(store.clips.get(clip, []), FRAMES):
        try:
            images.append(decode(store.read(clip, frame)))
        except UserError:
            images.append(None)
    first = next((image for image in images if image is not None), np.zeros((9, 16, 3), np.uint8))
    h = max(1, round(WIDTH * first.shape[0] / first.shape[1]))
    sheet = np.full((h, FRAMES * (WIDTH + GAP) - GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        small = np.full((h, WIDTH, 3), 128, np.uint8)
        if image is not None:
            small = cv2.resize(image, (WIDTH, h), interpolation=cv2.INTER_AREA)
        sheet[:, i * (WIDTH + GAP) : i * (WIDTH + GAP) + WIDTH] = small
    return sheet


def as_jpeg(sheet: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
