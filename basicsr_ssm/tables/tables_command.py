"""`basicsr-ssm tables`: the papers' tables and figures, ours beside theirs."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

HELP = "the papers' tables, ours beside theirs"
COMMANDS = {
    'list': 'list_command',
    'run': 'run_command',
    'render': 'render_command',
    'measure': 'measure_command',
    'flow-error': 'flow_error_command',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tables = parser.add_subparsers(metavar='COMMAND', required=True, dest='table')
    for name, module in COMMANDS.items():
        command = importlib.import_module(f'basicsr_ssm.tables.{module}')
        command.add_arguments(tables.add_parser(name, help=command.HELP, description=command.HELP))
    help = 'parameters and multiply-adds of VSRM and its ablations (Tab. 3 to 6 and 8); no GPU needed'
    parameters = tables.add_parser('parameters', help=help, description=help)
    parameters.add_argument('--no-multiply-adds', action='store_true', help='parameters alone, in seconds')
    parameters.add_argument('--output', type=Path, metavar='FILE.md', help='write the table there, too')


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    if args.table == 'parameters':
        return _parameters(args)
    return importlib.import_module(f'basicsr_ssm.tables.{COMMANDS[args.table]}').run(args)


def _parameters(args: argparse.Namespace) -> int:
    from basicsr_ssm.files import write_file
    from basicsr_ssm.tables.parameters import parameter_table

    table = parameter_table(multiply_adds=not args.no_multiply_adds)
    print(table, end='')
    if args.output:
        write_file(args.output, table.encode())
    return 0
