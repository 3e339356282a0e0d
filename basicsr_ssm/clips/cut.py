"""Cut one source into clips of PNG frames, ground truth and low resolution, as it is being decoded."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from threading import Event, Semaphore

import numpy as np

from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource
from basicsr_ssm.clips.interlace import is_combed
from basicsr_ssm.clips.lmdb_writer import encode_png
from basicsr_ssm.clips.watch import Watch
from basicsr_ssm.clips.windows import Windows
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import WriteError, sha256_of, write_json, writing

_COMB_STEP = 8  # every eighth frame is looked at for combing


class Stopped(Exception):
    """Another source failed for good, or the user interrupted."""


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
    source: FrameSource,
    name: str,
    folder: Path,
    cutting: Cutting,
    crew: Crew,
    advance: Callable[[], None],
    footage: Footage | None = None,
) -> dict:
    """Write the clips of `source` to `folder`/<clip>/<kind>/<8 digits>.png, each clip complete or not there.

    Clips that an earlier run finished are kept if their checksums still hold.

    Args:
        footage: what ends a scene, and which frames are left out; default: Footage().

    Returns:
        {'frames': frames read, 'dropped': frames in no clip, 'found': what was noticed, 'clips': {clip: its
        clip.json}}; clip.json holds the number of its first frame in the source, the count, the GT size (h, w), a
        checksum per kind and, where frames between were left out, their numbers.

    Raises:
        DamagedSourceError and other UserErrors of the source: `folder` is removed then.
        WriteError: the finished clips stay.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(folder)
    job = _Job(source, name, folder, cutting)
    scenes = _Scenes(source, footage or Footage(), cutting.gaps)
    count = 0
    try:
        for count, frame, follows in scenes:
            crew.check()
            if not follows:
                job.give_up()
            if frame is not None:
                job.add(count, frame, crew)
            count += 1
            advance()
            job.finish_some()
            if job.windows.over:
                break
        job.finish_all()
    except BaseException as error:
        job.settle()
        if isinstance(error, UserError) and not isinstance(error, WriteError):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    job.settle()
    _remove_unfinished(folder)
    clips = {clip: job.finished[clip] for clip in sorted(job.finished)}
    covered: set[int] = set()
    for note in clips.values():
        left_out = note.get('left_out', [])
        covered |= set(range(note['first_frame'], note['first_frame'] + note['frames'] + len(left_out))) - {*left_out}
    return {'frames': count, 'dropped': count - len(covered), 'found': scenes.found(), 'clips': clips}


class _Scenes:
    """The frames of a source with what matters for clips: (number, frame or None to leave it out, whether it follows
    on the one before)."""

    def __init__(self, source: FrameSource, footage: Footage, gaps: Iterable[int]):
        self._source, self._footage, self._watch = source, footage, Watch()
        self._gaps, self._gaps_met = frozenset(gaps), []
        self._damaged: dict[int, str] = {}
        self._combed = self._examined = 0

    def __iter__(self):
        footage = self._footage
        frames = self._source.frames() if footage.damaged == 'refuse' else self._source.frames_around_damage()
        for number, frame in enumerate(frames):
            gap = number in self._gaps
            if gap:
                self._gaps_met.append(number)
                self._watch.interrupt()
            if isinstance(frame, DamagedSourceError):
                self._damaged[number] = frame.reason
                self._watch.interrupt()
                yield number, None, False
                continue
            if number % _COMB_STEP == 0:
                self._combed += is_combed(frame, self._source.turned)
                self._examined += 1
            verdict = self._watch.see(number, frame)
            if verdict == 'duplicate' and footage.duplicates != 'keep':
                yield number, None, footage.duplicates == 'drop'
            else:
                yield number, frame, not gap and (verdict != 'cut' or footage.cuts == 'ignore')

    def found(self) -> dict:
        """For the manifest: what was noticed in the frames that were read."""
        watch = self._watch
        return {
            'cuts': watch.cuts,
            'gaps': self._gaps_met,
            'duplicates': len(watch.duplicates),
            'longest_freeze': watch.longest_freeze,
            'combed': round(self._combed / max(1, self._examined), 3),
            'damaged': {str(number): reason for number, reason in self._damaged.items()},
            **self._source.found(),
        }


class _Job:
    """The clips of one source: those being filled, those whose frames are still being written, the finished ones."""

    def __init__(self, source: FrameSource, name: str, folder: Path, cutting: Cutting):
        self.windows = Windows(cutting)
        self.finished = {path.name: note for path in folder.iterdir() if (note := checked_clip(path))}
        self._source, self._name, self._folder, self._cutting = source, name, folder, cutting
        self._writing: dict[int, deque[Future]] = {}
        self._closing: list[tuple[int, list[int]]] = []  # clip, numbers of its frames

    def add(self, number: int, frame: np.ndarray, crew: Crew) -> None:
        """Give the frame to the clips that it belongs to."""
        targets = []
        for clip, place in self.windows.add(number):
            if self._name_of(clip) in self.finished:
                continue
            if place == 0:
                self._writing[clip] = deque()
                _start(self._unfinished(clip), self._cutting)
            targets.append((clip, self._unfinished(clip), f'{place:08d}.png'))
        if targets:
            future = crew.submit(_write_frame, frame, [(path, file) for _, path, file in targets], self._cutting)
            for clip, _, _ in targets:
                self._writing[clip].append(future)
        complete = self.windows.take_complete()
        self._closing += [(clip, numbers) for clip, numbers in complete.items() if clip in self._writing]

    def give_up(self) -> None:
        """The scene is over: remove the clips that it leaves incomplete."""
        for clip in self.windows.end_scene():
            if clip in self._writing:
                for future in self._writing.pop(clip):
                    future.result()
                with writing(self._folder):
                    shutil.rmtree(self._unfinished(clip))

    def finish_some(self) -> None:
        """Finish the clips whose frames are all written, in order."""
        while self._closing and all(future.done() for future in self._writing[self._closing[0][0]]):
            self._finish(*self._closing.pop(0))

    def finish_all(self) -> None:
        while self._closing:
            self._finish(*self._closing.pop(0))

    def settle(self) -> None:
        """Let frames under way end, so that nobody writes into folders that are being removed."""
        for futures in self._writing.values():
            for future in futures:
                if not future.cancel():
                    future.exception()
        self._writing.clear()

    def _finish(self, clip: int, numbers: list[int]) -> None:
        for future in self._writing.pop(clip):
            future.result()
        path, cutting = self._unfinished(clip), self._cutting
        note = {
            'first_frame': numbers[0],
            'frames': len(numbers),
            'size': [n // cutting.multiple * cutting.multiple for n in self._source.size],
            'sha256': {kind: sha256_of(sorted((path / kind).iterdir())) for kind in cutting.kinds},
        }
        left_out = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
        if left_out:
            note['left_out'] = left_out
        write_json(path / 'clip.json', note)
        with writing(path):
            os.replace(path, path.with_suffix(''))
        self.finished[self._name_of(clip)] = note

    def _name_of(self, clip: int) -> str:
        return f'{self._name}_{clip:04d}'

    def _unfinished(self, clip: int) -> Path:
        return self._folder / f'{self._name_of(clip)}.tmp'


def _start(folder: Path, cutting: Cutting) -> None:
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        for kind in cutting.kinds:
            (folder / kind).mkdir(parents=True)


def _write_frame(frame: np.ndarray, targets: list[tuple[Path, str]], cutting: Cutting) -> None:
    for kind, version in cutting.versions(frame).items():
        png = encode_png(version)
        for folder, file in targets:
            with writing(folder / kind / file):
                (folder / kind / file).write_bytes(png)


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
