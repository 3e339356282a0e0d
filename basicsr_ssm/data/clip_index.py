"""Which clips there are, and the keys of their frames, for a pair of roots (GT and LQ) or for LQ alone."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from basicsr_ssm.data.frame_pairs import numbering_shift, what_tells_apart
from basicsr_ssm.data.frame_store import IMAGE_SUFFIXES, DatasetError, LmdbFrames
from basicsr_ssm.errors import UserError
from basicsr_ssm.linked_folders import walk_links
from basicsr_ssm.meta_info import Listed, lines_of, read_meta_info


@dataclass(frozen=True)
class Clip:
    """One clip: frame ``i`` of the clip has the keys ``lq[i]`` and ``gt[i]``.

    Attributes:
        name: Name of the clip, its folder below the root; deeper ones read ``a/b``.
        lq: Frame keys in time order.
        gt: Frame keys of the ground truth, as many as ``lq``; None without ground truth.
        gt_size: (h, w) of the ground truth where meta information states it, otherwise None. Not verified here.
    """

    name: str
    lq: tuple[str, ...]
    gt: tuple[str, ...] | None = None
    gt_size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.lq)


def natural_key(name: str) -> tuple:
    """Sort key under which ``frame2`` comes before ``frame10``."""
    # Splitting on numbers alternates text and number, so that like is always compared with like.
    parts = re.split(r'([0-9]+)', name)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name


def index_clips(lq, gt=None, meta_info_file: str | Path | None = None) -> tuple[list[Clip], Path | None]:
    """List the clips of a data set, in natural order of their names, and check that GT and LQ belong together.

    Folders: every folder below the root that holds frames directly is a clip, whatever its frames are called. Frames
    are taken in natural order. LMDB: the ``meta_info.txt`` inside the database lists the frames.

    Frames of GT and LQ pair up by the numbers in their names, whatever else all names of a side share (``00000000`` and
    ``00000000x4``). One side may count from 0 and the other from 1, if it does so in all clips.

    A meta information file has one line a clip, ``<clip> <frames> (<h>,<w>,<c>)`` with the size of the GT, of which
    the last and the last two parts may be left out. It selects the clips. Folders look for a ``meta_info.txt`` beside
    the root (that of the GT, if there is one) where none is given.

    Args:
        lq: A FolderFrames or LmdbFrames.
        gt: The same for the ground truth, or None.
        meta_info_file: Path of the meta information file, or None.

    Returns:
        The clips, and the meta information file that was used, if any.

    Raises:
        DatasetError: no clips; clips of GT and LQ differ; their frames do not pair up; the meta information cannot
            be read or does not fit what is there.
    """
    listed, meta_path = _find_meta_info(lq if gt is None else gt, meta_info_file)
    lq_keys, lq_sizes = _list_frames(lq, listed)
    gt_keys, gt_sizes = (None, {}) if gt is None else _list_frames(gt, listed)

    if listed is not None:
        for root, keys in ((lq.root, lq_keys), (None if gt is None else gt.root, gt_keys)):
            absent = [] if keys is None else [name for name in listed if name not in keys]
            if absent:
                raise DatasetError(f'{root} has no frames of {name_some(absent)}, listed in {meta_path}')
    elif gt is not None and lq_keys.keys() != gt_keys.keys():
        raise DatasetError(_clips_differ(lq, lq_keys, gt, gt_keys))

    clips, shifts = [], {}
    for name in sorted(lq_keys if listed is None else listed, key=natural_key):
        said = Listed(None, None) if listed is None else listed[name]
        for frames, keys in ((lq, lq_keys), (gt, gt_keys)):
            if keys is not None and said.count not in (None, len(keys[name])):
                raise DatasetError(_wrong_count(name, frames, keys[name], said.count, meta_path))
        if gt is not None:
            shifts[name] = _pair_up(name, lq, lq_keys[name], gt, gt_keys[name])
        size = None if gt is None else gt_sizes.get(name, said.size)
        clips.append(Clip(name, lq_keys[name], None if gt is None else gt_keys[name], size))
    _check_numbering(shifts, lq, gt)
    if not clips:
        raise DatasetError(f'no clips in {meta_path or lq.root}: expected one folder of frames for each clip')
    return clips, meta_path


def _find_meta_info(frames, meta_info_file) -> tuple[dict[str, Listed] | None, Path | None]:
    if meta_info_file is not None:
        path = Path(meta_info_file).expanduser()
    elif isinstance(frames, LmdbFrames):
        return None, None
    else:
        path = frames.root.parent / 'meta_info.txt'
        if not path.is_file():
            return None, None
    try:
        return read_meta_info(path), path
    except UserError as error:
        raise DatasetError(str(error)) from error


def _list_frames(frames, listed) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[int, int]]]:
    """Frame keys of each clip in time order, and the sizes of the clips where they are known."""
    if isinstance(frames, LmdbFrames):
        found, sizes = _list_lmdb(frames.root)
    else:
        found, sizes = _list_folders(frames.root, listed), {}
    if listed is not None:
        found = {name: keys for name, keys in found.items() if name in listed}
    ordered = {name: tuple(sorted(keys, key=natural_key)) for name, keys in found.items()}
    for name, keys in ordered.items():
        stems = [frame_name(key) for key in keys]
        if len(set(stems)) != len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise DatasetError(f'clip {name} in {frames.root} holds frame {twice} more than once')
    return ordered, sizes


def _list_folders(root: Path, listed) -> dict[str, list[str]]:
    # With a list of clips only their folders are visited: the root may hold far more, on a slow disk.
    tops, visited = ([root], None) if listed is None else ([root / name for name in listed], 1)
    found = {}
    for top in tops:
        for folder, files in islice(walk_links(top, _cannot_list), visited):
            names = [name for name in files if name[0] != '.' and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]
            if not names:
                continue
            clip = Path(folder).relative_to(root).as_posix()
            if clip == '.':
                raise DatasetError(f'frames lie directly in {root}: each clip needs a folder of its own below it')
            found[clip] = [f'{clip}/{name}' for name in names]
    return found


def _cannot_list(error: OSError) -> None:
    # A listed clip that is not there is reported with its name later on.
    if not isinstance(error, FileNotFoundError):
        raise DatasetError(f'cannot list {error.filename}: {error.strerror}') from error


_LMDB_LINE = re.compile(r'(?P<file>.+?)\s+\((?P<h>[0-9]+),\s*(?P<w>[0-9]+)[,0-9\s]*\)(\s+[0-9]+)?')


def _list_lmdb(root: Path) -> tuple[dict[str, list[str]], dict[str, tuple[int, int]]]:
    path = root / 'meta_info.txt'
    if not path.is_file():
        raise DatasetError(f'{path} is missing: an LMDB data set lists its frames there')
    try:
        lines = list(lines_of(path))
    except UserError as error:
        raise DatasetError(str(error)) from error
    found, sizes = {}, {}
    for number, line in lines:
        match = _LMDB_LINE.fullmatch(line)
        key = os.path.splitext(match['file'])[0] if match else ''
        if '/' not in key:
            raise DatasetError(f'{path}, line {number}: expected "<clip>/<frame>.png (<h>,<w>,<c>) 1", not "{line}"')
        clip = key.rpartition('/')[0]
        found.setdefault(clip, []).append(key)
        sizes.setdefault(clip, (int(match['h']), int(match['w'])))
    return found, sizes


def _pair_up(name: str, lq, lq_keys, gt, gt_keys) -> int | None:
    """How much higher GT is numbered than LQ; None for a single frame, whose name does not show it."""
    lq_stems, gt_stems = [frame_name(key) for key in lq_keys], [frame_name(key) for key in gt_keys]
    if lq_stems == gt_stems:
        return 0
    if len(lq_keys) != len(gt_keys):
        raise DatasetError(_counts_differ(name, lq, lq_stems, gt, gt_stems))
    if len(lq_keys) == 1:
        return None
    lq_parts, gt_parts = what_tells_apart(lq_stems), what_tells_apart(gt_stems)
    shift = numbering_shift(gt_parts, lq_parts)
    if shift is None:
        k = next(k for k in range(len(lq_parts)) if lq_parts[k] != gt_parts[k])
        raise DatasetError(
            f'clip {name}: frames of GT and LQ do not pair up, first {gt.where(gt_keys[k])} with {lq.where(lq_keys[k])}'
        )
    return shift


def _counts_differ(name: str, lq, lq_stems, gt, gt_stems) -> str:
    message = f'clip {name} has {len(gt_stems)} GT frames in {gt.root} but {len(lq_stems)} LQ frames in {lq.root}'
    only_lq, only_gt = set(lq_stems) - set(gt_stems), set(gt_stems) - set(lq_stems)
    if len(only_lq) == len(lq_stems):  # names of two kinds
        return message
    hints = [f'{", ".join(sorted(only, key=natural_key)[:3])} only in {side}'
             for side, only in (('GT', only_gt), ('LQ', only_lq)) if only]  # fmt: skip
    return '; '.join([message, *hints])


def _check_numbering(shifts: dict[str, int | None], lq, gt) -> None:
    """One clip that counts otherwise than the rest has lost the first frame of one side and the last of the other."""
    odd = next((name for name, shift in shifts.items() if shift), None)
    other = None if odd is None else next((n for n, s in shifts.items() if s not in (None, shifts[odd])), None)
    if other is not None:
        later, sooner = (gt, lq) if shifts[odd] > 0 else (lq, gt)
        raise DatasetError(
            f'clip {odd} begins with frame 1 in {later.root} and frame 0 in {sooner.root}, but clip {other} does not: '
            f'is its frame 0 missing?'
        )


def _wrong_count(name: str, frames, keys, count: int, meta_path) -> str:
    message = f'clip {name} has {len(keys)} frames in {frames.root}, but {meta_path} says {count}'
    stems = [frame_name(key) for key in keys]
    if all(stem.isdecimal() for stem in stems):
        gap = next((a for a, b in zip(stems, stems[1:], strict=False) if int(b) != int(a) + 1), None)
        if gap is not None:
            message += f'; the first one missing comes after {gap}'
    return message


def _clips_differ(lq, lq_keys, gt, gt_keys) -> str:
    parts = []
    for side, there, other in (('GT', gt_keys, lq_keys), ('LQ', lq_keys, gt_keys)):
        only = [name for name in there if name not in other]
        if only:
            parts.append(f'only in {side}: {name_some(only)}')
    return f'GT {gt.root} and LQ {lq.root} hold different clips; {"; ".join(parts)}'


def name_some(names) -> str:
    """The first few of many clip names, for an error message."""
    names = sorted(names, key=natural_key)
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    return f'{"clip" if len(names) == 1 else "clips"} {", ".join(names[:5])}{more}'


def frame_name(key: str) -> str:
    """The frame's part of a key, without the suffix of an image file."""
    name = key.rpartition('/')[2]
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
