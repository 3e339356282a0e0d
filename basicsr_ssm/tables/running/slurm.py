"""Rows as SLURM jobs: each is `tables run` of one row on one GPU, and goes on where it was when it is requeued."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file, writing
from basicsr_ssm.tables.running.plan import Job
from basicsr_ssm.tables.running.request import Request


def script(job: Job, request: Request, arguments: list[str]) -> str:
    """A job script for sbatch.

    Args:
        arguments: of `tables run`, beside the row's.
    """
    log = (request.output / job.entry.name / f'{job.row.id}.slurm.log').resolve()
    command = [*request.program, 'tables', 'run', job.entry.name, '--row', job.row.id, *arguments]
    path = os.environ.get('PYTHONPATH')
    return '\n'.join(
        [
            '#!/usr/bin/env bash',
            f'#SBATCH --job-name={job.entry.name}-{job.row.id}',
            f'#SBATCH --output={_file_name(log)}',
            '#SBATCH --nodes=1',
            '#SBATCH --ntasks=1',
            '#SBATCH --gpus=1',
            '#SBATCH --cpus-per-task=8',
            '#SBATCH --requeue',
            '#SBATCH --open-mode=append',
            'set -euo pipefail',
            f'cd {shlex.quote(os.getcwd())}',
            *([f'export PYTHONPATH={shlex.quote(path)}'] if path else []),
            f'exec {shlex.join(command)}',
            '',
        ]
    )


def _file_name(path: Path) -> str:
    """As sbatch reads it in a script: % begins a pattern there, a space ends the option, # a line."""
    text = str(path).replace('%', '%%')
    if not set(text) & set(' \t#\'"\\'):
        return text
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def submit(
    jobs: list[Job], request: Request, arguments: Callable[[Job], list[str]], say: Callable[[str], None]
) -> dict[str, str]:
    """Write a script for each job and hand it to sbatch; of rows that share a training the later ones wait.

    Options of sbatch (partition, time, …) come from its own variables: SBATCH_PARTITION, SBATCH_TIMELIMIT, ….

    Args:
        arguments: of `tables run` for a job, beside its row's.

    Returns:
        Job → what went wrong.
    """
    failed, numbers = {}, {}
    for job in jobs:
        path = request.output / job.entry.name / f'{job.row.id}.sbatch'
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, script(job, request, arguments(job)).encode())
        folders = [step.folder for part in job.parts for step in part.steps if step.kind == 'train']
        before = sorted({numbers[folder] for folder in folders if folder in numbers})
        try:
            number = _sbatch(path, before)
        except UserError as error:
            failed[job.name] = str(error)
            say(f'{job.name}: not submitted: {error}')
            continue
        numbers.update(dict.fromkeys(folders, number))
        say(f'{job.name}: job {number}, {path}')
    return failed


def _sbatch(path: Path, before: list[str]) -> str:
    after = [f'--dependency=afterany:{":".join(before)}'] if before else []
    try:
        said = subprocess.run(['sbatch', '--parsable', *after, str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(f'there is no sbatch on this machine; {path} is written') from None
    if said.returncode:
        raise UserError(f'sbatch: {said.stderr.strip() or said.returncode}')
    return said.stdout.strip().split(';')[0]
