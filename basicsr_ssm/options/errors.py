"""What is wrong with an option file, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from basicsr_ssm.errors import UserError


class OptionError(UserError):
    """An option file, or a ``--force_yml``, that cannot be run."""


def nearest_first(word: str, known: Iterable[str]) -> list[str]:
    """All known words, those like ``word`` first."""
    known = sorted(set(known))
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    by_lower = {k.lower(): k for k in known}
    if word.lower() in by_lower and by_lower[word.lower()] not in near:
        near.insert(0, by_lower[word.lower()])
    return near + [k for k in known if k not in near]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean x? known: …' or, where nothing is near, 'known: …'."""
    known = list(known)
    ordered = nearest_first(word, known)
    near = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    return (f'did you mean {ordered[0]}? ' if near else '') + f'known: {", ".join(ordered) or "nothing"}'
