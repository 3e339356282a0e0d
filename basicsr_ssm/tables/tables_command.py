"""`basicsr-ssm tables`: what the papers' tables say, beside what this package has."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "the papers' tables, ours beside theirs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tables = parser.add_subparsers(metavar='TABLE', required=True, dest='table')
    help = 'parameters and multiply-adds of VSRM and its ablations (Tab. 3 to 6 and 8); no GPU needed'
    parameters = tables.add_parser('parameters', help=help, description=help)
    parameters.add_argument('--no-multiply-adds', action='store_true', help='parameters alone: seconds, not minutes')
    parameters.add_argument('--output', type=Path, metavar='FILE.md', help='write the table there, too')


def run(args: argparse.Namespace) -> int:
    """Prints the table."""
    from basicsr_ssm.files import write_file
    from basicsr_ssm.tables.parameters import parameter_table

    table = parameter_table(multiply_adds=not args.no_multiply_adds)
    print(table, end='')
    if args.output:
        write_file(args.output, table.encode())
    return 0
