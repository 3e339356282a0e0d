"""What the options of a run have that its recipe, an option file of this package, has not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_NONE = object()  # None is a value


@dataclass(frozen=True)
class Change:
    """One option that is not the recipe's.

    Attributes:
        key: 'train.total_iter'.
        value: what it is; `removed` where it is no more.
        recipe: what the recipe has; `added` where it has none.
    """

    key: str
    value: object = _NONE
    recipe: object = _NONE

    @property
    def removed(self) -> bool:
        return self.value is _NONE

    @property
    def added(self) -> bool:
        return self.recipe is _NONE

    def __str__(self) -> str:
        value, recipe = 'removed' if self.removed else self.value, 'not set' if self.added else self.recipe
        return f'{self.key}: {value} ({recipe})'

    def stored(self) -> dict[str, object]:
        """For a JSON file: without 'value' where it is removed, without 'recipe' where it is added."""
        given = {'key': self.key, 'value': self.value, 'recipe': self.recipe}
        return {name: value for name, value in given.items() if value is not _NONE}


def differences(options: dict, recipe: dict) -> list[Change]:
    mine, theirs = flat(options), flat(recipe)
    return [
        Change(key, mine.get(key, _NONE), theirs.get(key, _NONE))
        for key in {**theirs, **mine}
        if mine.get(key, '') != theirs.get(key, '')
    ]


def stored_changes(part: dict) -> Iterator[tuple[str, Change]]:
    """The option file and the change, of all in a part of a result."""
    for source, changes in part.get('changes', {}).items():
        for change in changes:
            yield source, Change(**change)


def flat(options: dict, prefix: str = '') -> dict[str, object]:
    """{'train.total_iter': 300000, …}"""
    result: dict[str, object] = {}
    for key, value in options.items():
        result |= flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {f'{prefix}{key}': value}
    return result
