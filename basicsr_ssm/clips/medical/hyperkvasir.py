"""HyperKvasir (Borgli et al., Scientific Data 2020): the labelled gastro- and colonoscopy videos."""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

from basicsr_ssm.clips.frame_source import safe_name
from basicsr_ssm.clips.medical.command import add_medical_arguments, run_medical
from basicsr_ssm.clips.medical.found import Found, Plan, compare, folder_with
from basicsr_ssm.errors import UserError

HELP = 'HyperKvasir: labeled-videos/…/*.avi with video-labels.csv'

PLAN = Plan(size=(576, 720), stride=250, max_clips=4)


@dataclass(frozen=True)
class HyperKvasirNumbers:
    """What is published: the owners' page counts 373 videos, their paper 374."""

    videos: tuple[int, ...] = (373, 374)
    size: tuple[int, int] = PLAN.size


def find_hyperkvasir(root: Path, expected: HyperKvasirNumbers | None = None) -> Found:
    """The videos below `root`, which is labeled-videos or holds it; video-labels.csv names them in its first column.

    Raises:
        UserError: a list that cannot be read.
    """
    expected = expected or HyperKvasirNumbers()
    top = folder_with(root, ('video-labels.csv', 'lower-gi-tract', 'upper-gi-tract'), ('labeled-videos',))
    found = Found('hyperkvasir', 'HyperKvasir', top, replace(PLAN, size=expected.size))
    for path in sorted(top.rglob('*.avi'), key=lambda path: path.stem):
        name = safe_name(path.stem)
        if path.name.startswith('.') or '__MACOSX' in path.parts:
            continue
        if name in found.sources:
            found.faults[name] = f'{path}: there is another {name}, {found.sources[name]}'
        found.sources.setdefault(name, path)
    if len(found.sources) not in expected.videos:
        counts = ' or '.join(map(str, expected.videos))
        found.faults['videos'] = f'{top}: {len(found.sources)} videos (*.avi), published are {counts}'
    labels = top / 'video-labels.csv'
    if not labels.is_file():
        found.faults['video-labels.csv'] = f'{labels}: no such file'
    else:
        compare(found, found.sources, _listed(labels), top, 'videos of video-labels.csv')
    return found


def _listed(path: Path) -> set[str]:
    """The videos in the list's column 'Video file', which is its first; without their suffix."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({getattr(error, "strerror", None) or "is not text"})') from error
    first = text.partition('\n')[0]
    rows = list(csv.reader(text.splitlines(), delimiter=';' if first.count(';') > first.count(',') else ','))
    if not rows or 'video' not in rows[0][0].lower():
        raise UserError(f'{path}: expected a list whose first column is "Video file", not {first[:60]!r}')
    return {safe_name(row[0].strip().removesuffix('.avi')) for row in rows[1:] if row and row[0].strip()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_medical_arguments(parser, PLAN)


def run(args: argparse.Namespace) -> int:
    return run_medical(args, find_hyperkvasir(args.source))
