"""The options that every kind of data set shares, and the report at the end."""

from __future__ import annotations

import argparse
from pathlib import Path

from basicsr_ssm.clips.cut import Cutting
from basicsr_ssm.clips.imresize import SCALES
from basicsr_ssm.clips.prepare import FORMS, Recipe


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--output', required=True, type=Path, metavar='DIR', help='where the data set goes')
    parser.add_argument('--format', choices=FORMS, default='lmdb', help='default: %(default)s')
    parser.add_argument(
        '--scale', type=int, nargs='+', choices=SCALES, default=[4], metavar='N', help='2, 3, 4, 6, 8; several at once'
    )
    parser.add_argument('--clip-length', type=int, default=30, metavar='N', help='frames in a clip (%(default)s)')
    parser.add_argument('--stride', type=int, metavar='N', help='frames from clip to clip (default: the clip length)')
    parser.add_argument('--max-clips', type=int, metavar='N', help='take only the first N clips of each source')
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one a core)')
    parser.add_argument('--strict', action='store_true', help='stop at a source that cannot be used, skip none')


def cutting_of(args: argparse.Namespace) -> Cutting:
    stride = args.clip_length if args.stride is None else args.stride
    return Cutting(args.clip_length, stride, args.max_clips, tuple(sorted(args.scale)))


def describe(manifest: dict, output: Path, recipe: Recipe) -> str:
    """What was made and what was left out, for people."""
    lines = [f'{output}: {recipe.form}, clips of {recipe.cutting.clip_length} frames']
    for split in dict.fromkeys(clip['split'] for clip in manifest['clips']):
        clips = [clip for clip in manifest['clips'] if clip['split'] == split]
        sources = {clip['source'] for clip in clips}
        frames = sum(clip['frames'] for clip in clips)
        lines.append(f'  {split:5s} {len(sources)} sources, {len(clips)} clips, {frames} frames')
    dropped = sum(source['dropped'] for source in manifest['sources'])
    if dropped:
        lines.append(f'  {dropped} frames are in no clip (remainders shorter than a clip, or gaps between clips)')
    short = [source['name'] for source in manifest['sources'] if source['split'] is None]
    if short:
        lines.append(f'  too short for one clip: {", ".join(short)}')
    for skip in manifest['skipped']:
        lines.append(f'  skipped: {skip["reason"]}')
    return '\n'.join(lines)
