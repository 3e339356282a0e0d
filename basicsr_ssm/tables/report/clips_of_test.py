"""The clips of a test: bicubic up-sampling and ground truth of its frames."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from tqdm import tqdm

from basicsr_ssm.errors import UserError
from basicsr_ssm.models.frame_stem import frame_stem
from basicsr_ssm.tables.comparison import TableOfFrames, bicubic_per_frame, frame_pairs, upsampled
from basicsr_ssm.tables.report.comparable import HowMeasured
from basicsr_ssm.tables.results.described import described


class ClipsOfTest:
    """One data set of a test, built anew from its options.

    Args:
        options: of the test, as options.json keeps them or an option file gives them; only where its clips lie is taken
            from there.
        name: of the data set.
        how: its results were measured.

    Raises:
        UserError: the options have no such data set, or it cannot be opened.
    """

    def __init__(self, options: dict, name: str, how: HowMeasured):
        from basicsr.data import build_dataset

        opt = described(options, name)
        if opt is None:
            raise UserError(f'the options of the test do not describe {name!r}')
        self._scale, self._metrics = how.scale, how.metrics
        try:
            self._dataset = build_dataset(opt)
        except (OSError, KeyError, AssertionError) as error:  # BasicSR's own data sets have no words for it
            raise UserError(f'{type(error).__name__}: {error}') from error
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._stems: dict[str, list[str]] = {}

    def bicubic(self, clips: Collection[str]) -> TableOfFrames:
        """Metrics of each frame of these clips, up-sampled by MATLAB's bicubic."""
        return bicubic_per_frame(self._items(clips), self._metrics, self._scale)

    def _items(self, clips: Collection[str]) -> Iterator[dict]:
        self._places, self._stems = {}, {}
        for index in tqdm(range(len(self._dataset)), desc='Bicubic', unit='clip', disable=None):
            item = self._dataset[index]
            if item['folder'] in clips and 'gt' in item:
                numbers = range(len(item['gt'])) if item['gt'].dim() == 4 else [None]
                self._places.setdefault(item['folder'], []).extend((index, i or 0) for i in numbers)
                self._stems.setdefault(item['folder'], []).extend(frame_stem(item, i) for i in numbers)
                yield item

    def stems(self, clip: str) -> list[str]:
        """Under which a test saves the frames of a clip, in their order; [] unless `bicubic` has gone through it."""
        return self._stems.get(clip, [])

    def frame(self, clip: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Bicubic and ground truth of a frame of the clips that `bicubic` has gone through; uint8 BGR (h, w, 3)."""
        from basicsr.utils import tensor2img

        index, place = self._places[clip][frame]
        lq, gt = list(frame_pairs(self._dataset[index]))[place]
        return upsampled(lq, self._scale), tensor2img([gt])
