"""Whether results may stand in one table: how they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.results.results import Results


@dataclass(frozen=True)
class HowMeasured:
    """What all results have in common.

    Attributes:
        metrics: {metric: its options}, of all metrics whose options are known.
        scale: None where it is not known.
    """

    metrics: dict[str, dict]
    scale: int | None


def how_measured(all_results: Sequence[Results], options: dict | None) -> HowMeasured:
    """What the results, by their options.json, have in common.

    Args:
        options: of the option file; they tell what results without options.json do not.

    Raises:
        UserError: two results, or results and the option file, differ.
    """
    for one, other in combinations(all_results, 2):
        _check_metrics(f'{one.name} and of {other.name}', one.options, other.options)
        scales = [results.options.get('scale') for results in (one, other)]
        if None not in scales and scales[0] != scales[1]:
            raise UserError(f'{one.name} is for scale {scales[0]}, {other.name} for scale {scales[1]}: not one table')
    options = options or {}
    metrics, scale = {}, None
    for one in all_results:
        metrics |= _metrics(one.options)
        scale = scale or one.options.get('scale')
        _check_option_file(one, options)
    return HowMeasured(_metrics(options) | metrics, scale or options.get('scale'))


def _check_option_file(one: Results, options: dict) -> None:
    _check_metrics(f'{one.name} and in the option file (-opt)', one.options, options)
    scales = [some.get('scale') for some in (one.options, options)]
    if None not in scales and scales[0] != scales[1]:
        raise UserError(f'{one.name} is for scale {scales[0]}, the option file (-opt) for scale {scales[1]}')


def _check_metrics(whose: str, one: dict, other: dict) -> None:
    ones, others = _metrics(one), _metrics(other)
    for metric in ones.keys() & others.keys():
        if ones[metric] != others[metric]:
            raise UserError(
                f'{metric} of {whose} cannot be compared: measured with {ones[metric]} and with {others[metric]}; '
                f'test both with the same val.metrics'
            )


def _metrics(options: dict) -> dict[str, dict]:
    """val.metrics, with BasicSR's default written out."""
    metrics = (options.get('val') or {}).get('metrics') or {}
    return {metric: {'better': 'higher', **opt} for metric, opt in metrics.items()}
