"""`basicsr-ssm verify DATASET`: check a data set and show what is in it."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from basicsr_ssm.clips.verify.report import as_html, as_text
from basicsr_ssm.clips.verify.stored import open_stored
from basicsr_ssm.clips.verify.verify import SAMPLE, verify
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file

HELP = 'check a data set of clips, whatever made it, and show what is in it'
PAGE = 'verify.html'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('dataset', type=Path, metavar='DATASET', help='what prepare made, or a folder of clips')
    parser.add_argument('--html', type=Path, metavar='FILE', help=f'the page to write (default: DATASET/{PAGE})')
    parser.add_argument('--no-html', action='store_true', help='write no page')
    parser.add_argument(
        '--sample',
        type=int,
        default=SAMPLE,
        metavar='N',
        help='LQ frames of a clip to make again and compare (%(default)s)',
    )
    parser.add_argument('--strict', action='store_true', help='fail on what is only worth a look, too')
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one a core)')


def run(args: argparse.Namespace) -> int:
    """Exit status 0, or 1 when something is wrong with the data set."""
    if args.sample < 0:
        raise UserError(f'--sample {args.sample}: cannot be negative')
    with closing(open_stored(args.dataset)) as stored:
        clips, findings = verify(stored, sample=args.sample, workers=args.workers)
        print(as_text(stored, clips, findings))
        if not args.no_html:
            page = args.html or args.dataset / PAGE
            content = as_html(stored, clips, findings).encode(errors='backslashreplace')  # names need not be UTF-8
            write_file(page, content, durable=False)
            print(f'{page}: the same with pictures')
    return int(findings.failed or (args.strict and bool(findings.found)))
