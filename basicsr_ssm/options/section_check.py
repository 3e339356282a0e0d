"""What checks of all sections share: keys, kinds of values, and what a ``type`` names. Mistakes are collected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from basicsr_ssm.options import known
from basicsr_ssm.options.errors import did_you_mean
from basicsr_ssm.options.kinds import Kind
from basicsr_ssm.options.registered import Registered


class SectionCheck:
    """Collects ``problems``, each with the full path of its key."""

    def __init__(self):
        self.problems: list[str] = []

    def inside(self, options: dict, key: str) -> dict:
        """The section ``key``; empty where there is none."""
        value = options.get(key)
        return value if isinstance(value, dict) else {}

    def keys(
        self, where: str, options: dict, kinds: Mapping[str, Kind], wanted=(), open_ended: bool = False
    ) -> set[str]:
        """Report unknown and missing keys and values of another kind; put converted values in their place.

        Returns:
            the keys that were reported.
        """
        prefix = f'{where}.' if where else ''
        wrong = {key for key in wanted if options.get(key) is None}
        for key, value in options.items():
            if value is None and key in wanted:
                continue  # reported below
            if not self.is_text(where, key):
                wrong.add(key)
            elif key in kinds:
                try:
                    options[key] = kinds[key](value)
                except (ValueError, OverflowError) as error:
                    self.problems.append(f'{prefix}{key}: {error}')
                    wrong.add(key)
            elif not open_ended:
                hint = known.INSTEAD_OF_KEY.get(re.sub(r'^datasets\.[^.]*\.', 'datasets.*.', f'{prefix}{key}'))
                self.problems.append(f'{prefix}{key}: {hint or "no such option; " + did_you_mean(key, kinds)}')
                wrong.add(key)
        self.problems.extend(f'{prefix}{key}: missing' for key in wanted if options.get(key) is None)
        return wrong

    def is_text(self, where: str, key: object) -> bool:
        """Whether the name of something inside ``where`` is one; YAML makes numbers of 2 and true of on."""
        if not isinstance(key, str):
            within = f' in {where}' if where else ''
            self.problems.append(f'{key!r}{within}: a name has to be text; put it into quotes if it is meant')
        return isinstance(key, str)

    def described(self, where: str, options: dict, registered: Registered) -> tuple[Callable | None, set[str]]:
        """Check a section against what its type names.

        Returns:
            the class or function, or None; the keys that were reported.
        """
        function = self.find(f'{where}.type', options.get('type'), registered)
        return function, self.keys(where, options, *registered.arguments(function)) if function else set()

    def find(self, where: str, name: object, registered: Registered) -> Callable | None:
        """What ``name`` stands for; None, and a mistake reported, where it is nothing known."""
        objects = registered.objects()
        if name is None:
            if where != 'model_type':  # reported as a missing key
                self.problems.append(f'{where}: missing; {registered.what}: {", ".join(sorted(objects))}')
            return None
        if not isinstance(name, str):
            if where != 'model_type':  # reported as a value of another kind
                self.problems.append(f'{where}: expected text, got {name!r}')
            return None
        if name in objects:
            return objects[name]
        instead = known.INSTEAD_OF_TYPE.get(name)
        advice = f'write {instead}' if instead else did_you_mean(name, objects)
        self.problems.append(f'{where}: no {registered.what} {name}; {advice}')
        return None
