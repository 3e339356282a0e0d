"""From finished clips to the data set: splits, PNG folders or LMDB, meta_info.txt, manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from basicsr_ssm.clips.cut import Cutting
from basicsr_ssm.clips.lmdb_writer import write_lmdb
from basicsr_ssm.files import write_file, writing


def assemble(
    split: str,
    clips: dict[str, dict],
    folders: dict[str, Path],
    target: Path,
    cutting: Cutting,
    form: str,
    advance: Callable[[], None],
) -> None:
    """Make `target`/{GT,BIx4,…}[.lmdb] and `target`/meta_info.txt out of `clips` (name → note, see cut_source).

    Every step is a rename or can be repeated, so a run that was killed here goes on where it stopped. The clips'
    own frames, in `folders`[clip], are used up.
    """
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for kind, scale in cutting.kinds.items():
            if form == 'png':
                _move(clips, {clip: folders[clip] / kind for clip in clips}, target / kind, advance)
            else:
                _pack(clips, {clip: folders[clip] / kind for clip in clips}, target / f'{kind}.lmdb', scale, advance)
    lines = (f'{clip} {note["frames"]} ({note["size"][0]},{note["size"][1]},3)\n' for clip, note in clips.items())
    write_file(target / 'meta_info.txt', ''.join(lines).encode())


def _move(clips: Iterable[str], frames: dict[str, Path], target: Path, advance: Callable[[], None]) -> None:
    target.mkdir(exist_ok=True)
    for clip in clips:
        if frames[clip].exists():
            os.replace(frames[clip], target / clip)
        advance()


def _pack(clips: dict, frames: dict[str, Path], target: Path, scale: int, advance: Callable[[], None]) -> None:
    if not target.exists():
        files = {f'{clip}/{path.stem}': path for clip in clips for path in frames[clip].iterdir()}
        shapes = {}
        for key in files:
            h, w = clips[key.split('/')[0]]['size']
            shapes[key] = (h // scale, w // scale, 3)
        write_lmdb(target, files, shapes, advance)
    for clip in clips:
        shutil.rmtree(frames[clip], ignore_errors=True)


def publish(work: Path, output: Path, splits: Iterable[str]) -> None:
    """Move the finished splits and then the manifest from `work` into `output`, and remove `work`."""
    with writing(output):
        for split in splits:
            if (work / split).exists():
                os.replace(work / split, output / split)
        os.replace(work / 'manifest.json', output / 'manifest.json')
        shutil.rmtree(work)
