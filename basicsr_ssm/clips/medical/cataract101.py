"""Cataract-101 (Schoeffmann et al., MMSys 2018): videos of cataract surgeries."""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

from basicsr_ssm.clips.folder_source import natural_key
from basicsr_ssm.clips.frame_source import safe_name
from basicsr_ssm.clips.medical.command import add_medical_arguments, run_medical
from basicsr_ssm.clips.medical.found import Found, Plan, compare, folder_with
from basicsr_ssm.clips.published import name_some, names_in
from basicsr_ssm.errors import UserError

HELP = 'Cataract-101: videos/case_*.mp4 with videos.csv'

PLAN = Plan(size=(540, 720), stride=1250, max_clips=8)


@dataclass(frozen=True)
class Cataract101Numbers:
    """What is published."""

    videos: int = 101
    size: tuple[int, int] = PLAN.size


def find_cataract101(root: Path, expected: Cataract101Numbers | None = None) -> Found:
    """The videos below `root`, which holds videos and videos.csv; each is one surgery.

    Raises:
        UserError: a list that cannot be read.
    """
    expected = expected or Cataract101Numbers()
    top = folder_with(root, ('videos', 'videos.csv'), ('cataract-101', 'cat-101'))
    found = Found('cataract101', 'Cataract-101', top, replace(PLAN, size=expected.size))
    there = names_in(top / 'videos')
    cases = sorted((name for name in there if name.startswith('case_') and name.endswith('.mp4')), key=natural_key)
    found.sources = {safe_name(name.removesuffix('.mp4')): top / 'videos' / name for name in cases}
    if there - set(cases):
        found.extra.append(f'{top / "videos"}: {name_some(there - set(cases))}')
    if len(cases) != expected.videos:
        found.faults['videos'] = f'{top / "videos"}: {len(cases)} videos, published are {expected.videos}'
    table = top / 'videos.csv'
    if not table.is_file():
        found.faults['videos.csv'] = f'{table}: no such file'
    else:
        compare(found, found.sources, _listed(table), top / 'videos', 'videos of videos.csv')
    return found


def _listed(path: Path) -> set[str]:
    """case_<VideoID> of every row; VideoID is the first of the columns, which semicolons part."""
    try:
        rows = list(csv.reader(path.read_text(encoding='utf-8-sig').splitlines(), delimiter=';'))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({getattr(error, "strerror", None) or "is not text"})') from error
    ids = [row[0].strip() for row in rows[1:] if row and row[0].strip()]
    if not ids or not all(number.isdecimal() for number in ids):
        raise UserError(f'{path}: expected rows "VideoID;Frames;FPS;Surgeon;Experience" below a header')
    return {f'case_{number}' for number in ids}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_medical_arguments(parser, PLAN)


def run(args: argparse.Namespace) -> int:
    return run_medical(args, find_cataract101(args.source))
