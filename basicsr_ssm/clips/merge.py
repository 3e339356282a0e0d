"""`basicsr-ssm prepare merge`: what shards have prepared becomes the data set that one run would have made."""

from __future__ import annotations

import argparse
from pathlib import Path

from basicsr_ssm.clips import published_arguments, recipe_arguments
from basicsr_ssm.clips.medical.command import finish
from basicsr_ssm.clips.output_folder import WORK, finished_manifest
from basicsr_ssm.clips.prepare import merge_shards
from basicsr_ssm.clips.published_shards import NOTE, merge_published_shards

HELP = 'make the data set of all shards (see --shard of the other kinds)'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('output', type=Path, metavar='OUTPUT', help='the --output of the shards')
    parser.add_argument('--strict', action='store_true', help='a source that was left out is an error')
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one a core)')


def run(args: argparse.Namespace) -> int:
    if _is_published(args.output):
        manifest = merge_published_shards(args.output, workers=args.workers)
        print(published_arguments.describe(manifest, args.output))
        return 0
    manifest = merge_shards(args.output, strict=args.strict)
    if 'dataset' in manifest['settings']:
        finish(manifest, args.output)
    else:
        print(recipe_arguments.describe(manifest, args.output))
    return 0


def _is_published(output: Path) -> bool:
    """Whether the shards, or what was made of them, are clips that their owner cut."""
    done = finished_manifest(output)
    return any((output / WORK).glob(f'shard_*/{NOTE}')) if done is None else 'lq' in done['settings']
