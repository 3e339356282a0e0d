"""Vid4 (Liu and Sun, TPAMI 2014), four clips to test on, in the layouts in which it goes about."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from basicsr_ssm.clips.folder_source import image_files
from basicsr_ssm.clips.published import Published, name_some
from basicsr_ssm.clips.published_arguments import add_published_arguments, run_published

HELP = 'Vid4: calendar, city, foliage and walk'

# clip → frames, (h, w)
VID4 = {
    'calendar': (41, (576, 720)),
    'city': (34, (576, 704)),
    'foliage': (49, (480, 720)),
    'walk': (47, (480, 720)),
}


def find_vid4(root: Path, recompute: bool = False, expected: Mapping[str, tuple] = VID4) -> Published:
    """The clips in `root`/GT/<clip>, `root`/<clip>/original or `root`/<clip>; the LQ frames in `root`/BIx4/<clip>.

    They go to the data set's own folder: GT/<clip>/<frame>.png and BIx4/<clip>/<frame>.png.

    Args:
        recompute: make the LQ frames even if some are there.
        expected: other clips than the published ones.
    """
    given = not recompute and (root / 'BIx4').is_dir()
    found = Published('Vid4', {'lq': 'published' if given else 'computed'})
    for name, (count, size) in expected.items():
        places = (root / 'GT' / name, root / name / 'original', root / name)
        folder = next((place for place in places if place.is_dir()), places[0])
        sides = [folder, root / 'BIx4' / name] if given else [folder]
        frames = [image_files(side) if side.is_dir() else [] for side in sides]
        wrong = next((k for k, files in enumerate(frames) if len(files) != count), None)
        if wrong is None:
            found.add(name, '', size, frames[0], frames[1] if given else None)
        else:
            found.faults[name] = f'{sides[wrong]}: {len(frames[wrong])} frames, published are {count}'
    tops = [root / 'GT' if (root / 'GT').is_dir() else root]
    others = {path.name for top in tops for path in top.iterdir() if path.is_dir()} - {*expected, 'BIx4', 'BDx4'}
    if others:
        found.extra.append(f'{tops[0]}: {name_some(others)}')
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_published_arguments(parser, form='png')
    parser.add_argument('--recompute', action='store_true', help='make the LQ frames, also where BIx4 is there')


def run(args: argparse.Namespace) -> int:
    return run_published(args, find_vid4(args.source, args.recompute))
