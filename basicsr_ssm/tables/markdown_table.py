"""A table in Markdown."""

from __future__ import annotations


def markdown_table(rows: list[list[str]]) -> str:
    """The first row is the head; cells are padded to columns, and a | in one of them ends none."""
    rows = [[cell.replace('|', '\\|') for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ['-' * width for width in widths])
    padded = (' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return ''.join(f'| {row} |\n' for row in padded)
