"""Measurements of a row, as commands."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.entries.entry import Measured, Row
from basicsr_ssm.tables.measurements import check_settings
from basicsr_ssm.tables.measurements.settings import one_of, read_settings, whole
from basicsr_ssm.tables.running.changes import differences
from basicsr_ssm.tables.running.option_file import Settings, digest
from basicsr_ssm.tables.running.plan import Part, Step
from basicsr_ssm.tables.running.request import SPYNET, Request, weights_checksum

DEFAULT_SPYNET = Path('experiments/pretrained_models/flownet/spynet_sintel_final-3d2a1287.pth')


@dataclass
class _FlowErrorSettings:
    """Options of `tables flow-error` that a row may set."""

    clips: int | None = None
    frames: int | None = None
    field_of_view: bool = False

    def __post_init__(self):
        if self.clips is not None:
            whole('clips', self.clips)
        if self.frames is not None:
            whole('frames', self.frames, 2)
        one_of('field_of_view', self.field_of_view, (True, False))


def measured_part(
    row: Row, name: str, network: Mapping | None, published: Mapping | None, request: Request, settings: Settings
) -> Part:
    """A measurement of a row's network, or of its data set's optical flow.

    Args:
        network: as it is measured, but for the settings; None of a data set's optical flow.
        published: as the row's recipe has it.

    Raises:
        UserError: weights that cannot be read; a setting that the measurement does not have.
    """
    measured = row.measured[name]
    if measured.data is not None:
        return _flow_error(row, name, measured, request, settings)
    options = {'network_g': dict(network), name: dict(measured.settings)}
    recipe = {**copy.deepcopy(options), 'network_g': dict(published)}
    settings.apply(options, ('network_g', name), any_key=(name,))
    check_settings(name, options[name])
    if not measured.weights and 'spynet_path' not in network:  # meant for trainings: no figure depends on it
        options['network_g'].pop('spynet_path', None)
    about: dict = {'network': options['network_g'], 'settings': dict(options[name])}
    weights = request.weights_of(row, name) if measured.weights else None
    if weights is not None:
        about['weights'] = {'file': str(weights), 'sha256': weights_checksum(weights)}
        options[name]['weights'] = str(weights.resolve())
    _note_changes(about, name, options, recipe, weights)
    own = digest([name, about['network'], about['settings'], about.get('weights', {}).get('sha256')])
    folder = request.runs / f'{name}-{options["network_g"]["type"]}-{own[:8]}'
    content = {'measurement': name, 'network': options['network_g'], 'settings': options[name], 'folder': str(folder)}
    file = folder / 'measurement.json'
    step = Step(
        'measure',
        folder,
        own,
        ('tables', 'measure', str(file)),
        {file: json.dumps(content, indent=2) + '\n'},
        lambda: _read(folder / 'figures.json'),
    )
    return Part(name, (step,), {**about, 'folder': folder.name})


def _flow_error(row: Row, name: str, measured: Measured, request: Request, settings: Settings) -> Part:
    """`tables flow-error` of one data set."""
    options = {name: dict(measured.settings)}
    recipe = copy.deepcopy(options)
    settings.apply(options, (name,), any_key=(name,))
    read_settings(_FlowErrorSettings, name, options[name])
    root, spynet = str(request.place(measured.data)), request.weights.get(SPYNET, DEFAULT_SPYNET)
    # a missing flow network is said by the command itself, when the row is run
    weights = {'file': str(spynet), 'sha256': weights_checksum(spynet) if spynet.exists() else None}
    about: dict = {'settings': options[name], 'weights': weights}
    _note_changes(about, name, options, recipe, None)
    own = digest([name, root, options[name], weights['sha256']])
    folder = request.runs / f'{name}-{row.id}-{own[:8]}'
    words = ['--data', f'{row.id}={root}', '--spynet', str(spynet), '--output', str(folder)]
    for key, value in options[name].items():
        if value is not None and value is not False:
            words += [f'--{key.replace("_", "-")}', *(() if value is True else (str(value),))]
    step = Step(
        'flow-error',
        folder,
        own,
        ('tables', 'flow-error', *words),
        {},
        lambda: _read(folder / 'flow_error.json')[row.id]['mean'],
    )
    return Part(name, (step,), {**about, 'folder': folder.name}, (root,))


def _note_changes(about: dict, name: str, options: dict, recipe: dict, weights: Path | None) -> None:
    ours = {**options, name: {key: value for key, value in options[name].items() if key != 'weights'}}
    changes = differences(ours, recipe)
    about['changes'] = {name: [change.stored() for change in changes]} if changes else {}


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: no figures were left ({error})') from None
