"""`basicsr-ssm report`: tests of several models on one page, with curves and before/after pictures."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from basicsr_ssm.errors import UserError

HELP = 'one page of HTML about tests of several models: table, curves, and frames before and after'

# the longest side of what is shown of a frame, pixels: the first one whose page is small enough
SIDES = (1024, 768, 512, 384, 256, 192, 128, 96, 64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which results, which frames, where to."""
    parser.add_argument(
        'results',
        nargs='+',
        metavar='RESULTS',
        help='folders that `basicsr-ssm test` wrote (results/NAME), or NAME=FOLDER; frames are chosen by the last one',
    )
    parser.add_argument('--output', type=Path, required=True, metavar='FILE.html', help='the page')
    parser.add_argument(
        '--frames',
        action='extend',
        nargs='+',
        metavar='CLIP:N',
        help='frames to show, counted from 0; CLIP alone: its middle one and those of the largest and smallest gain '
        '(default: these three of each data set)',
    )
    parser.add_argument(
        '--max-size',
        type=float,
        default=32,
        metavar='MB',
        help='of the page; frames are cropped to their most detailed part until it fits (default: %(default)s)',
    )
    parser.add_argument('-opt', metavar='FILE.yml', help='option file of the test, if its clips have moved since')
    parser.add_argument(
        '--force_yml',
        action='extend',
        nargs='+',
        metavar='KEY:KEY=VALUE',
        default=[],
        help='change options of that file',
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page; prints what is missing in it."""
    from basicsr_ssm.files import write_file, writing
    from basicsr_ssm.tables.report.frames import check_wanted, choose, load
    from basicsr_ssm.tables.report.gather import gather
    from basicsr_ssm.tables.report.named_results import read_all

    if args.force_yml and not args.opt:
        raise UserError('--force_yml changes the option file that -opt names')
    data_sets = gather(read_all(args.results), _options(args))
    if args.frames:
        check_wanted(args.frames, data_sets)
    frames = []
    for compared in data_sets:
        loaded = [(chosen, load(compared, chosen)) for chosen in choose(compared, args.frames)]
        frames.append([(chosen, versions) for chosen, versions in loaded if versions])
        _notice_missing_pictures(compared)
    page, side = _page_that_fits(data_sets, frames, args.max_size)
    output = args.output.resolve()  # a link stays one
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    write_file(output, page)
    for compared in data_sets:
        for notice in compared.notices + compared.causes:
            print(f'{compared.name}: {notice}', file=sys.stderr)
    if side < SIDES[0]:
        print(f'frames are cropped to {side} pixels a side to stay within {args.max_size:g} MB', file=sys.stderr)
    print(f'{args.output}: {len(page) / 1e6:.1f} MB, {sum(map(len, frames))} frames')
    return 0


def _options(args: argparse.Namespace) -> dict | None:
    from basicsr_ssm.options import parse_options

    if args.opt is None:
        return None
    alone = argparse.Namespace(launcher='none', debug=False, auto_resume=False, opt=args.opt, force_yml=args.force_yml)
    return parse_options(alone, os.getcwd(), is_train=False)


def _notice_missing_pictures(compared) -> None:
    without = [
        m.name
        for m in compared.methods
        if m.results and not any(m.results.pictures(compared.name, c) for c in compared.clips)
    ]
    if without:
        compared.notices.append(f'No images were saved by {", ".join(without)} (val: save_img: true saves them).')


def _page_that_fits(data_sets: list, frames: list, max_size: float) -> tuple[bytes, int]:
    """The page, and the side to which frames are cropped if they are larger."""
    from basicsr_ssm.tables.report.frames import picture
    from basicsr_ssm.tables.report.page import as_html

    largest = max((n for some in frames for _, images in some for v in images.values() for n in v.shape[:2]), default=0)
    for side in [SIDES[0], *(side for side in SIDES[1:] if side < largest)]:
        pictures = [[picture(c, *one, side) for one in some] for c, some in zip(data_sets, frames, strict=True)]
        content = as_html(list(zip(data_sets, pictures, strict=True)))
        page = content.encode(errors='backslashreplace')  # names need not be UTF-8
        if len(page) <= max_size * 1e6:
            return page, side
    what, tip = f'with frames cropped to {side} pixels', 'show fewer (--frames)'
    if not largest:
        what, tip = 'without any frame', 'name fewer results'
    raise UserError(
        f'the page would have {len(page) / 1e6:.1f} MB {what}, more than --max-size {max_size:g}: {tip}, or allow more'
    )
