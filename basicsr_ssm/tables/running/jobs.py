"""What is left to do for rows, given the results that are there."""

from __future__ import annotations

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.entries.entry import Entry, Row
from basicsr_ssm.tables.running.expansion import expand
from basicsr_ssm.tables.running.option_file import Settings
from basicsr_ssm.tables.running.plan import Job, Part
from basicsr_ssm.tables.running.request import SPYNET, Request
from basicsr_ssm.tables.running.results import read_result, result_path


def plan_jobs(rows: list[tuple[Entry, Row]], request: Request) -> list[Job]:
    """A job for each row.

    Raises:
        UserError: a setting, --data or --weights that no row takes, options that cannot be run, or a result that was
            made with other ones.
    """
    _check_weights([row for _, row in rows], request)
    settings = Settings(request.settings)
    expanded = [(entry, row, *expand(row, request, settings)) for entry, row in rows]
    settings.check()
    return [_plan(*of_row, request) for of_row in expanded]


def _plan(entry: Entry, row: Row, parts: list[Part], lacking: dict[str, str], request: Request) -> Job:
    there = read_result(request.output, entry, row)['parts']
    job = Job(entry, row, lacking={name: reason for name, reason in lacking.items() if name not in there})
    for part in parts:
        if part.name not in there or request.replace:
            job.parts.append(part)
        elif there[part.name]['digest'] == part.digest:
            job.kept.append(part.name)
        else:
            raise UserError(
                f'{result_path(request.output, entry, row)} has a result of {part.name} that was made with other '
                'options; choose another --output, or --replace it'
            )
    return job


def _check_weights(rows: list[Row], request: Request) -> None:
    known = {name for row in rows for name in (row.id, row.title)}
    parts = {f'{name}/{part}' for row in rows for name in (row.id, row.title) for part in row.parts()}
    for name in request.weights:
        if name not in known | parts | {SPYNET}:
            raise UserError(f'--weights {name}: none of these rows is called so; rows: {", ".join(sorted(known))}')
