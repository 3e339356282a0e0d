"""`basicsr-ssm prepare <kind> …`: make a data set of clips."""

from __future__ import annotations

import argparse
from importlib import import_module

HELP = 'make a data set of clips for training and testing, from your own videos or from a published data set'

# Kind of data set → the module that knows its layout. Each has HELP, add_arguments(parser) and run(args) -> int.
KINDS = {
    'custom': 'basicsr_ssm.clips.custom',
    'reds': 'basicsr_ssm.clips.reds',
    'vimeo90k': 'basicsr_ssm.clips.vimeo90k',
    'vid4': 'basicsr_ssm.clips.vid4',
    'hyperkvasir': 'basicsr_ssm.clips.medical.hyperkvasir',
    'ldpolyp': 'basicsr_ssm.clips.medical.ldpolyp',
    'endovis18': 'basicsr_ssm.clips.medical.endovis18',
    'cataract101': 'basicsr_ssm.clips.medical.cataract101',
    'merge': 'basicsr_ssm.clips.merge',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    for name, module in KINDS.items():
        kind = import_module(module)
        kind.add_arguments(kinds.add_parser(name, help=kind.HELP, description=kind.HELP))


def run(args: argparse.Namespace) -> int:
    return import_module(KINDS[args.kind]).run(args)
