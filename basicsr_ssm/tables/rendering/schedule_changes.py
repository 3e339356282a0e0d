"""Which changes of an option file follow from a shorter schedule, and are said by its length."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from basicsr_ssm.tables.running.schedule import LENGTHS

_PERIODS = ('periods', 'milestones', 'restarts')
# how often a training says or keeps something is no matter of its result
_QUIET = ('logger.', 'val.val_freq', 'train.total_iter')


def of_schedule(change: str, shares: Iterable[float]) -> bool:
    """Whether 'train.fix_flow: 50 (5000)' is what a schedule of one of these shares of the file's makes of it."""
    key, _, values = change.partition(': ')
    if key.startswith(_QUIET):
        return True
    if key not in [f'train.{name}' for name in LENGTHS] + [f'train.scheduler.{name}' for name in _PERIODS]:
        return False
    new, _, old = values.removesuffix(')').rpartition(' (')
    new, old = _numbers(new), _numbers(old)
    if len(new) != len(old):
        return False
    # rounding adds up in the last of several periods
    return any(all(abs(a - b * share) <= len(new) for a, b in zip(new, old, strict=True)) for share in shares)


def _numbers(text: str) -> list[float]:
    value = yaml.safe_load(text)
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(number, int | float) for number in values) else []
