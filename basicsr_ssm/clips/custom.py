"""Videos, DICOM cines and image folders of one's own."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.recipe_arguments import (
    add_footage_arguments,
    add_recipe_arguments,
    cutting_of,
    describe,
    footage_of,
    make,
)
from basicsr_ssm.clips.splits import SplitRule, parse_shares
from basicsr_ssm.errors import UserError

HELP = 'your own videos, DICOM cines and folders of frames'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--source', required=True, nargs='+', metavar='PATH', help='videos, DICOM files, folders of them or of images'
    )
    parser.add_argument(
        '--split', metavar='SHARES', help='shares of the sources, 1 in all (default: train=0.8,val=0.1,test=0.1)'
    )
    parser.add_argument('--val', nargs='+', metavar='NAME', help='instead of --split: the sources for validation')
    parser.add_argument('--test', nargs='+', metavar='NAME', help='instead of --split: the sources for testing')
    parser.add_argument('--seed', type=int, default=0, help='draws the sources for --split (%(default)s)')
    parser.add_argument(
        '--anonymous', action='store_true', help='number the sources; no file name in clips and manifest, only printed'
    )
    add_recipe_arguments(parser)
    add_footage_arguments(parser)


def run(args: argparse.Namespace) -> int:
    lists = {split: tuple(names) for split, names in (('val', args.val), ('test', args.test)) if names}
    if lists and args.split is not None:
        raise UserError('--split draws the sources, --val and --test name them: give one or the other')
    shares = {'shares': parse_shares(args.split)} if args.split is not None else {}
    skip = None if args.strict else partial(_say, 'skipped')
    sources = find_sources(args.source, skip, args.output, partial(_say, 'note'))
    if args.anonymous:
        numbers = {name: f'source_{number:04d}' for number, name in enumerate(sources, 1)}
        for name, number in numbers.items():
            print(f'{number}: {sources[name]}')
        SplitRule(lists=lists).check_names(list(sources))  # by the names that were given
        lists = {split: tuple(numbers[name] for name in names) for split, names in lists.items()}
        sources = {numbers[name]: path for name, path in sources.items()}
    rule = SplitRule(lists=lists, seed=args.seed, **shares)
    recipe = Recipe(cutting_of(args), rule, args.format, footage=footage_of(args), anonymous=args.anonymous)
    manifest = make(sources, args, recipe, args.strict)
    if manifest is not None:
        print(describe(manifest, args.output))
    return 0


def _say(what: str, text: str) -> None:
    print(f'{what}: {text}', file=sys.stderr)
