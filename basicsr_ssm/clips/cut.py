"""Cut one source into clips of PNG frames, ground truth and low resolution, as it is being decoded."""

from __future__ import annotations

import json
import math
import os
import shutil
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Semaphore

import numpy as np

from basicsr_ssm.clips.frame_source import FrameSource
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.lmdb_writer import encode_png
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import WriteError, sha256_of, write_json, writing


class Stopped(Exception):
    """Another source failed for good, or the user interrupted."""


@dataclass(frozen=True)
class Cutting:
    """How sources are cut.

    Attributes:
        clip_length: frames in a clip.
        stride: frames from the start of a clip to the start of the next.
        max_clips: clips taken from the start of a source, None for all.
        scales: low resolutions, each 1/scale.
        starts: first frames of the clips in rising order, instead of those that stride and max_clips give.
    """

    clip_length: int
    stride: int
    max_clips: int | None
    scales: tuple[int, ...]
    starts: tuple[int, ...] | None = None

    @property
    def multiple(self) -> int:
        """Height and width of the ground truth are cropped, at the bottom and right, to multiples of this."""
        return math.lcm(*self.scales)

    @property
    def kinds(self) -> dict[str, int]:
        """Folder name → scale: GT, BIx4, …"""
        return {'GT': 1, **{f'BIx{scale}': scale for scale in self.scales}}

    def clips_with(self, frame: int) -> range:
        """The ordinals of the clips that hold this frame."""
        if self.starts is not None:
            return range(bisect_right(self.starts, frame - self.clip_length), bisect_right(self.starts, frame))
        first = max(0, -(-(frame - self.clip_length + 1) // self.stride))
        last = frame // self.stride
        return range(first, min(last + 1, self.max_clips or last + 1))

    def frames_of(self, clip: int) -> range:
        start = clip * self.stride if self.starts is None else self.starts[clip]
        return range(start, start + self.clip_length)

    def past_the_end(self, frame: int) -> bool:
        """Whether no clip holds this or any later frame."""
        return self._last is not None and frame >= self.frames_of(self._last).stop

    def frames_needed(self, frames: int | None) -> int | None:
        """How many of a source's frames are read."""
        if self._last is None or frames is None:
            return frames
        return min(frames, self.frames_of(self._last).stop)

    @property
    def _last(self) -> int | None:
        """The ordinal of the last clip, where that does not depend on the source's length."""
        most = self.max_clips if self.starts is None else len(self.starts)
        return None if most is None else most - 1


class Crew:
    """The threads that shrink, encode and write frames, with a limit on the frames that wait in memory.

    Threads and not processes: decoding, filtering, compressing and hashing all release the interpreter's lock, no
    frame is copied between processes, and a killed run leaves no orphans behind that go on writing.
    """

    def __init__(self, executor: Executor, waiting: int):
        self.stopping = Event()
        self._executor, self._free = executor, Semaphore(waiting)

    def submit(self, work: Callable, *args) -> Future:
        while not self._free.acquire(timeout=0.5):
            self.check()
        self.check()
        future = self._executor.submit(work, *args)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def check(self) -> None:
        if self.stopping.is_set():
            raise Stopped


def cut_source(
    source: FrameSource, name: str, folder: Path, cutting: Cutting, crew: Crew, advance: Callable[[], None]
) -> dict:
    """Write the clips of `source` to `folder`/<clip>/<kind>/<8 digits>.png, each clip complete or not there.

    Clips that an earlier run finished are kept if their checksums still hold.

    Returns:
        {'frames': frames read, 'dropped': frames in no clip, 'clips': {clip: its clip.json}}; clip.json holds the
        number of its first frame in the source, the count, the GT size (h, w) and a checksum per kind.

    Raises:
        DamagedSourceError and other UserErrors of the source: `folder` is removed then.
        WriteError: the finished clips stay.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(folder)
    finished = {path.name: note for path in folder.iterdir() if (note := checked_clip(path))}
    open_clips: dict[int, deque[Future]] = {}
    closing: list[tuple[int, deque[Future]]] = []
    count = 0
    try:
        for frame in source.frames():
            crew.check()
            if cutting.past_the_end(count):
                break
            targets = []
            for clip in cutting.clips_with(count):
                if _clip_name(name, clip) in finished:
                    continue
                if clip not in open_clips:
                    open_clips[clip] = deque()
                    _start(folder / f'{_clip_name(name, clip)}.tmp', cutting)
                number = count - cutting.frames_of(clip).start
                targets.append((clip, folder / f'{_clip_name(name, clip)}.tmp', f'{number:08d}.png'))
            if targets:
                future = crew.submit(_write_frame, frame, [(path, file) for _, path, file in targets], cutting)
                for clip, _, _ in targets:
                    open_clips[clip].append(future)
            count += 1
            advance()
            closing += [(c, open_clips.pop(c)) for c in list(open_clips) if cutting.frames_of(c).stop == count]
            while closing and all(f.done() for f in closing[0][1]):
                _finish(folder, name, *closing.pop(0), source, cutting, finished)
        while closing:
            _finish(folder, name, *closing.pop(0), source, cutting, finished)
    except BaseException as error:
        _settle(open_clips, closing)
        if isinstance(error, UserError) and not isinstance(error, WriteError):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _settle(open_clips, closing)
    _remove_unfinished(folder)
    clips = {clip: finished[clip] for clip in sorted(finished)}
    covered = set().union(*(range(c['first_frame'], c['first_frame'] + c['frames']) for c in clips.values()))
    return {'frames': count, 'dropped': count - len(covered), 'clips': clips}


def _clip_name(source: str, clip: int) -> str:
    return f'{source}_{clip:04d}'


def _start(folder: Path, cutting: Cutting) -> None:
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        for kind in cutting.kinds:
            (folder / kind).mkdir(parents=True)


def _write_frame(frame: np.ndarray, targets: list[tuple[Path, str]], cutting: Cutting) -> None:
    h, w = (n // cutting.multiple * cutting.multiple for n in frame.shape[:2])
    frame = frame[:h, :w]
    for kind, scale in cutting.kinds.items():
        png = encode_png(frame if scale == 1 else imresize_bicubic(frame, scale))
        for folder, file in targets:
            with writing(folder / kind / file):
                (folder / kind / file).write_bytes(png)


def _finish(folder, name, clip, futures, source, cutting, finished) -> None:
    for future in futures:
        future.result()
    path = folder / f'{_clip_name(name, clip)}.tmp'
    note = {
        'first_frame': cutting.frames_of(clip).start,
        'frames': cutting.clip_length,
        'size': [n // cutting.multiple * cutting.multiple for n in source.size],
        'sha256': {kind: sha256_of(sorted((path / kind).iterdir())) for kind in cutting.kinds},
    }
    write_json(path / 'clip.json', note)
    with writing(path):
        os.replace(path, path.with_suffix(''))
    finished[_clip_name(name, clip)] = note


def _settle(open_clips: dict, closing: list) -> None:
    """Let frames under way end, so that nobody writes into folders that are being removed."""
    for futures in (*open_clips.values(), *(f for _, f in closing)):
        for future in futures:
            if not future.cancel():
                future.exception()
    open_clips.clear()


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob('*.tmp'):
        shutil.rmtree(path)


def checked_clip(clip: Path) -> dict | None:
    """The clip's note, if its frames are all there and as they were when it was written; otherwise it is removed."""
    try:
        note = json.loads((clip / 'clip.json').read_bytes())
        if all(sha256_of(sorted((clip / kind).iterdir())) == sha for kind, sha in note['sha256'].items()):
            return note
    except (OSError, ValueError):
        pass
    if clip.is_dir():
        shutil.rmtree(clip)
    return None
