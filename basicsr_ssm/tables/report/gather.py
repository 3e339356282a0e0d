"""Models side by side: which clips, which numbers, what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import Table, TableOfFrames
from basicsr_ssm.tables.report.clips_of_test import ClipsOfTest
from basicsr_ssm.tables.report.results import BICUBIC, Results


@dataclass(frozen=True)
class Method:
    """A column of the table; ``results`` is None for bicubic."""

    name: str
    means: Table
    by_frame: TableOfFrames
    results: Results | None = None


@dataclass
class Compared:
    """Methods on one data set.

    Attributes:
        name: of the data set.
        metrics: all that were measured; the first one ranks frames.
        lower: those of which less is better.
        methods: bicubic, where the data is there, then the models in the order in which they were given.
        clips: all that any model was tested on.
        common: those that all methods have.
        source: the clips themselves, where they are there.
        notices: what the reader has to know about gaps.
        causes: why, with paths of this machine: not for the page, which may travel.
    """

    name: str
    metrics: list[str]
    lower: set[str]
    methods: list[Method]
    clips: list[str]
    source: ClipsOfTest | None
    notices: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    @property
    def common(self) -> list[str]:
        return [clip for clip in self.clips if all(clip in method.means for method in self.methods)]

    @property
    def bicubic(self) -> Method | None:
        return next((method for method in self.methods if method.results is None), None)

    def mean(self, method: Method, metric: str) -> float | None:
        """Over the clips that all methods have; None without any."""
        values = [method.means[clip].get(metric) for clip in self.common]
        return float(np.mean(values)) if values and None not in values else None


def gather(all_results: list[Results], options: dict | None = None) -> list[Compared]:
    """The data sets of all results, with bicubic up-sampling measured where the test's clips can be read.

    Args:
        options: of the test, in place of the options.json of the results.
    """
    names = dict.fromkeys(name for results in all_results for name in results.means)
    return [_gather_one(name, all_results, options) for name in names]


def _gather_one(name: str, all_results: list[Results], options: dict | None) -> Compared:
    models = [results for results in all_results if name in results.means]
    methods = [Method(one.name, one.means[name], one.by_frame.get(name, {}), one) for one in models]
    clips = sorted({clip for method in methods for clip in method.means})
    metrics = list(dict.fromkeys(m for method in methods for values in method.means.values() for m in values))
    if 'psnr' in metrics:
        metrics.sort(key=lambda metric: metric != 'psnr')
    described = {metric: opt for one in models for metric, opt in one.metrics.items()}
    lower = {metric for metric, opt in described.items() if opt.get('better') == 'lower'}
    compared = Compared(name, metrics, lower, methods, clips, None)

    missing = [results.name for results in all_results if name not in results.means]
    if missing:
        compared.notices.append(f'{_and(missing)} {_has(missing)} no results on {name}.')
    for method in methods:
        absent = [clip for clip in clips if clip not in method.means]
        if absent:
            compared.notices.append(f'{method.name} was not tested on {_some(absent)}.')
        if not method.by_frame:
            compared.notices.append(
                f'{method.name} has no metrics_per_frame.json, so that its curves are missing: test it again.'
            )
    _add_bicubic(compared, models, options)
    if len(compared.common) < len(clips):
        compared.notices.append(f'Means are of the {len(compared.common)} of {len(clips)} clips that all methods have.')
    for clip in clips:
        counts = {m.name: len(next(iter(m.by_frame[clip].values()))) for m in compared.methods if m.by_frame.get(clip)}
        if len(set(counts.values())) > 1:
            counted = ', '.join(f'{method} {count}' for method, count in counts.items())
            compared.notices.append(
                f'Different numbers of frames in {clip}: {counted}. Do not compare their means; no frames are shown.'
            )
    return compared


def _add_bicubic(compared: Compared, models: list[Results], options: dict | None) -> None:
    known = options or next((one.options for one in models if one.options), None)
    without = 'Without bicubic and ground truth'
    try:
        if known is None:
            raise UserError('the results hold no options.json')
        source = ClipsOfTest(known, compared.name)
    except UserError as error:
        compared.causes.append(f'{error}; give the option file of the test (-opt), which says where its clips are')
        compared.notices.append(f'{without}: the clips of the test could not be opened.')
        return
    by_frame = source.bicubic(compared.clips)
    if not by_frame:
        compared.notices.append(f'{without}: the clips of the test are others, or have none.')
        return
    means = {clip: {m: float(np.mean(v)) for m, v in values.items()} for clip, values in by_frame.items()}
    compared.methods.insert(0, Method(BICUBIC, means, by_frame))
    compared.source = source
    absent = [clip for clip in compared.clips if clip not in by_frame]
    if absent:
        compared.notices.append(f'{without}: {_some(absent)}, not among the clips of the test.')


def _some(names: list[str], shown: int = 5) -> str:
    return _and(names) if len(names) <= shown else f'{", ".join(names[:shown])} and {len(names) - shown} more'


def _and(names: list[str]) -> str:
    return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _has(names: list[str]) -> str:
    return 'have' if len(names) > 1 else 'has'
