"""Rows side by side, one on each GPU, without threads: one loop looks after all commands."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from basicsr_ssm.errors import UserError
from basicsr_ssm.file_lock import lock_file
from basicsr_ssm.files import write_file, write_json, writing
from basicsr_ssm.tables.running import ends_with_parent, provenance
from basicsr_ssm.tables.running.data_checksum import data_checksum
from basicsr_ssm.tables.running.plan import Job, Part, Step
from basicsr_ssm.tables.running.request import Request
from basicsr_ssm.tables.running.results import store_part

POLL = 0.2  # seconds
GRACE = 10  # seconds, for commands that are told to end


@dataclass
class Running:
    """A command on its way; what it says begins at `said_from` in the log, in bytes."""

    step: Step
    process: subprocess.Popen
    lock: IO
    said_from: int
    started: datetime
    clock: float


class StepError(UserError):
    """A command that failed."""

    def __init__(self, step: Step, message: str):
        super().__init__(message)
        self.step = step


@dataclass
class Seen:
    """Commands of this run, by their records: those that have ended well, and what was wrong with the others."""

    done: set[Path] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)


class Lane:
    """A GPU, and the row that it is given."""

    def __init__(self, gpu: str | None):
        self.gpu = gpu
        self.job: Job | None = None
        self.running: Running | None = None


def run_jobs(jobs: list[Job], request: Request, gpus: list[str] | None, say: Callable[[str], None]) -> dict[str, str]:
    """Do what is left of all jobs; what fails does not stop the rest, but what needs it.

    Every finished command leaves a record beside what it made, every finished part is stored in the row's result: a run
    that was killed goes on from there. Commands end when this process does. Two rows, or two such runs, that share a
    training do it once: the second one waits while it lasts.

    Args:
        gpus: one lane for each; None: one lane.

    Returns:
        Job → what went wrong.
    """
    waiting, failed = deque(job for job in jobs if job.parts), {}
    lanes = [Lane(gpu) for gpu in gpus or [None]]
    seen = Seen()
    try:
        while waiting or any(lane.job for lane in lanes):
            for lane in lanes:
                try:
                    _advance(lane, waiting, request, seen, say)
                except UserError as error:
                    part = lane.job.parts[0].name
                    say(f'{lane.job.name}: {part} failed: {error}')
                    failed[lane.job.name] = f'{failed.get(lane.job.name, "")}; {part}: {error}'.removeprefix('; ')
                    _drop(lane.job, error, seen)
            if any(lane.running for lane in lanes) or waiting:
                time.sleep(POLL)
    finally:
        _stop([lane.running for lane in lanes if lane.running])
    return failed


def _advance(lane: Lane, waiting: deque[Job], request: Request, seen: Seen, say: Callable[[str], None]) -> None:
    """Look after the lane's command, and start what can be started."""
    if lane.running is not None:
        if lane.running.process.poll() is None:
            return
        running, lane.running = lane.running, None
        try:
            _finish(running, lane.gpu)
        finally:
            running.lock.close()
        seen.done.add(running.step.record)
    if lane.job is None:
        if not waiting:
            return
        lane.job = waiting.popleft()
    while lane.job.parts:
        part = lane.job.parts[0]
        step = _first_left(part, request, seen)
        if step is None:
            _store(lane.job, part, request)
            say(f'{lane.job.name}: {part.name} done')
            lane.job.parts.pop(0)
            continue
        if step.record in seen.failed:  # in another row
            raise StepError(step, seen.failed[step.record])
        lock = _lock(step.folder)
        if lock is None:  # somebody else is at it: another row first
            waiting.append(lane.job)
            lane.job = None
            return
        if _first_left(part, request, seen) is not step:  # done by whom we waited for
            lock.close()
            continue
        try:
            lane.running = _start(step, lane, lock, request)
        except BaseException:
            lock.close()
            raise
        where = '' if lane.gpu is None else f' on GPU {lane.gpu}'
        say(f'{lane.job.name}: {step.kind}{where}, log: {step.log}')
        return
    lane.job = None


