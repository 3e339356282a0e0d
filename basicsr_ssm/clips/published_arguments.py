"""The options that all published data sets share, and the report at the end."""

from __future__ import annotations

import argparse
from pathlib import Path

from basicsr_ssm.clips.prepare_published import prepare_published
from basicsr_ssm.clips.published import Published
from basicsr_ssm.clips.published_shards import prepare_published_shard
from basicsr_ssm.clips.recipe import FORMS
from basicsr_ssm.clips.recipe_arguments import add_running_arguments, how_to_merge
from basicsr_ssm.errors import UserError


def add_published_arguments(parser: argparse.ArgumentParser, form: str = 'lmdb') -> None:
    parser.add_argument('--source', required=True, type=_folder, metavar='DIR', help="the owners' folder, unpacked")
    parser.add_argument('--output', required=True, type=Path, metavar='DIR', help='where the data set goes')
    parser.add_argument('--format', choices=FORMS, default=form, help='default: %(default)s')
    parser.add_argument('--skip-missing', action='store_true', help='leave out clips that are incomplete or damaged')
    add_running_arguments(parser)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise UserError(f'--source {text}: no such folder')
    return path


def run_published(args: argparse.Namespace, found: Published) -> int:
    for extra in found.extra:
        print(f'not part of {found.name}, left alone: {extra}')
    how = {'form': args.format, 'workers': args.workers, 'skip_missing': args.skip_missing}
    if args.shard is not None:
        clips = prepare_published_shard(found, args.output, args.shard, **how)
        print(f'{args.output}: is finished already' if clips is None else f'shard {args.shard}: {clips} clips')
        print(how_to_merge(args.shard, args.output))
        return 0
    manifest = prepare_published(found, args.output, **how)
    print(describe(manifest, args.output))
    return 0


def describe(manifest: dict, output: Path) -> str:
    """What was made and what was left out, for people."""
    settings = manifest['settings']
    lines = [f'{output}: {settings["format"]}, LQ frames {settings["lq"]}']
    for split in dict.fromkeys(clip['split'] for clip in manifest['clips']):
        frames = [clip['frames'] for clip in manifest['clips'] if clip['split'] == split]
        lines.append(f'  {split or "all":5s} {len(frames)} clips, {sum(frames)} frames')
    skipped = manifest['skipped']
    lines += [f'  left out: {skip["name"]} ({skip["reason"]})' for skip in skipped[:10]]
    if len(skipped) > 10:
        lines.append(f'  and {len(skipped) - 10} more, see manifest.json')
    return '\n'.join(lines)
