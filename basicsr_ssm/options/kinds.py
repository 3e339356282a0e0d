"""Kinds of option values. Each is a function that returns the value, or raises ValueError saying what is expected."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

Kind = Callable[[object], object]


def anything(value: object) -> object:
    return value


def text(value: object) -> object:
    return _need(value, isinstance(value, str), 'text')


def flag(value: object) -> object:
    return _need(value, isinstance(value, bool), 'true or false')


def number(value: object) -> object:
    return _need(value, _is_number(value), 'a number')


def integer(value: object) -> object:
    """Whole floats count: option files write 5e3."""
    return int(_need(value, _is_whole(value), 'a whole number'))


def positive(value: object) -> object:
    whole = integer(value)
    return _need(whole, whole > 0, 'a whole number above 0')


def count(value: object) -> object:
    whole = integer(value)
    return _need(whole, whole >= 0, 'a whole number from 0 on')


def seed(value: object) -> object:
    whole = integer(value)
    return _need(whole, 0 <= whole < 2**31, 'a whole number from 0 to 2147483647')


def share(value: object) -> object:
    return _need(number(value), 0 <= value <= 1, 'a number from 0 to 1')


def limit(value: object) -> object:
    return _need(number(value), value > 0, 'a number above 0')


def numbers(value: object) -> object:
    return _need(value, isinstance(value, list) and all(map(_is_number, value)), 'a list of numbers')


def limits(value: object) -> object:
    fulfilled = isinstance(value, list) and value and all(_is_number(v) and v > 0 for v in value)
    return _need(value, fulfilled, 'a list of numbers above 0')


def distances(value: object) -> object:
    fulfilled = isinstance(value, list) and value and all(_is_whole(v) and v > 0 for v in value)
    return [int(v) for v in _need(value, fulfilled, 'a list of whole numbers above 0, such as [1, 2]')]


def gpus(value: object) -> object:
    if value == 'auto':
        return value
    return int(_need(value, _is_whole(value) and value >= 0, 'auto or a number of GPUs'))


def section(value: object) -> object:
    return _need(value, isinstance(value, dict), 'a section of options')


def sections(value: object) -> object:
    return _need(value, isinstance(value, list) and all(isinstance(v, dict) for v in value), 'a list of sections')


def one_of(*choices: str) -> Kind:
    def kind(value):
        return _need(value, value in choices, ' or '.join(choices))

    return kind


def optional(kind: Kind) -> Kind:
    return lambda value: None if value is None else kind(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return _is_number(value) and value == int(value)


def _need(value: object, fulfilled: bool, expected: str) -> object:
    if not fulfilled:
        raise ValueError(f'expected {expected}, got {value!r}')
    return value


_BY_NAME = {'int': integer, 'float': number, 'bool': flag, 'str': text}
_ANNOTATED = {**_BY_NAME, int: integer, float: number, bool: flag, str: text}


def of_signature(function: Callable, leave_out: tuple[str, ...] = ()) -> tuple[dict[str, Kind], list[str], bool]:
    """The options that a constructor or function takes.

    Returns:
        kinds by name, from annotation, default value or docstring; the names without a default; whether it takes any
        further name.
    """
    kinds, required, open_ended = {}, [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL and name not in leave_out:
            kinds[name] = _of_parameter(parameter, function.__doc__ or '')
            if parameter.default is parameter.empty:
                required.append(name)
    return kinds, required, open_ended


def _of_parameter(parameter: inspect.Parameter, doc: str) -> Kind:
    if parameter.annotation in _ANNOTATED:
        return _ANNOTATED[parameter.annotation]
    default = parameter.default
    if default is parameter.empty:  # BasicSR documents its arguments: 'crop_border (int): …'
        documented = re.search(rf'^ *{re.escape(parameter.name)} \((\w+)\):', doc, re.MULTILINE)
        return _BY_NAME.get(documented[1], anything) if documented else anything
    if isinstance(default, bool):
        return flag
    if isinstance(default, tuple) and default and all(isinstance(v, int | float) for v in default):
        return numbers
    # an int default may well stand for a float (weight_decay=0), so both are numbers
    return number if isinstance(default, int | float) else anything
