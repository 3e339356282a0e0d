"""What is to be done for a row: parts, each of them one step or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from basicsr_ssm.tables.entries.entry import Entry, Row

RECORD = 'finished.json'


@dataclass(frozen=True)
class Step:
    """One command. It is finished when its record is there and has its digest.

    A training whose checkpoint is gone is run again where what comes after it is to be run.

    Attributes:
        kind: 'train', 'test', 'measure' or 'flow-error'.
        folder: its own; holds the record, the log and what it makes.
        digest: of all that decides its result.
        arguments: of basicsr-ssm.
        files: written before it starts: path → text.
        figures: reads what it has left.
    """

    kind: str
    folder: Path
    digest: str
    arguments: tuple[str, ...]
    files: Mapping[Path, str]
    figures: Callable[[], dict] = dict

    @property
    def record(self) -> Path:
        return self.folder / RECORD

    @property
    def checkpoint(self) -> Path | None:
        """What a training leaves for the commands that start from it; None for other commands."""
        return self.folder / 'training' / 'models' / 'net_g_latest.pth' if self.kind == 'train' else None

    @property
    def log(self) -> Path:
        return self.folder / 'log.txt'


@dataclass(frozen=True)
class Part:
    """A test, with the trainings before it, or a measurement.

    Attributes:
        name: of the test or measurement in the row.
        steps: in their order; the last one's figures are the part's.
        about: for the result: option files, changes, schedule, seed, weights.
        data: roots of the data sets that it reads.
    """

    name: str
    steps: tuple[Step, ...]
    about: Mapping[str, object]
    data: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return self.steps[-1].digest


@dataclass
class Job:
    """A row that is to be run.

    Attributes:
        parts: what is left to do.
        kept: names of parts whose results are there.
        lacking: part → what it needs.
        settings, data, weights: which of the request's this row uses.
    """

    entry: Entry
    row: Row
    parts: list[Part] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f'{self.entry.name}/{self.row.id}'