def _drop(job: Job, error: UserError, seen: Seen) -> None:
    """Leave out the part that failed, and those that begin with the same command."""
    step = getattr(error, 'step', None)
    if step is not None:
        seen.failed[step.record] = str(error)
    job.parts = [part for part in job.parts[1:] if step is None or all(s.record != step.record for s in part.steps)]


def _first_left(part: Part, request: Request, seen: Seen) -> Step | None:
    """What is to be run next: where a command starts from a checkpoint that was cleared away, its training."""
    first, is_left = None, False
    for step in reversed(part.steps):
        is_gone = step.checkpoint is not None and not step.checkpoint.exists()
        is_left = not _is_done(step, request, seen) or is_left and is_gone
        first = step if is_left else first
    return first


def _is_done(step: Step, request: Request, seen: Seen) -> bool:
    # --replace means once in a run
    if request.replace and step.kind != 'train' and step.record not in seen.done:
        return False
    record = _record(step)
    return record is not None and record['digest'] == step.digest


def _record(step: Step) -> dict | None:
    try:
        return json.loads(step.record.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def _lock(folder: Path) -> IO | None:
    """Held until it is closed, or its process ends in whatever way; None where another holds it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return lock_file(folder / '.lock')


def _start(step: Step, lane: Lane, lock: IO, request: Request) -> Running:
    argv = [*request.program, *step.arguments]
    started = datetime.now(timezone.utc)
    for path, text in step.files.items():
        write_file(path, text.encode())
    with writing(step.log), step.log.open('a', encoding='utf-8') as log:
        log.write(f'{started:%Y-%m-%d %H:%M:%S} {shlex.join(argv)}\n')
        log.flush()
        said_from = os.fstat(log.fileno()).st_size
        process = subprocess.Popen(
            [sys.executable, ends_with_parent.__file__, str(os.getpid()), *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=provenance.environment(lane.gpu),
        )
    return Running(step, process, lock, said_from, started, time.monotonic())


def _finish(running: Running, gpu: str | None) -> None:
    step, status = running.step, running.process.returncode
    if status:
        # the kernel kills what asks for more memory than there is
        why = f'was killed by signal {-status}' if status < 0 else f'ended with status {status}'
        raise StepError(step, f'{step.kind} {why}: {_last_words(step.log, running.said_from)} ({step.log})')
    if step.checkpoint and not step.checkpoint.exists():  # or it would be begun again and again
        raise StepError(step, f'{step.kind} left no {step.checkpoint} ({step.log})')
    record = {
        'kind': step.kind,
        'digest': step.digest,
        'started': running.started.isoformat(timespec='seconds'),
        # of the last of several, where it was interrupted
        'seconds': round(time.monotonic() - running.clock, 1),
        'starts': _starts(step),
        'machine': provenance.machine(gpu),
        'figures': step.figures(),
    }
    write_json(step.record, record)


def _starts(step: Step) -> int:
    command = ' '.join(shlex.quote(word) for word in step.arguments)
    return sum(line.rstrip().endswith(command) for line in step.log.open(encoding='utf-8', errors='replace'))


def _last_words(log: Path, said_from: int) -> str:
    with log.open('rb') as file:
        file.seek(said_from)  # earlier attempts failed of something else
        text = file.read().decode('utf-8', errors='replace')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith('error: ')]
    return (errors or lines or ['it said nothing'])[-1]


def _store(job: Job, part: Part, request: Request) -> None:
    records = [_record(step) for step in part.steps]
    content = {
        'digest': part.digest,
        'figures': records[-1]['figures'],
        **part.about,
        'data': {root: data_checksum(Path(root).expanduser()) for root in part.data},
        'steps': [{key: value for key, value in record.items() if key != 'figures'} for record in records],
    }
    store_part(request.output, job.entry, job.row, part.name, content)


def _stop(commands: list[Running]) -> None:
    for running in commands:
        running.process.terminate()
    for running in commands:
        try:
            running.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
        running.lock.close()
