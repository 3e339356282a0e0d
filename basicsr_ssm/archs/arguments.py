"""A network's checks of its own arguments: everything that is wrong, in one error."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from numbers import Integral, Real


class ArgumentError(ValueError):
    """Arguments that a network cannot be built with.

    Attributes:
        network: name of the network.
        problems: what is wrong with each of them; the message is all of it.
    """

    def __init__(self, network: str, problems: list[str]):
        super().__init__(f'{network}: {"; ".join(problems)}')
        self.network, self.problems = network, problems

    def __reduce__(self):
        return type(self), (self.network, self.problems)


class Arguments:
    """Collects problems of the arguments of ``network``, and raises them together at ``done``."""

    def __init__(self, network: str):
        self.network = network
        self.problems: list[str] = []

    def need(self, fulfilled: bool, problem: str) -> None:
        """``problem`` says what is wrong unless ``fulfilled``; it starts with the argument's name."""
        if not fulfilled:
            self.problems.append(problem)

    def one_of(self, name: str, value: object, choices: Iterable) -> None:
        """``value`` has to be one of ``choices``."""
        choices = list(choices)
        self.need(value in choices, f'{name}={value!r} is not one of {", ".join(map(repr, choices))}')

    def some_of(self, name: str, value: object, choices: Iterable[str]) -> tuple[str, ...]:
        """``value`` has to be 'all' or a list of some of ``choices``, or None; returns what it stands for."""
        choices = tuple(choices)
        if value == 'all':
            return choices
        listed = isinstance(value, list | tuple)
        self.need(value is None or listed, f"{name}={value!r} is neither 'all' nor a list of some of {choices}")
        for one in value if listed else ():
            self.one_of(name, one, choices)
        return tuple(value) if listed else ()

    def whole_numbers(self, **values: object) -> None:
        """Each of ``values`` has to be an int. Raises ArgumentError at once: other checks compute with them."""
        self._all_of_kind(Integral, 'a whole number', values)

    def numbers(self, **values: object) -> None:
        """Each of ``values`` has to be a finite number. Raises ArgumentError at once, as above."""
        self._all_of_kind(Real, 'a number', values)

    def _all_of_kind(self, kind: type, called: str, values: dict[str, object]) -> None:
        right = [isinstance(v, kind) and not isinstance(v, bool) and isfinite(v) for v in values.values()]
        for fulfilled, (name, value) in zip(right, values.items(), strict=True):
            self.need(fulfilled, f'{name}={value!r} is not {called}')
        if not all(right):
            self.done()

    def at_least(self, least: float, **values: float) -> None:
        """Each of ``values`` has to be ``least`` or more."""
        for name, value in values.items():
            self.need(value >= least, f'{name}={value} is less than {least}')

    def done(self) -> None:
        """Raise ArgumentError if there was any problem."""
        if self.problems:
            raise ArgumentError(self.network, self.problems)
