"""Measurements of one network: what it costs, how fast it is, what memory it takes, how far it sees.

Each is called as ``MEASUREMENTS[name](network, settings, folder)``: a ``network_g`` of an option file, settings of the
measurement (each module says which; an unknown one is a UserError that lists them), and a folder that is there, for
pictures. Each returns what JSON can hold. What a measurement needs is imported when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from basicsr_ssm.tables.measurements.settings import read_settings

Measurement = Callable[[dict, dict, Path], dict]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f'basicsr_ssm.tables.measurements.{name}')


def _measure(name: str, network: dict, settings: dict, folder: Path) -> dict:
    return _module(name).measure(network, settings, Path(folder))


def check_settings(name: str, settings: dict) -> None:
    """Raises a UserError for a setting that a measurement does not have, or a bad value.

    Whether the device is there is seen where the measurement is made, which may be another machine.
    """
    read_settings(_module(name).Settings, name, settings)


MEASUREMENTS: dict[str, Measurement] = {
    name: partial(_measure, name) for name in ('complexity', 'latency', 'memory', 'receptive_field')
}
