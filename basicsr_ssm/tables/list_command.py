"""`basicsr-ssm tables list`: the tables and figures there are, their rows, and what has been run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "the papers' tables and figures, and what has been run of them"
OUTPUT = Path('results/tables')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('names', nargs='*', metavar='NAME', help='show the rows of these, and what each takes')
    parser.add_argument('--output', type=Path, default=OUTPUT, metavar='DIR', help=f'results (default: {OUTPUT})')


def run(args: argparse.Namespace) -> int:
    """Prints a line for each table, or for each row of the named ones."""
    from basicsr_ssm.errors import UserError
    from basicsr_ssm.tables.entries import ENTRIES, find_entries
    from basicsr_ssm.tables.published_figures import published
    from basicsr_ssm.tables.running.results import read_result

    damaged = []
    for entry in find_entries(args.names or ['all']):
        paper = published(entry.name)
        there: dict[str, set[str]] = {}
        for row in entry.rows:
            try:
                there[row.id] = set(read_result(args.output, entry, row)['parts'])
            except UserError as error:
                there[row.id] = set()
                damaged.append(error)
        done = sum(set(row.parts()) <= there[row.id] for row in entry.rows)
        print(f'{entry.name:<12} {paper.paper}, {paper.where}: {entry.title}. {done} of {len(entry.rows)} rows run.')
        for row in entry.rows if args.names else ():
            takes = [f'{name} (measured)' for name in row.measured]
            for trained in row.trained:
                by = trained.train or f'--weights {row.id}=FILE'
                takes += [f'{test} ({by})' for test in trained.tests]
            marks = [take + (': done' if take.split()[0] in there[row.id] else '') for take in takes]
            print(f'  {row.id:<18} {row.title:<20} {", ".join(marks)}')
    if not args.names:
        print(f'\n{len(ENTRIES)} tables and figures. Their rows: basicsr-ssm tables list NAME')
    for error in damaged:
        print(f'error: {error}', file=sys.stderr)
    return int(bool(damaged))
