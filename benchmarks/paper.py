"""Where the tables of a benchmark go."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path


class Paper:
    """Markdown that is printed as it comes; the file is kept up to date."""

    def __init__(self, path: Path | None):
        self._path, self._lines = path, []

    def paragraph(self, text: str) -> None:
        self._write(text, '')

    def table(self, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        for row in chain([columns, ('---',) * len(columns)], rows):
            self._write('| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |')
        self._write('')

    def _write(self, *lines: str) -> None:
        print(*lines, sep='\n', flush=True)
        self._lines += lines
        if self._path is not None:
            self._path.write_text('\n'.join(self._lines).rstrip('\n') + '\n', encoding='utf-8')
