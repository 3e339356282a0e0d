"""Which changes of an option file follow from a shorter schedule, and are said by its length."""

from __future__ import annotations

from collections.abc import Iterable

from basicsr_ssm.tables.running.changes import Change
from basicsr_ssm.tables.running.schedule import LENGTHS

_SCALED = (
    *(f'train.{name}' for name in LENGTHS),
    *(f'train.scheduler.{k}' for k in ('periods', 'milestones', 'restarts')),
)
# how often a training says or keeps something is no matter of its result
_QUIET = ('logger.', 'val.val_freq', 'train.total_iter')


def of_schedule(change: Change, shares: Iterable[float]) -> bool:
    """Whether it is what a schedule of one of these shares of the recipe's makes of it: fix_flow 50 of 5000."""
    if change.key.startswith(_QUIET):
        return True
    if change.key not in _SCALED:
        return False
    new, old = _numbers(change.value), _numbers(change.recipe)
    if len(new) != len(old):
        return False
    # rounding adds up in the last of several periods
    return any(all(abs(a - b * share) <= len(new) for a, b in zip(new, old, strict=True)) for share in shares)


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(number, int | float) for number in values) else []
