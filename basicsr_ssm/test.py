"""``basicsr-ssm test -opt FILE.yml``, or ``python basicsr_ssm/test.py -opt FILE.yml`` as BasicSR's plugins do it."""

import os
import sys

if __name__ == '__main__':
    # Run as a file: its folder is no place to import from (data, train, options …), the checkout is.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from basicsr_ssm.entry import add_run_arguments, run_pipeline

HELP = 'restore test clips from an option file, and measure them where there is ground truth'


def add_arguments(parser):
    add_run_arguments(parser)
    parser.set_defaults(auto_resume=False)


def run(args):
    return run_pipeline('test', args)


if __name__ == '__main__':
    from basicsr_ssm.cli import main

    sys.exit(main(['test', *sys.argv[1:]]))
