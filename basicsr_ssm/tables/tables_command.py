"""`basicsr-ssm tables`: what the papers' tables say, beside what this package has."""

from __future__ import annotations

import argparse
from pathlib import Path

from basicsr_ssm.tables import flow_error_command

HELP = "the papers' tables, ours beside theirs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tables = parser.add_subparsers(metavar='TABLE', required=True, dest='table')
    help = 'parameters and multiply-adds of VSRM and its ablations (Tab. 3 to 6 and 8); no GPU needed'
    parameters = tables.add_parser('parameters', help=help, description=help)
    parameters.add_argument('--no-multiply-adds', action='store_true', help='parameters alone: seconds, not minutes')
    parameters.add_argument('--output', type=Path, metavar='FILE.md', help='write the table there, too')
    help = flow_error_command.HELP
    flow_error_command.add_arguments(tables.add_parser('flow-error', help=help, description=help))


def run(args: argparse.Namespace) -> int:
    """Prints the table."""
    return flow_error_command.run(args) if args.table == 'flow-error' else _parameters(args)


def _parameters(args: argparse.Namespace) -> int:
    from basicsr_ssm.files import write_file
    from basicsr_ssm.tables.parameters import parameter_table

    table = parameter_table(multiply_adds=not args.no_multiply_adds)
    print(table, end='')
    if args.output:
        write_file(args.output, table.encode())
    return 0
