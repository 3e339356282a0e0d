"""EndoVis 2018, robotic scene segmentation (Allan et al., 2020): left camera frames of porcine nephrectomies."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from basicsr_ssm.clips.folder_source import image_files
from basicsr_ssm.clips.medical.command import add_medical_arguments, run_medical
from basicsr_ssm.clips.medical.found import Found, Plan, runs_of
from basicsr_ssm.clips.published import name_some

HELP = 'EndoVis18: seq_N/left_frames/frameNNN.png of the training and test releases'

PLAN = Plan(size=(1024, 1280), stride=50, cuts='ignore')  # one frame a second was published
RELEASES = {  # the sequences of each training release; there is no seq_8
    'miccai_challenge_2018_release_1': (1, 2, 3, 4),
    'miccai_challenge_release_2': (5, 6, 7),
    'miccai_challenge_release_3': (9, 10, 11, 12),
    'miccai_challenge_release_4': (13, 14, 15, 16),
}


@dataclass(frozen=True)
class EndoVis18Numbers:
    """What is published. Copies of the test release hold 249 or 250 frames in a sequence."""

    train: tuple[int, ...] = sum(RELEASES.values(), ())
    test: tuple[int, ...] = (1, 2, 3, 4)
    train_frames: int = 149
    test_frames: tuple[int, ...] = (249, 250)
    size: tuple[int, int] = PLAN.size


def find_endovis18(root: Path, expected: EndoVis18Numbers | None = None) -> Found:
    """The sequences anywhere below `root`: those below a folder with "test" in its name are the test split.

    Only the left camera is used: the right one sees the same scene.
    """
    expected = expected or EndoVis18Numbers()
    found = Found('endovis18', 'EndoVis18', root, replace(PLAN, size=expected.size))
    for number, folder, is_test in _sequences(root):
        name = f'test_seq_{number}' if is_test else f'seq_{number}'
        if name in found.sources:
            found.faults[name] = f'{folder.parent}: is there a second time, also as {found.sources[name].parent}'
            continue
        if number not in (expected.test if is_test else expected.train):
            found.extra.append(f'{folder.parent}: no such sequence was published')
            continue
        found.sources[name] = folder
        if is_test:
            found.fixed[name] = 'test'
        count, counts = len(image_files(folder)), expected.test_frames if is_test else (expected.train_frames,)
        runs = runs_of(folder)
        if count not in counts or len(runs) != 1:
            gap = f', with {len(runs) - 1} gaps' if len(runs) > 1 else ''
            found.faults[name] = f'{folder}: {count} frames{gap}, published are {" or ".join(map(str, counts))}'
    for part, numbers, prefix in (('training', expected.train, 'seq_'), ('test', expected.test, 'test_seq_')):
        missing = [f'seq_{n}' for n in numbers if f'{prefix}{n}' not in found.sources]
        if missing:
            found.faults[f'{part} release'] = (
                f'{root}: {len(missing)} of {len(numbers)} sequences missing ({name_some(missing)})'
            )
    return found


def _sequences(root: Path):
    """(number, left_frames, whether of the test release) of every sequence, in a fixed order."""
    for top, folders, _ in sorted(os.walk(root)):
        # archives made on a Mac hold a shadow of every file
        folders[:] = [name for name in folders if name != '__MACOSX']
        path = Path(top)
        match = re.fullmatch(r'seq_(\d+)', path.name)
        if match and 'left_frames' in folders and '__MACOSX' not in path.parts:
            above = path.relative_to(root).parts[:-1]
            yield int(match[1]), path / 'left_frames', any('test' in part.lower() for part in above)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_medical_arguments(parser, PLAN)


def run(args: argparse.Namespace) -> int:
    return run_medical(args, find_endovis18(args.source))
