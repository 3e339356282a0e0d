"""`basicsr-ssm tables run`: rows of the papers' tables, trained, tested and measured."""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.list_command import OUTPUT
from basicsr_ssm.tables.running import KINDS

if TYPE_CHECKING:
    from basicsr_ssm.tables.entries.entry import Row
    from basicsr_ssm.tables.running.plan import Job
    from basicsr_ssm.tables.running.request import Request

HELP = "run rows of the papers' tables: train, test, measure; what is finished is kept, what was interrupted goes on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    several = partial(add, action='extend', nargs='+', default=[])
    add('names', nargs='+', metavar='NAME', help='tables or figures of `tables list`, or all')
    several('--row', metavar='ROW', help='only these rows')
    only = 'only what is trained and tested, only what is measured, or only these tests and measurements'
    several('--only', metavar='trained|measured|NAME', help=only)
    add('--output', type=Path, default=OUTPUT, metavar='DIR', help=f'results and runs (default: {OUTPUT})')
    add('--options', type=Path, metavar='DIR', help="folder of option files (default: the checkout's, or ./options)")
    several('--data', metavar='NAME=DIR', help='hyperkvasir=DIR stands for datasets/hyperkvasir')
    weights = 'test a checkpoint in place of a training; SpyNet=FILE is the flow network of the flow error'
    several('--weights', metavar='ROW[/TEST]=FILE', help=weights)
    iterations = 'shorten all trainings to this length; such results are marked'
    add('--iterations', type=_positive, metavar='N', help=iterations)
    settings = 'change options, as --force_yml does, or settings of a measurement: latency:frames=6; such are marked'
    several('--set', metavar='KEY:KEY=VALUE', dest='settings', help=settings)
    add('--gpus', type=_gpus, metavar='0,1', help='run rows side by side, one on each of these GPUs')
    add('--slurm', action='store_true', help='hand each row to sbatch')
    add('--dry-run', action='store_true', help='say what would be done, and write nothing')
    add('--replace', action='store_true', help='test and measure again what has results')


def run(args: argparse.Namespace) -> int:
    """0, or 1 where a row failed; the others are run all the same."""
    from basicsr_ssm.tables.entries import find_entries, find_rows
    from basicsr_ssm.tables.running.jobs import plan_jobs
    from basicsr_ssm.tables.running.lanes import run_jobs
    from basicsr_ssm.tables.running.provenance import check_gpus
    from basicsr_ssm.tables.running.slurm import submit

    entries = find_entries(args.names)
    if args.row and len(entries) > 1:
        raise UserError('--row: give one table alone with it')
    if args.gpus and args.slurm:
        raise UserError('--gpus: SLURM gives each job its GPU')
    if args.gpus:
        check_gpus(args.gpus)
    request = _request(args)
    jobs = plan_jobs([(entry, row) for entry in entries for row in find_rows(entry, args.row)], request)
    _check_used(jobs, request)
    if args.dry_run:
        _show(jobs, request, args)
        return 0
    for job in jobs:
        for part, reason in job.lacking.items():
            _say(f'{job.name}: {part} not run: {reason}')
    # before jobs are run: what is done of their parts is removed
    finished = [job for job in jobs if job.kept and not job.parts and not job.lacking]
    for job in finished:
        _say(f'{job.name}: finished before')
    lacking = sum(bool(job.lacking) for job in jobs)
    left = [job for job in jobs if job.parts]
    failed = (
        submit(left, request, lambda job: _again(args, job, request), _say)
        if args.slurm
        else run_jobs(left, request, args.gpus, _say)
    )
    return _summary(len(left), len(finished), lacking, failed, args.slurm)


def _request(args: argparse.Namespace) -> Request:
    from basicsr_ssm.tables.running.request import Request, find_options

    return Request(
        output=args.output.resolve(),
        options=args.options or find_options(),
        iterations=args.iterations,
        settings=tuple(args.settings),
        data=_named('--data', args.data),
        weights={name: Path(file) for name, file in _named('--weights', args.weights).items()},
        only=tuple(args.only),
        replace=args.replace,
    )


def _named(option: str, words: list[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition('=')
        if not (name and equals and value) or name in result:
            raise UserError(f'{option} {word}: expected NAME={"DIR" if option == "--data" else "FILE"}, each name once')
        result[name] = value.rstrip('/') or '/'
    return result


def _check_used(jobs: list[Job], request: Request) -> None:
    """Refuse what no part that is asked for takes, whether it is left to do or finished."""
    if request.iterations is not None and not any(_is_trained(job.row, request) for job in jobs):
        raise UserError('--iterations: none of these rows is trained')
    for name in request.weights:
        if not any(name in job.weights for job in jobs if job.parts or job.kept):
            raise UserError(f'--weights {name}: nothing that these rows are asked for takes it')


def _is_trained(row: Row, request: Request) -> bool:
    tests = ((trained, test) for trained in row.trained if trained.train for test in trained.tests)
    return any(request.wants('trained', test) and request.weights_of(row, test) is None for _, test in tests)


def _show(jobs: list[Job], request: Request, args: argparse.Namespace) -> None:
    from basicsr_ssm.tables.running.changes import stored_changes
    from basicsr_ssm.tables.running.slurm import script

    for job in jobs:
        print(f'{job.name} ({job.row.title})')
        for name in job.kept:
            print(f'  {name}: finished before')
        for name, reason in job.lacking.items():
            print(f'  {name}: {reason}')
        if args.slurm and job.parts:
            print(script(job, request, _again(args, job, request)))
            continue
        for part in job.parts:
            print(f'  {part.name}:')
            for step in part.steps:
                print(f'    basicsr-ssm {shlex.join(step.arguments)}')
            for source, change in stored_changes(part.about):
                print(f'      {source}: {change}')


def _again(args: argparse.Namespace, job: Job, request: Request) -> list[str]:
    """The arguments of this command for one row: those that it uses."""
    words = ['--output', str(args.output.resolve())]
    iterations = args.iterations if _is_trained(job.row, request) else None
    for option, value in (('--iterations', iterations), ('--options', args.options)):
        words += [option, str(value)] if value is not None else []
    used = {*job.data, *job.weights}
    parts = {*KINDS, *job.row.parts()}
    for option, values in (
        ('--only', [name for name in args.only if name in parts]),
        ('--data', [word for word in args.data if word.partition('=')[0] in used]),
        ('--weights', [word for word in args.weights if word.partition('=')[0] in used]),
        ('--set', job.settings),
    ):
        words += [option, *values] if values else []
    return words + (['--replace'] if args.replace else [])


def _summary(count: int, finished: int, lacking: int, failed: dict[str, str], slurm: bool) -> int:
    """Prints it, and returns the exit status; `count` jobs had something left."""
    verb = 'submitted' if slurm else 'run'
    done = f'{count - len(failed)} rows {verb}, {finished} finished before'
    _say(f'{done}, {lacking} lack weights, {len(failed)} failed')
    for name, reason in failed.items():
        _say(f'  {name}: {reason}')
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number of at least 1')
    return int(text)


def _gpus(text: str) -> list[str]:
    words = [word.strip() for word in text.split(',')]
    gpus = [str(int(word)) for word in words if word.isdecimal()]
    if len(set(gpus)) < len(words):
        raise argparse.ArgumentTypeError(f'{text}: expected different GPUs by their numbers, as in 0,1')
    return gpus
