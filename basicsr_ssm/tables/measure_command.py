"""`basicsr-ssm tables measure`: one measurement, in a process of its own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from basicsr_ssm.errors import UserError

HELP = 'one measurement, as `tables run` starts it'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('file', type=Path, metavar='MEASUREMENT.json', help='measurement, network, settings and folder')


def run(args: argparse.Namespace) -> int:
    """Writes figures.json into the measurement's folder."""
    from basicsr_ssm.files import write_json
    from basicsr_ssm.options.errors import did_you_mean
    from basicsr_ssm.tables.measurements import MEASUREMENTS

    try:
        wanted = json.loads(args.file.read_text(encoding='utf-8'))
        name, network, settings, folder = (wanted[key] for key in ('measurement', 'network', 'settings', 'folder'))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{args.file} describes no measurement: {error}') from None
    if name not in MEASUREMENTS:
        raise UserError(f'{args.file}: no measurement {name}; {did_you_mean(name, MEASUREMENTS)}')
    figures = MEASUREMENTS[name](network, settings, Path(folder))
    write_json(Path(folder, 'figures.json'), figures)
    print(json.dumps(figures, default=str))
    return 0
