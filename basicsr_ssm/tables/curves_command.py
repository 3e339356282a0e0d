"""`basicsr-ssm curves`: the picture of a training's course, also while it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'draw the losses, learning rates and validation metrics of a training, finished or not'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The training's folder."""
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='of the training: experiments/NAME')


def run(args: argparse.Namespace) -> int:
    """Writes FOLDER/curves.png."""
    from basicsr_ssm.tables.training_curves import draw_curves

    print(draw_curves(args.folder))
    return 0
