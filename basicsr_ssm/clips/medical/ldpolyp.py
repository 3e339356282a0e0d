"""LDPolypVideo (Ma et al., MICCAI 2021): colonoscopy videos as folders of JPEG frames."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.clips.folder_source import image_files, natural_key
from basicsr_ssm.clips.frame_source import safe_name
from basicsr_ssm.clips.medical.command import add_medical_arguments, run_medical
from basicsr_ssm.clips.medical.found import Found, Plan, folder_with, runs_of
from basicsr_ssm.clips.published import names_in

HELP = 'LDPolypVideo: TrainValid and Test, each with Images/<video>/*.jpg'

PLAN = Plan(size=(480, 560), stride=50)
PARTS = ('TrainValid', 'Test')


@dataclass(frozen=True)
class LDPolypNumbers:
    """What is published; the number of videos for training is common knowledge, the sums are in the paper."""

    train: int = 100
    test: int = 60
    frames: int = 40266
    size: tuple[int, int] = PLAN.size


def find_ldpolyp(root: Path, unlabelled: Path | None = None, expected: LDPolypNumbers | None = None) -> Found:
    """The videos below `root`, which holds TrainValid and Test: those of Test are the test split.

    Args:
        unlabelled: folder with the videos without annotations, as files or as folders of frames: all for training.
        expected: other numbers than the published ones.
    """
    expected = expected or LDPolypNumbers()
    root = folder_with(root, PARTS, ('LDPolypVideo',))
    found = Found('ldpolyp', 'LDPolypVideo', root, replace(PLAN, size=expected.size))
    frames = 0
    for part, count in zip(PARTS, (expected.train, expected.test), strict=True):
        top = root / part / 'Images'
        videos = sorted((top / name for name in names_in(top) if (top / name).is_dir()), key=_by_number)
        if len(videos) != count:
            what = f'{len(videos)} videos, published are {count}' if videos else 'no such folder, or empty'
            found.faults[part] = f'{top}: {what}'
        for video in videos:
            name = safe_name(f'{part.lower()}_{video.name}')
            frames += len(image_files(video))
            _add(found, name, video)
            if part == 'Test':
                found.fixed[name] = 'test'
    if frames != expected.frames and not found.faults:
        found.faults['frames'] = f'{root}: {frames} frames, published are {expected.frames}'
    if unlabelled is not None:
        for name, path in find_sources([unlabelled], note=found.extra.append).items():
            name = safe_name(f'unlabelled_{name}')
            _add(found, name, path)
            found.fixed[name] = 'train'
    return found


def _add(found: Found, name: str, path: Path) -> None:
    found.sources[name] = path
    if not path.is_dir():
        return
    runs = runs_of(path)
    if not image_files(path):
        found.faults[name] = f'{path}: holds no images'
    elif len(runs) > 1:
        found.runs[name] = runs
        found.extra.append(f'{path}: {len(runs) - 1} gaps in the numbers of its frames; no clip spans one')


def _by_number(path: Path) -> tuple:
    return natural_key(path.name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_medical_arguments(parser, PLAN)
    parser.add_argument(
        '--unlabelled', type=Path, metavar='DIR', help='the videos without annotations, for training as well'
    )


def run(args: argparse.Namespace) -> int:
    return run_medical(args, find_ldpolyp(args.source, args.unlabelled))
