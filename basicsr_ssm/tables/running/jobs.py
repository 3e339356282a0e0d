"""What is left to do for rows, given the results that are there."""

from __future__ import annotations

from basicsr_ssm.errors import UserError
from basicsr_ssm.options.errors import did_you_mean
from basicsr_ssm.tables.entries.entry import Entry, Row
from basicsr_ssm.tables.running import KINDS
from basicsr_ssm.tables.running.expansion import expand
from basicsr_ssm.tables.running.option_file import Settings
from basicsr_ssm.tables.running.plan import Job, Part
from basicsr_ssm.tables.running.request import SPYNET, Request
from basicsr_ssm.tables.running.results import read_result, result_path


def plan_jobs(rows: list[tuple[Entry, Row]], request: Request) -> list[Job]:
    """A job for each row.

    Raises:
        UserError: something of the request that no row uses, options that cannot be run, or a result that was made with
            other ones.
    """
    _check_names(rows, request)
    jobs, refused = [], dict.fromkeys(request.settings)
    for entry, row in rows:
        settings = Settings(request.settings)
        parts, lacking = expand(row, request, settings)
        job = Job(entry, row, parts, lacking=lacking)
        job.settings = [setting for setting in request.settings if setting in settings.taken]
        job.data = [name for name in request.data if any(_lies_in(part, request.data[name]) for part in parts)]
        job.weights = _weights_used(row, parts, request)
        refused = {setting: settings.reason(setting) for setting in refused if setting not in settings.taken}
        jobs.append(job)
    for reason in refused.values():
        raise reason
    for name in request.data:
        if not any(name in job.data for job in jobs):
            raise UserError(f'--data {name}: no option file of these rows has anything in datasets/{name}')
    for job in jobs:
        _leave_out_finished(job, request)
    return jobs


def _leave_out_finished(job: Job, request: Request) -> None:
    there = read_result(request.output, job.entry, job.row)['parts']
    job.lacking = {name: reason for name, reason in job.lacking.items() if name not in there}
    for part in list(job.parts):
        if part.name not in there or request.replace:
            continue
        if there[part.name]['digest'] != part.digest:
            path = result_path(request.output, job.entry, job.row)
            raise UserError(
                f'{path} has a result of {part.name} that was made with other options; choose another --output, or '
                '--replace it'
            )
        job.parts.remove(part)
        job.kept.append(part.name)


def _lies_in(part: Part, folder: str) -> bool:
    return any(f'{root}/'.startswith(f'{folder}/') for root in part.data)


def _takes_weights(row: Row) -> list[str]:
    """Its tests and measurements that a checkpoint of the user's may be for."""
    weighted = [name for name, measured in row.measured.items() if measured.weights]
    return [*weighted, *(test for trained in row.trained for test in trained.tests)]


def _weights_used(row: Row, parts: list[Part], request: Request) -> list[str]:
    chosen = {part.name for part in parts} & set(_takes_weights(row))
    names = {request.weights_name(row, name) for name in chosen}
    if any(measured.data is not None for measured in row.measured.values()):
        names.add(SPYNET)
    return [name for name in request.weights if name in names]


def _check_names(rows: list[tuple[Entry, Row]], request: Request) -> None:
    known = [name for _, row in rows if _takes_weights(row) for name in (row.id, row.title)]
    parts = {f'{name}/{part}' for _, row in rows for name in (row.id, row.title) for part in _takes_weights(row)}
    flows = {SPYNET for _, row in rows for measured in row.measured.values() if measured.data is not None}
    for name in request.weights:
        if name not in {*known, *parts, *flows}:
            raise UserError(f'--weights {name}: no row that takes weights is called so; {did_you_mean(name, known)}')
    own = {*KINDS, *(part for _, row in rows for part in row.parts())}
    for name in request.only:
        if name not in own:
            raise UserError(f'--only {name}: these rows have no such part; {did_you_mean(name, own)}')
