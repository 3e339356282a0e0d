"""Option files that are made from others by a list of changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import yaml

from basicsr_ssm.options import OptionError, apply_overrides, known_keys
from basicsr_ssm.tables.running.changes import Change


class Settings:
    """The user's KEY:KEY=VALUE, and which of them were taken by an option file or a measurement."""

    def __init__(self, entries: Iterable[str]):
        self.refused: dict[str, OptionError | None] = dict.fromkeys(entries)
        self.taken: set[str] = set()

    def apply(
        self, options: dict, sections: tuple[str, ...] | None = None, but: tuple[str, ...] = (), any_key=()
    ) -> None:
        """Set those that the options have, in place.

        Args:
            sections: only keys of these.
            but: none of these keys, 'val:val_freq', and no keys of these sections.
            any_key: sections where keys may be new.
        """
        for entry in self.refused:
            section, *keys = (word.strip() for word in entry.partition('=')[0].split(':'))
            if {section, ':'.join((section, *keys))} & {*but} or (sections is not None and section not in sections):
                continue
            try:
                apply_overrides(options, [entry], lambda opt, path, entry=entry: _known(opt, path, entry, any_key))
            except OptionError as error:
                self.refused[entry] = OptionError(str(error).replace('--force_yml', '--set'))
            else:
                self.taken.add(entry)

    def reason(self, entry: str) -> OptionError:
        """Why nothing has taken it."""
        error = self.refused[entry]
        return error or OptionError(f'--set {entry}: none of these rows has such an option')


def _known(options: dict, path: tuple[str, ...], entry: str, any_key: tuple[str, ...]) -> Iterable[str]:
    if path and path[0] in any_key:
        return [entry.partition('=')[0].split(':')[-1].strip()]
    return known_keys(options, path) if 'model_type' in options or path else ()


def set_keys(options: dict, changes: Mapping[str, object]) -> None:
    """Set 'train:total_iter': 100 and the like, in place."""
    for key, value in changes.items():
        *sections, last = key.split(':')
        where = options
        for section in sections:
            where = where[section]
        where[last] = value


def digest(content: object) -> str:
    """SHA-256, in hex, of what is plain."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def as_text(options: dict, source: str, changes: list[Change]) -> str:
    """An option file, with what it was made from at its head."""
    head = [f'Written by basicsr-ssm tables run, from options/{source}.']
    if changes:
        head += ['Beyond what makes it this row:', *(f'  {change}' for change in changes)]
    comment = ''.join(f'# {line}\n' for text in head for line in text.splitlines())
    return f'{comment}\n{yaml.safe_dump(options, sort_keys=False, allow_unicode=True)}'
