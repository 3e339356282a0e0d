"""Results of rows, a JSON file for each."""

from __future__ import annotations

import json
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.file_lock import lock_file
from basicsr_ssm.files import write_json, writing
from basicsr_ssm.tables.entries.entry import Entry, Row


def result_path(output: Path, entry: Entry, row: Row) -> Path:
    return output / entry.name / f'{row.id}.json'


def read_result(output: Path, entry: Entry, row: Row) -> dict:
    """{'table', 'row', 'title', 'parts': {test or measurement: …}}; without parts where there is none yet.

    Raises:
        UserError: the file is damaged.
    """
    path = result_path(output, entry, row)
    try:
        result = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(result['parts'], dict):
            raise ValueError('no parts')
    except FileNotFoundError:
        return {'table': entry.name, 'row': row.id, 'title': row.title, 'parts': {}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is no result any more; move it away: {error}') from None
    return result


def store_part(output: Path, entry: Entry, row: Row, name: str, part: dict) -> None:
    """Add a part, or put it in the place of the old one; parts that other processes store meanwhile stay."""
    path = result_path(output, entry, row)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(path.parent / '.lock', wait=True):
        result = read_result(output, entry, row)
        result['parts'][name] = part
        write_json(path, result)
