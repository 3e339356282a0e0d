"""Models side by side: which clips, which numbers, what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from basicsr_ssm.data.clip_index import natural_key
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import Table, TableOfFrames, check_scale, means
from basicsr_ssm.tables.report.clips_of_test import ClipsOfTest
from basicsr_ssm.tables.report.comparable import HowMeasured, how_measured
from basicsr_ssm.tables.report.named_results import BICUBIC
from basicsr_ssm.tables.results.results import Results
from basicsr_ssm.tables.results.same_data import check_same_selection, places

_WITHOUT = 'Without bicubic and ground truth'


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
        options: of the test; they tell where its clips lie, in place of the options.json of the results.

    Raises:
        UserError: results that cannot be compared, see `how_measured`; a clip of the test is damaged.
    """
    how = how_measured(all_results, options)
    names = dict.fromkeys(name for results in all_results for name in results.means)
    return [_gather_one(name, all_results, options, how) for name in names]


def _gather_one(name: str, all_results: list[Results], options: dict | None, how: HowMeasured) -> Compared:
    models = [results for results in all_results if name in results.means]
    methods = [Method(one.name, one.means[name], one.by_frame.get(name, {}), one) for one in models]
    clips = sorted({clip for method in methods for clip in method.means}, key=natural_key)
    metrics = list(dict.fromkeys(m for method in methods for values in method.means.values() for m in values))
    if 'psnr' in metrics:
        metrics.sort(key=lambda metric: metric != 'psnr')
    lower = {metric for metric, opt in how.metrics.items() if opt['better'] == 'lower'}
    known = {m: opt for m, opt in how.metrics.items() if m in metrics and opt.get('type') in METRIC_REGISTRY}
    how = replace(how, metrics=known)
    check_same_selection(name, models, options, how.metrics.values())
    compared = Compared(name, metrics, lower, methods, clips, None)

    missing = [results.name for results in all_results if name not in results.means]
    if missing:
        compared.notices.append(f'{_and(missing)} {_has(missing)} no results on {name}.')
    for method in methods:
        absent = [clip for clip in clips if clip not in method.means]
        if absent:
            compared.notices.append(f'{method.name} was not tested on {_some(absent)}.')
        if 'mean' in method.by_frame:
            compared.notices.append(
                f'The clip called mean is missing: metrics.json of {method.name} has the mean over clips in its place.'
            )
        if not method.by_frame:
            compared.notices.append(
                f'{method.name} has no metrics_per_frame.json, so that its curves are missing: test it again.'
            )
    of_whom = _add_bicubic(compared, models, options, how)
    _add_places(compared, models, of_whom)
    for method in compared.methods:
        lacking = [m.upper() for m in metrics if not any(m in values for values in method.means.values())]
        if lacking:
            compared.notices.append(f'{method.name} has no {_and(lacking)}.')
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


def _add_places(compared: Compared, models: list[Results], of_whom: str | None) -> None:
    found = places(compared.name, models)
    if len(found) < 2:
        return
    shown = f' Bicubic and ground truth are those of {of_whom}.' if of_whom else ''
    compared.notices.append(
        f'{_and([_and(names) for names in found.values()])} were tested on data in different places: '
        f'is it the same?{shown}'
    )
    compared.causes.extend(f'{_and(names)}: tested on {where}' for where, names in found.items())


def _add_bicubic(compared: Compared, models: list[Results], options: dict | None, how: HowMeasured) -> str | None:
    """Adds bicubic, or why there is none; returns of whose test the clips are."""
    # the test of the most clips first: a part of them may have been tested elsewhere
    models = sorted(models, key=lambda one: -len(one.means[compared.name]))
    descriptions = {one.name: one.options for one in models if one.options}
    if options:
        descriptions = {'the option file': options}
    problem = _why_no_bicubic(how) if descriptions else None
    if problem:
        compared.notices.append(f'{_WITHOUT}: {problem}.')
        return None
    causes = [] if descriptions else ['the results hold no options.json']
    for of_whom, description in descriptions.items():
        try:
            source = ClipsOfTest(description, compared.name, how)
        except UserError as error:
            causes.append(str(error))
            continue
        by_frame = source.bicubic(compared.clips)
        if by_frame:
            _insert_bicubic(compared, source, by_frame)
            return of_whom
    tip = '' if options else '; give the option file of the test (-opt), which says where its clips are'
    compared.causes.extend(f'{cause}{tip}' for cause in dict.fromkeys(causes))
    found = 'are others, or have none' if len(causes) < len(descriptions) else 'could not be opened'
    compared.notices.append(f'{_WITHOUT}: the clips of the test {found}.')
    return None


def _insert_bicubic(compared: Compared, source: ClipsOfTest, by_frame: TableOfFrames) -> None:
    compared.methods.insert(0, Method(BICUBIC, means(by_frame), by_frame))
    compared.source = source
    absent = [clip for clip in compared.clips if clip not in by_frame]
    if absent:
        compared.notices.append(f'{_WITHOUT}: {_some(absent)}, not among the clips of the test.')


def _why_no_bicubic(how: HowMeasured) -> str | None:
    if not how.scale or not how.metrics:
        return 'the options of the test have no scale or no val.metrics'
    try:
        check_scale(how.scale)
    except UserError as error:
        return str(error)
    return None


def _some(names: list[str], shown: int = 5) -> str:
    return _and(names) if len(names) <= shown else f'{", ".join(names[:shown])} and {len(names) - shown} more'


def _and(names: list[str]) -> str:
    return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _has(names: list[str]) -> str:
    return 'have' if len(names) > 1 else 'has'
