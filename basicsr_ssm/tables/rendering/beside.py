"""The paper's figures and ours, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from basicsr_ssm.errors import UserError
from basicsr_ssm.models.weight_average import untrained_share
from basicsr_ssm.tables.entries.entry import Entry, Metric, Row
from basicsr_ssm.tables.published_figures import published
from basicsr_ssm.tables.rendering.schedule_changes import of_schedule
from basicsr_ssm.tables.running.changes import Change, stored_changes
from basicsr_ssm.tables.running.results import read_result, result_path

_OF_THE_MACHINE = ('num_worker_per_gpu', 'pin_memory', 'persistent_workers')
NOT_RUN, NOTHING, OUT_OF_MEMORY = 'not run', '–', 'out of memory'


@dataclass
class Line:
    """A row as it is shown.

    Attributes:
        title: its name.
        row: ours; None for a method that the paper alone has.
        paper, ours: column → figure.
        notes: numbers of the notes on what is not as in the paper.
        parts: of the stored result.
    """

    title: str
    row: Row | None
    paper: dict[str, float] = field(default_factory=dict)
    ours: dict[str, float] = field(default_factory=dict)
    notes: list[int] = field(default_factory=list)
    parts: dict[str, dict] = field(default_factory=dict)

    def difference(self, metric: Metric) -> float | None:
        if metric.key in self.paper and metric.key in self.ours:
            return self.ours[metric.key] - self.paper[metric.key]
        return None

    def our_cell(self, metric: Metric) -> str:
        """Our figure; 'not run' where there could be one, a dash where there is none to be had."""
        if metric.key in self.ours:
            return f'{self.ours[metric.key]:.{metric.digits}f}'
        if self.parts.get(metric.part, {}).get('figures', {}).get('out_of_memory'):
            return OUT_OF_MEMORY
        return NOT_RUN if self.row is not None and metric.part in self.row.parts() else NOTHING


@dataclass
class Beside:
    """A table or figure with all that is shown of it."""

    entry: Entry
    heading: str
    source: str
    lines: list[Line]
    notes: list[str]
    remarks: list[str]

    def compared(self, metric: Metric) -> bool:
        """Whether the paper has this column."""
        return any(metric.key in line.paper for line in self.lines)


def beside(entry: Entry, output: Path) -> Beside:
    """The paper's rows in their order, each with ours; then rows that the paper does not have.

    Raises:
        UserError: a damaged result.
    """
    paper = published(entry.name)
    ours = {row.id: read_result(output, entry, row)['parts'] for row in entry.rows}
    lines, placed = [], set()
    for title, figures in paper.rows.items():
        rows = [row for row in entry.rows if (row.published or row.title) == title]
        placed.update(row.id for row in rows)
        lines += [Line(row.title, row, figures, parts=ours[row.id]) for row in rows] or [Line(title, None, figures)]
    lines += [Line(row.title, row, parts=ours[row.id]) for row in entry.rows if row.id not in placed]
    if entry.plot == 'lines':  # points of one series stay together
        lines.sort(key=lambda line: [row.id for row in entry.rows].index(line.row.id))
    notes: list[str] = []
    for line in lines:
        try:
            line.ours = _figures(entry, line.parts)
        except (TypeError, ValueError) as error:
            path = result_path(output, entry, line.row)
            raise UserError(f'{path} is no result any more; move it away: {error}') from None
        for note in _notes(line):
            if note not in notes:
                notes.append(note)
            line.notes.append(notes.index(note) + 1)
    remarks = [text for text in (paper.note, entry.note, *_machines(lines)) if text]
    return Beside(entry, f'{paper.paper}, {paper.where}: {entry.title}', paper.source, lines, notes, remarks)


def _figures(entry: Entry, parts: dict[str, dict]) -> dict[str, float]:
    figures = {}
    for metric in entry.metrics:
        value = parts.get(metric.part, {}).get('figures', {})
        for name in metric.figure.split('/'):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            figures[metric.key] = float(value) / metric.unit
    return figures


def _notes(line: Line) -> list[str]:
    """What was not as the row has it: schedule, weights, options, data; of which parts, if not of all."""
    notes, options, data = defaultdict(list), defaultdict(list), defaultdict(list)
    for name, part in line.parts.items():
        for text in _notes_of_part(line.row, name, part):
            notes[text].append(name)
        shares = _shares(part)
        for _, change in stored_changes(part):
            if change.key.rpartition('.')[2].startswith('dataroot_'):
                data[_data_folder(change)].append(name)
            elif not (_local(change) or of_schedule(change, shares)):
                options[str(change)].append(name)
    inside = {folder for folder in data if any(str(above) in data for above in Path(folder).parents)}
    texts = _with_parts(line, notes)
    if options:
        texts.append(f'with {"; ".join(_with_parts(line, options))}')
    if data:
        folders = {folder: names for folder, names in data.items() if folder not in inside}
        texts.append(f'data: {", ".join(_with_parts(line, folders))}')
    return texts


def _notes_of_part(row: Row, name: str, part: dict) -> Iterator[str]:
    """Of its schedule and weights."""
    for schedule in [*part.get('before', []), part.get('schedule')]:
        if schedule and schedule['iterations'] != schedule['published_iterations']:
            done, of = schedule['iterations'], schedule['published_iterations']
            yield f'NOT THE SCHEDULE OF THE PAPER: {done} of {of} iterations'
    if share := _untrained(part):
        yield f'{share:.0%} of the averaged weights that were tested are untrained (train.ema_decay)'
    weights = part.get('weights')
    if weights and 'option_files' in part:
        yield f'not trained here: weights {Path(weights["file"]).name}, SHA-256 {weights["sha256"][:8]}…'
    elif name in row.measured and row.measured[name].weights:
        yield f'weights {Path(weights["file"]).name}' if weights else 'weights as initialised, not trained'
    elif weights and name in row.measured:  # of a data set's flow
        yield f'flow network {Path(weights["file"]).name}, SHA-256 {weights["sha256"][:8]}…'


def _with_parts(line: Line, texts: dict[str, list[str]]) -> list[str]:
    """Each text, after the names of its parts where other tests, or other measurements, of the row have it not."""
    if line.row is None:
        return []
    tests = line.parts.keys() - line.row.measured.keys()
    kinds = tests, line.parts.keys() - tests
    said = []
    for text, names in texts.items():
        whole = all(kind <= set(names) for kind in kinds if kind & set(names))
        said.append(text if whole else f'{", ".join(dict.fromkeys(names))}: {text}')
    return said


def _shares(part: dict) -> list[float]:
    """How long its trainings were, of what their option files have."""
    schedules = [*part.get('before', []), part.get('schedule')]
    return [schedule['iterations'] / schedule['published_iterations'] for schedule in schedules if schedule]


def _untrained(part: dict) -> float:
    """How much of the weights that were tested is of before the training."""
    files = {file['kind']: yaml.safe_load(file['text']) for file in part.get('option_files', {}).values()}
    if 'train' not in files or not (files.get('test', {}).get('val') or {}).get('use_ema', True):
        return 0
    return untrained_share(files['train']['train'], files['train'].get('path'))


def _local(change: Change) -> bool:
    """Whether it is a matter of the machine alone: its workers, and where it has the same flow network."""
    name = change.key.rpartition('.')[2]
    if name == 'spynet_path':
        return _file_name(change.value) == _file_name(change.recipe)
    return name in _OF_THE_MACHINE


def _file_name(path: object) -> object:
    return Path(path).name if isinstance(path, str) else path


def _data_folder(change: Change) -> str:
    """/clips/train/GT in place of datasets/reds/train/GT → '/clips'."""
    new = str(None if change.removed else change.value)
    parts, before = list(Path(new).parts), [] if change.added else list(Path(str(change.recipe)).parts)
    while parts and before and parts[-1] == before[-1]:
        del parts[-1], before[-1]
    return str(Path(*parts)) if parts else new


def _machines(lines: list[Line]) -> list[str]:
    """On what ours was measured or tested."""
    seen: dict[str, None] = {}
    for line in lines:
        for part in line.parts.values():
            for step in part.get('steps', []):
                machine = step.get('machine', {})
                card = machine.get('card') or 'CPU'
                seen[f'{card}, torch {machine.get("torch")}'] = None
    return [f'Ours on: {"; ".join(seen)}.'] if seen else []
