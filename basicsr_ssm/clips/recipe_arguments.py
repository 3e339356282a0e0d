"""The options that every kind of data set shares, and the report at the end."""

from __future__ import annotations

import argparse
from pathlib import Path

from basicsr_ssm.clips.cutting import DEGRADATIONS, Cutting
from basicsr_ssm.clips.footage import CUTS, DAMAGED, DEINTERLACE, DUPLICATES, Footage, Region, parse_region
from basicsr_ssm.clips.imresize import SCALES
from basicsr_ssm.clips.interlace import COMBED_FRAMES
from basicsr_ssm.clips.prepare import prepare, prepare_shard
from basicsr_ssm.clips.recipe import FORMS, Recipe
from basicsr_ssm.clips.shard import Shard
from basicsr_ssm.errors import UserError

_DEGRADATION_HELP = 'bicubic (default, → BIx4) and bd: Gaussian blur of 1.6 pixels and every fourth pixel (→ BDx4)'


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--output', required=True, type=Path, metavar='DIR', help='where the data set goes')
    parser.add_argument('--format', choices=FORMS, default='lmdb', help='default: %(default)s')
    parser.add_argument(
        '--scale', type=int, nargs='+', choices=SCALES, default=[4], metavar='N', help='2, 3, 4, 6, 8; several at once'
    )
    parser.add_argument(
        '--degradation', nargs='+', choices=DEGRADATIONS, default=['bicubic'], metavar='KIND', help=_DEGRADATION_HELP
    )
    parser.add_argument('--clip-length', type=int, default=30, metavar='N', help='frames in a clip (%(default)s)')
    parser.add_argument('--stride', type=int, metavar='N', help='frames from clip to clip (default: the clip length)')
    parser.add_argument('--max-clips', type=int, metavar='N', help='take only the first N clips of each source')
    add_running_arguments(parser)
    parser.add_argument('--strict', action='store_true', help='stop at a source that cannot be used, skip none')


def add_running_arguments(parser: argparse.ArgumentParser) -> None:
    """How the work is shared out, which changes nothing in the data set."""
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one a core)')
    parser.add_argument(
        '--shard',
        type=_shard,
        metavar='I/N',
        help='do the I-th of N parts, on one machine of several; when all are done: prepare merge OUTPUT',
    )


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def make(sources: dict[str, Path], args: argparse.Namespace, recipe: Recipe, strict: bool) -> dict | None:
    """Make the data set and return its manifest, or only the part that --shard says."""
    if args.shard is None:
        return prepare(sources, args.output, recipe, workers=args.workers, strict=strict)
    report = prepare_shard(sources, args.output, recipe, args.shard, workers=args.workers, strict=strict)
    if report is None:
        print(f'{args.output}: is finished already')
        return None
    clips = sum(len(source['clips']) for source in report['sources'].values())
    print(f'shard {args.shard}: {len(report["sources"])} sources, {clips} clips')
    for skip in report['skipped']:
        print(f'  skipped: {skip["reason"]}')
    print(how_to_merge(args.shard, args.output))
    return None


def how_to_merge(shard: Shard, output: Path) -> str:
    return f'when all {shard.count} shards are done: basicsr-ssm prepare merge {output}'


def add_footage_arguments(parser: argparse.ArgumentParser) -> None:
    """How real recordings are treated, for every kind of data set whose sources are recordings."""
    group = parser.add_argument_group('recordings', 'regions are X,Y,WIDTH,HEIGHT in pixels of the source')

    def choice(name: str, words: tuple[str, ...], help: str) -> None:
        group.add_argument(name, choices=words, default=words[0], help=f'{help} (default: %(default)s)')

    choice('--cuts', CUTS, 'abrupt cuts: no clip spans one, or they are only reported')
    choice('--duplicates', DUPLICATES, 'frames that repeat the one before: kept and reported, left out, or in no clip')
    choice('--damaged', DAMAGED, 'damaged frames: the source is not used, or no clip holds one')
    choice('--deinterlace', DEINTERLACE, "FFmpeg's filter for sources whose frames show combing")
    group.add_argument('--crop-borders', action='store_true', help='crop to the field of view, and save its mask')
    group.add_argument('--masks', action='store_true', help='save the mask of the field of view without cropping')
    region = {'type': _region, 'nargs': '+', 'default': [], 'metavar': 'REGION'}
    group.add_argument('--blank', **region, help='make these regions black, such as names that are burnt in')
    group.add_argument('--drop-region', **region, help='crop so that these regions are gone')


def footage_of(args: argparse.Namespace) -> Footage:
    return Footage(
        args.cuts,
        args.duplicates,
        args.damaged,
        args.deinterlace,
        args.crop_borders,
        args.masks,
        tuple(args.blank),
        tuple(args.drop_region),
    )


def _region(text: str) -> Region:
    try:
        return parse_region(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def cutting_of(args: argparse.Namespace) -> Cutting:
    stride = args.clip_length if args.stride is None else args.stride
    return Cutting(args.clip_length, stride, args.max_clips, tuple(sorted(args.scale)), None, tuple(args.degradation))


def describe(manifest: dict, output: Path) -> str:
    """What was made and what was left out, for people."""
    settings = manifest['settings']
    lines = [f'{output}: {settings["format"]}, clips of {settings["clip_length"]} frames']
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
    lines += _noticed(manifest['sources'])
    for skip in manifest['skipped']:
        lines.append(f'  skipped: {skip["reason"]}')
    return '\n'.join(lines)


def _noticed(sources: list[dict]) -> list[str]:
    """What was found in recordings, one line a kind."""
    found = {source['name']: source.get('found', {}) for source in sources}

    def total(key: str) -> int:
        values = (notes.get(key) or 0 for notes in found.values())
        return sum(value if isinstance(value, int) else len(value) for value in values)

    def names(wanted) -> str:
        which = [name for name, notes in found.items() if wanted(notes)]
        return ', '.join(which[:5]) + (f' and {len(which) - 5} more' if len(which) > 5 else '')

    lines = []
    if total('gaps'):
        which = names(lambda notes: notes.get('gaps'))
        lines.append(f'  {total("gaps")} gaps in the numbers of frames, which no clip spans: {which}')
    if total('cuts'):
        lines.append(f'  {total("cuts")} abrupt cuts')
    if total('duplicates'):
        longest = max(notes.get('longest_freeze', 0) for notes in found.values())
        lines.append(f'  {total("duplicates")} frames repeat the one before, at most {longest} in a row')
    if total('damaged'):
        lines.append(f'  {total("damaged")} damaged frames, in no clip')
    for text, wanted in (
        ('variable frame rate', lambda notes: notes.get('variable_frame_rate')),
        ('interlaced', lambda notes: notes.get('combed', 0) > COMBED_FRAMES and not notes.get('deinterlaced')),
        ('deinterlaced', lambda notes: notes.get('deinterlaced')),
    ):
        if which := names(wanted):
            lines.append(f'  {text}: {which}')
    return lines
