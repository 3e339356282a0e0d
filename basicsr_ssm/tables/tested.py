"""What a test measured, and whether an option file still measures the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.clips.published import name_some
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import Table, TableOfFrames
from basicsr_ssm.tables.results_files import read_json, read_metrics


@dataclass(frozen=True)
class Tested:
    """The measurements in a results folder.

    Attributes:
        means: metrics.json: {data set: {clip: {metric: value}}}, with the mean over clips as the clip 'mean'.
        by_frame: metrics_per_frame.json: {data set: {clip: {metric: values}}}; {} where the test wrote none.
        options: options.json; {} where the test wrote none.
    """

    means: dict[str, Table]
    by_frame: dict[str, TableOfFrames]
    options: dict

    def check_options(self, dataset: str, scale: int, metrics: dict[str, dict]) -> None:
        """Raises UserError unless the test measured these metrics of a data set, in this way and at this scale."""
        if self.options.get('scale', scale) != scale:
            raise _other(dataset, f'at scale {self.options["scale"]}', f'has scale {scale}')
        then = (self.options.get('val') or {}).get('metrics') or {}
        for metric, options in metrics.items():
            for values in self.means[dataset].values():
                if metric not in values:
                    raise _other(dataset, ', '.join(values), f'has {metric} among val.metrics')
            if metric in then and _of_values(then[metric]) != _of_values(options):
                raise _other(dataset, f'{metric} with {then[metric]}', f'measures it with {options}')

    def check_clips(self, dataset: str, bicubic: TableOfFrames) -> None:
        """Raises UserError unless the test measured these very clips of a data set, each in as many frames."""
        then, now = (clips.keys() - {'mean'} for clips in (self.means[dataset], bicubic))
        if not now:
            raise _other(dataset, f'{len(then)} clips', 'has none with ground truth')
        if then != now:
            gone = f', without {name_some(then - now)}' if then - now else ''
            new = f', with {name_some(now - then)}' if now - then else ''
            raise _other(dataset, f'{len(then)} clips', f'has {len(now)}{gone}{new}')
        counted = self.by_frame.get(dataset, {})
        for clip in sorted(now & counted.keys()):
            for metric in counted[clip].keys() & bicubic[clip].keys():
                frames_then, frames_now = (len(of[clip][metric]) for of in (counted, bicubic))
                if frames_then != frames_now:
                    raise _other(f'{dataset}, {clip}', f'{frames_then} frames', f'has {frames_now}')


def _other(where: str, then: str, now: str) -> UserError:
    return UserError(f'{where}: the test measured {then}, the option file now {now}; test again')


def _of_values(metric: dict) -> dict:
    """The options that values depend on, as they come back from options.json."""
    return json.loads(json.dumps({key: value for key, value in metric.items() if key != 'better'}, default=str))


def read_tested(folder: Path) -> Tested:
    """The measurements in a results folder.

    Raises:
        UserError: there are none, or a file is damaged or cannot be read.
    """
    means = read_metrics(folder / 'metrics.json', float)
    if means is None:
        raise UserError(
            f'no {folder}/metrics.json: run `basicsr-ssm test` with this option file first; it measures clips that '
            f'have ground truth'
        )
    by_frame = read_metrics(folder / 'metrics_per_frame.json', lambda values: [float(v) for v in values])
    return Tested(means, by_frame or {}, read_json(folder / 'options.json') or {})
