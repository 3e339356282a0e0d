"""What `tables run` is asked for, beside tables and rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import basicsr_ssm
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import sha256_of
from basicsr_ssm.tables.entries.entry import Row

SPYNET = 'SpyNet'


@dataclass(frozen=True)
class Request:
    """How rows are run.

    Attributes:
        output: folder of results, option files, trainings and measurements.
        options: folder of option files, with train/, test/ and ablation/.
        iterations: length of all trainings; None for that of their option files.
        settings: KEY:KEY=VALUE, for the option files and measurements that have such a key.
        data: data sets' folders: 'hyperkvasir' → what stands for datasets/hyperkvasir.
        weights: row, or row/test → checkpoint that is tested in place of a training; SpyNet → flow network.
        only: these parts alone: 'trained', 'measured', or names of tests and measurements; empty: all.
        replace: run tests and measurements again that have results.
        program: what runs `basicsr-ssm`.
    """

    output: Path
    options: Path
    iterations: int | None = None
    settings: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    replace: bool = False
    program: tuple[str, ...] = (sys.executable, '-m', 'basicsr_ssm')

    @property
    def runs(self) -> Path:
        """Folder of trainings, tests and measurements, which tables share."""
        return self.output / 'runs'

    def wants(self, kind: str, part: str) -> bool:
        return not self.only or bool({kind, part} & set(self.only))

    def place(self, value: object) -> object:
        """Options with the user's folders for data sets in their strings."""
        if isinstance(value, dict):
            return {key: self.place(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.place(item) for item in value]
        for name, folder in self.data.items():
            if isinstance(value, str) and f'{value}/'.startswith(f'datasets/{name}/'):
                return f'{folder}{value.removeprefix(f"datasets/{name}")}'
        return value

    def weights_name(self, row: Row, part: str) -> str | None:
        """By which name --weights has a checkpoint for a test, or a measurement, of a row."""
        names = (f'{row.id}/{part}', f'{row.title}/{part}', row.id, row.title)
        return next((name for name in names if name in self.weights), None)

    def weights_of(self, row: Row, part: str) -> Path | None:
        return self.weights.get(self.weights_name(row, part))


def weights_checksum(path: Path) -> str:
    """SHA-256, in hex, of a checkpoint of the user's.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return sha256_of([path])
    except OSError as error:
        raise UserError(f'--weights {path}: {error.strerror}') from error


def find_options() -> Path:
    """The folder of option files: the checkout's, or the one in the current directory.

    Raises:
        UserError: there is none.
    """
    for folder in (Path(basicsr_ssm.__file__).parents[1] / 'options', Path('options')):
        if (folder / 'train').is_dir() and (folder / 'ablation').is_dir():
            return folder.resolve()
    raise UserError('no options/ with train/, test/ and ablation/ here: run in a checkout, or give --options DIR')
