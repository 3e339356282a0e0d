"""``basicsr-ssm COMMAND …``: one module per command, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import select
import sys

from basicsr_ssm.errors import UserError
from basicsr_ssm.version import __version__

COMMANDS = {
    'train': 'basicsr_ssm.train',
    'test': 'basicsr_ssm.test',
    'upscale': 'basicsr_ssm.inference.upscale_command',
    'prepare': 'basicsr_ssm.clips.prepare_command',
    'verify': 'basicsr_ssm.clips.verify.verify_command',
    'compare': 'basicsr_ssm.tables.compare_command',
    'report': 'basicsr_ssm.tables.report.report_command',
    'curves': 'basicsr_ssm.tables.curves_command',
    'tables': 'basicsr_ssm.tables.tables_command',
    'doctor': 'basicsr_ssm.doctor',
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for what the user can mend, 130 for Ctrl-C, 141 where nobody reads on.

    A command module has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int``.
    """
    argv = sys.argv[1:] if argv is None else argv
    _show_any_path()
    try:
        args = _parser(argv).parse_args(argv)
        status = args.run(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _nobody_reads_on():
            raise
        return 141


def _show_any_path() -> None:
    """A path need not be UTF-8, nor of the terminal's encoding, which is no reason to end what is otherwise well."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == 'strict':
        sys.stdout.reconfigure(errors='backslashreplace')  # as stderr has it


def _nobody_reads_on() -> bool:
    """Whether standard output leads nowhere any more, as in `… | head`; nothing is written there from then on."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # no file
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)  # what is left in its buffer is written at exit
    return True


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='basicsr-ssm', description='State-space video super-resolution for BasicSR.')
    parser.add_argument('--version', action='version', version=f'basicsr-ssm {__version__}')
    subparsers = parser.add_subparsers(metavar='COMMAND', required=True)
    # only the command that is called is imported, unless help needs them all
    called = argv[0] if argv else ''
    for name in [called] if called in COMMANDS else COMMANDS:
        module = importlib.import_module(COMMANDS[name])
        subparser = subparsers.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


if __name__ == '__main__':
    sys.exit(main())
