"""What ``basicsr-ssm test`` leaves in a results folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from basicsr_ssm.data.frame_store import FolderFrames
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import Table, TableOfFrames
from basicsr_ssm.tables.results.files import read_json, read_metrics


@dataclass(frozen=True)
class Results:
    """One model's results.

    Attributes:
        name: what the model is called beside others.
        folder: holds the files below.
        means: metrics.json: {data set: {clip: {metric: value}}}.
        over_clips: metrics.json, too: {data set: {metric: mean over the clips}}.
        by_frame: metrics_per_frame.json: {data set: {clip: {metric: values}}}; {} where the test wrote none.
        options: options.json; {} where the test wrote none.
    """

    name: str
    folder: Path
    means: dict[str, Table]
    over_clips: Table
    by_frame: dict[str, TableOfFrames]
    options: dict

    def pictures(self, dataset: str, clip: str, stems: Sequence[str] = ()) -> list[str]:
        """Names of the saved frames of a clip, below visualization/<dataset>/<clip>, in the order of the frames.

        Args:
            stems: under which a test on the same data saves them, in their order. Without, or where the model ran on
                another kind of data set (windows that keep the names of files, whole clips that are numbered), they are
                in the order in which BasicSR lists files.
        """
        end = f'_{self._suffix}.png' if self.options else '.png'
        folder = self.folder / 'visualization' / dataset / clip
        names = [file.name for file in folder.glob('*.png') if file.name.endswith(end)]
        if not self.options:
            end = _common_end(names)
        saved = {name.removesuffix(end): name for name in names}
        # never some by their stems and others by their places: numbers may begin with 0 or 1
        if saved.keys() == set(stems):
            return [saved[stem] for stem in stems]
        return [saved[stem] for stem in sorted(saved, key=lambda stem: f'{stem}.')]  # a file's suffix takes part

    def picture(self, dataset: str, clip: str, name: str) -> np.ndarray:
        """A saved frame by its name in `pictures`, uint8 BGR (h, w, 3).

        Raises:
            DatasetError: it is truncated or cannot be read; the message names the file.
        """
        return FolderFrames(self.folder / 'visualization' / dataset / clip).read(name)

    @property
    def _suffix(self) -> str:
        return (self.options.get('val') or {}).get('suffix') or self.options['name']


def _common_end(names: list[str]) -> str:
    """The _<suffix>.png in which all names end."""
    shared = os.path.commonprefix([name[::-1] for name in names])[::-1]
    return shared[max(0, shared.find('_')) :]


def read_results(folder: Path, name: str) -> Results:
    """What a test has left in a folder.

    Raises:
        UserError: no metrics.json, or files that are not what a test writes.
    """
    means = _read_means(folder / 'metrics.json')
    over_clips = {dataset: clips.pop('mean', {}) for dataset, clips in means.items()}
    by_frame = read_metrics(folder / 'metrics_per_frame.json', lambda values: [float(v) for v in values])
    return Results(name, folder, means, over_clips, by_frame or {}, _read_options(folder / 'options.json'))


def _read_means(path: Path) -> dict[str, Table]:
    means = read_metrics(path, float)
    if means is None:
        raise UserError(
            f'no {path}: not a results folder of `basicsr-ssm test`, or nothing was measured in it '
            f'(no val.metrics, or no ground truth)'
        )
    if not means:
        raise UserError(f'{path} is empty: nothing was measured')
    for dataset, clips in means.items():
        if not any(values for clip, values in clips.items() if clip != 'mean'):
            raise UserError(f'{path}: nothing was measured on {dataset}')
    return means


def _read_options(path: Path) -> dict:
    options = read_json(path) or {}
    val = options.get('val') or {}
    if not isinstance(val, dict) or options and not (val.get('suffix') or options.get('name')):
        raise UserError(f'{path} is not what `basicsr-ssm test` writes: it does not say how images are called (name)')
    return options
