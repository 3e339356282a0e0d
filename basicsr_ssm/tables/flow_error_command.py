"""`basicsr-ssm tables flow-error`: the optical-flow error Ω of data sets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from basicsr_ssm.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from basicsr_ssm.metrics.flow_error import FlowError
    from basicsr_ssm.tables.flow_error import Clips

HELP = "optical-flow error of clips, forward against reversed backward (Eq. 4 of MedVSR's supplement)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = 'an LMDB, or a folder with videos or folders of frames; the name is for the table'
    parser.add_argument('--data', required=True, action='extend', nargs='+', metavar='[NAME=]DIR', help=data)
    spynet = 'pretrained SpyNet, or a checkpoint with one inside'
    parser.add_argument('--spynet', required=True, type=Path, metavar='FILE', help=spynet)
    parser.add_argument('--output', required=True, type=Path, metavar='DIR', help='for flow_error.json, .md and .png')
    parser.add_argument('--clips', type=_positive, metavar='N', help='only the first N clips of each data set')
    parser.add_argument('--frames', type=_at_least_two, metavar='N', help='only the first N frames of each clip')
    field = 'count only what is inside the field of view of each clip: flow of the black around it is noise'
    parser.add_argument('--field-of-view', action='store_true', help=field)


def run(args: argparse.Namespace) -> int:
    """Writes the files, whole ones after each data set, and prints the table."""
    import torch

    from basicsr_ssm.archs.spynet import SpyNet
    from basicsr_ssm.checkpoints import load_spynet
    from basicsr_ssm.files import write_json, writing
    from basicsr_ssm.metrics.flow_error import mean_flow_error
    from basicsr_ssm.tables import flow_error

    data = {name: flow_error.clips_in(path) for name, path in named(args.data).items()}
    flow_net = SpyNet()
    load_spynet(flow_net, args.spynet)
    flow_net = flow_net.eval().to('cuda' if torch.cuda.is_available() else 'cpu')
    with writing(args.output):
        args.output.mkdir(parents=True, exist_ok=True)
    errors, rows = {}, []
    for name, clips in data.items():
        errors[name] = _measure(flow_net, name, clips, args)
        write_json(args.output / 'flow_error.json', flow_error.as_json(errors))
        _, *pair = flow_error.typical_pair(flow_net, clips, errors[name], args.frames)
        rows.append((name, mean_flow_error(errors[name].values()), *pair))
        _show(args.output, flow_error.markdown(errors), flow_error.picture(rows))
    print(flow_error.markdown(errors), end='')
    return 0


def _measure(flow_net: nn.Module, name: str, clips: Clips, args: argparse.Namespace) -> dict[str, FlowError]:
    from basicsr_ssm.tables.flow_error import measure_clips

    def done(clip: str, error: FlowError) -> None:
        print(f'{name}: {clip}: {error.pixel:.3f} px', file=sys.stderr)

    def skip(clip: str) -> None:
        print(f'{name}: {clip}: left out, flow needs at least two frames', file=sys.stderr)

    errors = measure_clips(flow_net, clips, args.clips, args.frames, args.field_of_view, done, skip)
    if not errors:
        raise UserError(f'{name}: no clip has two frames, and flow needs them')
    return errors


def _show(folder: Path, table: str, picture: np.ndarray) -> None:
    import cv2

    from basicsr_ssm.files import write_file

    write_file(folder / 'flow_error.md', table.encode())
    write_file(folder / 'flow_error.png', cv2.imencode('.png', picture)[1].tobytes())


def named(words: list[str]) -> dict[str, Path]:
    """'name=folder' or 'folder' → name → path; a folder GT is called by the folder above it, too.

    Raises:
        UserError: a name given twice.
    """
    result: dict[str, Path] = {}
    for word in words:
        name, separator, folder = word.partition('=')
        path = Path(folder if separator else word)
        if not separator:
            parts = path.resolve().parts
            name = '/'.join(parts[-2:]) if path.name in ('GT', 'GT.lmdb') else parts[-1]
        if name in result:
            raise UserError(f'--data: two are called {name}; write NAME={path}')
        result[name] = path
    return result


def _positive(text: str) -> int:
    return _whole(text, 1)


def _at_least_two(text: str) -> int:
    return _whole(text, 2)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number of at least {least}')
    return int(text)
