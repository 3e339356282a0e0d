"""`basicsr-ssm tables render`: the papers' tables with our results beside theirs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from basicsr_ssm.tables.list_command import OUTPUT

HELP = 'write tables as Markdown, CSV and LaTeX, and figures as PNG: the paper, ours, the difference'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('names', nargs='+', metavar='NAME', help='tables or figures of `tables list`, or all')
    parser.add_argument('--output', type=Path, default=OUTPUT, metavar='DIR', help=f'of `run` (default: {OUTPUT})')
    parser.add_argument('--to', type=Path, metavar='DIR', help='for NAME.md, .csv, .tex and .png (default: --output)')


def run(args: argparse.Namespace) -> int:
    """Prints the Markdown and writes the files."""
    from basicsr_ssm.errors import UserError
    from basicsr_ssm.files import write_file, writing
    from basicsr_ssm.tables.entries import find_entries
    from basicsr_ssm.tables.rendering.beside import beside
    from basicsr_ssm.tables.rendering.formats import csv_text, latex, markdown
    from basicsr_ssm.tables.rendering.plots import plot

    folder = args.to or args.output
    entries = find_entries(args.names)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for entry in entries:
        name, picture = entry.name, None
        try:
            table = beside(entry, args.output)
        except UserError as error:
            problems.append(f'{name} is not rendered: {error}')
            continue
        try:
            picture = plot(table, args.output / 'runs')
        except UserError as error:
            problems.append(f'{name} has no picture: {error}')
        text = markdown(table, picture is not None)
        for suffix, content in (('md', text), ('csv', csv_text(table)), ('tex', latex(table))):
            write_file(folder / f'{name}.{suffix}', content.encode())
        if picture is not None:
            write_file(folder / f'{name}.png', picture)
        print(text)
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return int(bool(problems))
