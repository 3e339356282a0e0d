"""Whether an option file still describes what a test measured."""

from __future__ import annotations

import json

from basicsr_ssm.clips.published import name_some
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import TableOfFrames
from basicsr_ssm.tables.results.results import Results
from basicsr_ssm.tables.results.same_data import check_same_selection


def check_options(results: Results, dataset: str, options: dict) -> None:
    """Raises UserError unless the test measured a data set by the metrics of these options, in this way, at this scale.

    Args:
        options: of the option file.
    """
    scale, metrics = options['scale'], options['val']['metrics']
    if results.options.get('scale', scale) != scale:
        raise _other(dataset, f'at scale {results.options["scale"]}', f'has scale {scale}')
    then = (results.options.get('val') or {}).get('metrics') or {}
    for metric, opt in metrics.items():
        for values in results.means[dataset].values():
            if metric not in values:
                raise _other(dataset, ', '.join(values), f'has {metric} among val.metrics')
        if metric in then and _of_values(then[metric]) != _of_values(opt):
            raise _other(dataset, f'{metric} with {then[metric]}', f'measures it with {opt}')
    check_same_selection(dataset, [results], options, metrics.values())


def check_clips(results: Results, dataset: str, bicubic: TableOfFrames) -> None:
    """Raises UserError unless the test measured these very clips of a data set, each in as many frames."""
    then, now = results.means[dataset].keys(), bicubic.keys()
    if not now:
        raise _other(dataset, f'{len(then)} clips', 'has none with ground truth')
    if then != now:
        gone = f', without {name_some(then - now)}' if then - now else ''
        new = f', with {name_some(now - then)}' if now - then else ''
        raise _other(dataset, f'{len(then)} clips', f'has {len(now)}{gone}{new}')
    counted = results.by_frame.get(dataset, {})
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
