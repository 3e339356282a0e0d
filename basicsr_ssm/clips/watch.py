"""What happens from one frame to the next: abrupt cuts, and frames that only repeat the one before."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

# Set on laparoscopy clips of one patient joined end to end, where scenes resemble each other, and on films: all joins
# and cuts were found; fast camera motion (up to 37 levels a frame) was not taken for one once it was under way.
THUMBNAIL = 64  # pixels a side
BINS = 16  # of each colour's histogram
CUT_DIFFERENCE = 12.0  # mean levels between thumbnails
CUT_RATIO = 2.5  # times the largest difference of the last frames,
CUT_MEMORY = 5  # this many
CUT_HISTOGRAM = 0.05  # share of the pixels that change their bin
CUT_HISTOGRAM_ALONE = 0.25  # at which the differences before do not matter

# Set on laparoscopy, repeated and coded again as H.264 (crf 18 to 30) and MPEG-4: up to 0.25 and 4.6 within a group of
# pictures, where the slowest true motion makes 0.8 and 15; an animation that stands almost still makes 0.05 and 8.
DUPLICATE_MEAN = 0.3  # mean levels over the frame
DUPLICATE_BLOCK = 5.0  # and in the 8×8 block that changed most


class Watch:
    """Sees the frames of one source in order.

    Attributes:
        cuts: numbers of the frames that begin a new scene.
        duplicates: numbers of the frames that repeat the one before.
        longest_freeze: the most duplicates in a row.
    """

    def __init__(self):
        self.cuts: list[int] = []
        self.duplicates: list[int] = []
        self.longest_freeze = 0
        self._freeze = 0
        self._last: np.ndarray | None = None
        self._features: tuple[np.ndarray, np.ndarray] | None = None
        self._differences: deque[float] = deque(maxlen=CUT_MEMORY)

    def see(self, number: int, frame: np.ndarray) -> str:
        """Judge the next frame, uint8 (h, w, 3): 'cut', 'duplicate' or 'new'.

        Duplicates are compared with the last frame that was none, so that slow motion does not pass for a freeze.
        """
        features = _features(frame)
        last, last_features = self._last, self._features
        verdict, difference = 'new', 0.0
        if last is not None:
            difference = float(np.abs(features[0] - last_features[0]).mean())
            histogram = 1 - float(np.minimum(features[1], last_features[1]).sum())
            if difference < 1 and is_duplicate(last, frame):
                self.duplicates.append(number)
                self._freeze += 1
                self.longest_freeze = max(self.longest_freeze, self._freeze)
                return 'duplicate'
            if self._is_cut(difference, histogram):
                self.cuts.append(number)
                verdict = 'cut'
        self._freeze = 0
        self._last, self._features = frame, features
        if verdict == 'cut':
            self._differences.clear()
        elif last is not None:
            self._differences.append(difference)
        return verdict

    def _is_cut(self, difference: float, histogram: float) -> bool:
        if difference < CUT_DIFFERENCE:
            return False
        sudden = difference > CUT_RATIO * max(self._differences, default=0.0)
        return histogram > CUT_HISTOGRAM_ALONE or (histogram > CUT_HISTOGRAM and sudden)

    def interrupt(self) -> None:
        """Frames are missing here: what comes next is compared with nothing."""
        self._last = self._features = None
        self._freeze = 0
        self._differences.clear()


def is_duplicate(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two frames, uint8 (h, w, 3), show the same but for coding noise."""
    difference = cv2.absdiff(a, b)
    if cv2.norm(difference, cv2.NORM_L1) > DUPLICATE_MEAN * difference.size:
        return False
    h, w = (max(1, n // 8) for n in difference.shape[:2])
    blocks = cv2.resize(difference.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    return float(blocks.max()) <= DUPLICATE_BLOCK


def _features(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A thumbnail, float32, and the histograms of its colours, adding up to 1."""
    small = cv2.resize(frame, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    bins = (small // (256 // BINS)).reshape(-1, small.shape[2])
    counts = [np.bincount(bins[:, c], minlength=BINS) for c in range(bins.shape[1])]
    return small.astype(np.float32), np.concatenate(counts) / bins.size
