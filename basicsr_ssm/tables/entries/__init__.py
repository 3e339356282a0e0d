"""The tables and figures of both papers: their rows, and what each takes."""

from __future__ import annotations

from basicsr_ssm.errors import UserError
from basicsr_ssm.options.errors import did_you_mean
from basicsr_ssm.tables.entries import medvsr, vsrm
from basicsr_ssm.tables.entries.entry import Entry, Row

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in (*medvsr.ENTRIES, *vsrm.ENTRIES)}


def find_entries(names: list[str]) -> list[Entry]:
    """The entries of these names; `all` is all of them.

    Raises:
        UserError: there is none of a name.
    """
    for name in names:
        if name not in ENTRIES and name != 'all':
            raise UserError(f'no table or figure is called {name}; {did_you_mean(name, ENTRIES)}')
    return list(ENTRIES.values()) if 'all' in names else [ENTRIES[name] for name in dict.fromkeys(names)]


def find_rows(entry: Entry, names: list[str]) -> list[Row]:
    """The rows of these ids or titles; all rows for no names.

    Raises:
        UserError: there is none of a name.
    """
    known = {name: row for row in entry.rows for name in (row.title, row.id)}
    for name in names:
        if name not in known:
            raise UserError(f'{entry.name} has no row {name}; {did_you_mean(name, [row.id for row in entry.rows])}')
    chosen = [known[name] for name in names]
    return [row for row in entry.rows if not names or row in chosen]
