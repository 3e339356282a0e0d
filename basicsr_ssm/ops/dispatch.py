"""Which backend serves an operator call.

An operator lists its backends in order of preference, the reference last. A call takes the first that can serve it,
unless the ``backend`` argument or the environment variable ``BASICSR_SSM_BACKEND`` forces one. The variable holds a
backend's name (``reference``), which binds the operators that have such a backend, or ``operator=name`` pairs separated
by commas.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

VARIABLE = 'BASICSR_SSM_BACKEND'
_OPERATORS: dict[str, Operator] = {}


class BackendError(RuntimeError):
    """A backend was asked for that does not exist or cannot serve the call."""


@dataclass(frozen=True)
class Backend:
    """One way to compute an operator.

    Args:
        name: 'reference', 'triton', or the package that serves it.
        call: the function, with the operator's arguments.
        why_not: called with the same arguments, or with none to ask in general; the reason why this backend can't serve
            the call, or None when it can.
    """

    name: str
    call: Callable
    why_not: Callable[..., str | None] = lambda *args, **kwargs: None


class Operator:
    """A named operator with its backends, best first, the reference last."""

    def __init__(self, name: str, *backends: Backend):
        self.name = name
        self.backends = {backend.name: backend for backend in backends}
        _OPERATORS[name] = self

    def __call__(self, backend: str | None, *args, **kwargs):
        return self.choose(backend, *args, **kwargs).call(*args, **kwargs)

    def choose(self, backend: str | None, *args, **kwargs) -> Backend:
        """The backend that serves this call; raises BackendError when a forced one cannot."""
        forced = self._forced_by_environment() if backend is None else backend
        if forced is None:
            return next(b for b in self.backends.values() if b.why_not(*args, **kwargs) is None)
        if forced not in self.backends:
            raise BackendError(f'{self.name}: no backend {forced!r}; there are {", ".join(self.backends)}')
        reason = self.backends[forced].why_not(*args, **kwargs)
        if reason is not None:
            raise BackendError(f'{self.name}: backend {forced!r} cannot serve this call: {reason}')
        return self.backends[forced]

    def _forced_by_environment(self) -> str | None:
        setting = os.environ.get(VARIABLE, '')
        general, special = _read(setting) if setting else ([], {})
        return special.get(self.name) or next((name for name in general if name in self.backends), None)


def _read(setting: str) -> tuple[list[str], dict[str, str]]:
    """Names for every operator that has such a backend, and {operator: name}, which go before; all of them checked."""
    general, special = [], {}
    for entry in filter(None, (part.strip() for part in setting.split(','))):
        operator, equals, name = (part.strip() for part in entry.rpartition('='))
        if equals and operator not in _OPERATORS:
            raise BackendError(f'{VARIABLE}={setting}: no operator {operator!r}; there are {", ".join(_OPERATORS)}')
        if operator in special:
            raise BackendError(f'{VARIABLE}={setting}: two backends for {operator}')
        known = [_OPERATORS[operator]] if equals else _OPERATORS.values()
        known = sorted({backend for op in known for backend in op.backends})
        if name not in known:
            of = f' of {operator}' if equals else ''
            raise BackendError(f'{VARIABLE}={setting}: no backend {name!r}{of}; there are {", ".join(known)}')
        if equals:
            special[operator] = name
        else:
            general.append(name)
    return general, special


def operators() -> list[Operator]:
    """Every operator that has been imported, in the order of import."""
    return list(_OPERATORS.values())
