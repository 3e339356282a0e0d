"""Settings of a measurement: a dictionary in, a checked dataclass out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TypeVar

from basicsr_ssm.errors import UserError
from basicsr_ssm.options.errors import did_you_mean

Settings = TypeVar('Settings')
Size = tuple[int, int]


def read_settings(kind: type[Settings], measurement: str, given: dict) -> Settings:
    """``kind``, a dataclass whose __post_init__ checks it, made of the given settings.

    Raises:
        UserError: an unknown setting, with those that there are, or a bad value.
    """
    check_names(kind, measurement, given)
    try:
        return kind(**given)
    except UserError as error:
        raise UserError(f'{measurement}: {error}') from None


def check_names(kind: type, measurement: str, given: Iterable[str]) -> None:
    """Raises a UserError for a setting that ``kind``, a dataclass, does not have, with those that it has."""
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            raise UserError(f'{measurement}: no setting {name!r}; {did_you_mean(name, known)}')


def whole(name: str, value: object, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f'{name}: {value!r} is not a whole number of at least {least}')
    return value


def frame_size(name: str, value: object) -> Size:
    """(height, width) of ``value``: one number for squares, or [height, width]."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2:
        raise UserError(f'{name}: {value!r} is neither a side nor [height, width]')
    return whole(name, sides[0]), whole(name, sides[1])


def one_of(name: str, value: object, choices: Iterable) -> None:
    """Raises a UserError unless ``value`` is one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        raise UserError(f'{name}: {value!r} is not one of {", ".join(map(str, choices))}')
