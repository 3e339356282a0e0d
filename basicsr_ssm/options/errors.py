"""What is wrong with an option file, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from basicsr_ssm.errors import UserError


class OptionError(UserError):
    """An option file, or a ``--force_yml``, that cannot be run."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean x? known: …' or, where nothing is near, 'known: …'; near ones first, whatever their capitals."""
    known = set(known)
    by_lower: dict[str, list[str]] = {}
    for name in sorted(known):
        by_lower.setdefault(name.lower(), []).append(name)
    similar = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.5)
    near = [name for lower in similar for name in by_lower[lower]]
    listed = ', '.join(near + sorted(known.difference(near))) or 'nothing'
    return (f'did you mean {near[0]}? ' if near else '') + f'known: {listed}'
