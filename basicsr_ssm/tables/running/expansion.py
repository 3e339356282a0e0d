"""A row becomes option files and commands."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.options import check_options, read_options
from basicsr_ssm.tables.entries.entry import Row, Trained
from basicsr_ssm.tables.results.files import read_metrics
from basicsr_ssm.tables.running.changes import Change, differences
from basicsr_ssm.tables.running.measured import measured_part
from basicsr_ssm.tables.running.option_file import Settings, as_text, digest, set_keys
from basicsr_ssm.tables.running.plan import Part, Step
from basicsr_ssm.tables.running.request import Request, weights_checksum
from basicsr_ssm.tables.running.schedule import set_iterations


@dataclass(frozen=True)
class Training:
    """A training as it will be run."""

    options: dict
    latest: Path
    steps: tuple[Step, ...]
    about: dict


def expand(row: Row, request: Request, settings: Settings) -> tuple[list[Part], dict[str, str]]:
    """The parts of a row, and for those that cannot be run, what they need.

    Raises:
        UserError: an option file is missing, or cannot be run as it has become.
    """
    parts, lacking = [], {}
    network = recipe = row.network
    if network is None and row.trained and any(request.wants('measured', name) for name in row.measured):
        network, recipe = _trained_network(row.trained[0], request, settings)
    for name in row.measured:
        if request.wants('measured', name):
            parts.append(measured_part(row, name, network, recipe, request, settings))
    for trained in row.trained:
        for test in trained.tests:
            if not request.wants('trained', test):
                continue
            if trained.train is None and request.weights_of(row, test) is None:
                lacking[test] = f'needs --weights {row.id}=FILE or --weights {row.id}/{test}=FILE'
            else:
                parts.append(_tested(row, trained, test, request, settings))
    return parts, lacking


def _tested(row: Row, trained: Trained, test: str, request: Request, settings: Settings) -> Part:
    source = trained.tests[test]
    options = read_options(request.options / source)
    weights = request.weights_of(row, test)
    training = None
    if weights is None:
        training = _training(trained, request, settings)
        options['network_g'] = copy.deepcopy(training.options['network_g'])
    elif trained.train is not None:
        options['network_g'], _ = _trained_network(trained, request, settings)
    elif trained.network is not None:
        options['network_g'] = dict(trained.network)
    if 'spynet_path' in options['network_g']:
        options['network_g']['spynet_path'] = None  # the checkpoint holds the flow network
    set_keys(options, trained.test_changes)
    recipe = copy.deepcopy(options)
    options = request.place(options)
    kept = ('path', 'name', 'val:val_freq', *(() if trained.train is None else ('network_g',)))
    settings.apply(options, but=kept)
    check_options(options, is_train=False, source=f'{row.id}: options/{source}')
    changes = differences(options, recipe)
    about = {
        'seed': options.get('manual_seed'),
        'changes': {},
        'option_files': {},
        **(training.about if training else {}),
    }
    if weights is None:
        checkpoint, tested = training.latest, training.steps[-1].digest
    else:
        checkpoint, tested = weights.resolve(), weights_checksum(weights)
        about['weights'] = {'file': str(weights), 'sha256': tested}
    if len(options['datasets']) != 1:
        raise UserError(f'{source}: a row takes test files with one data set')
    own = digest([options, tested])
    name = f'test_{Path(source).stem}-{own[:8]}'
    folder = request.runs / name
    options['name'] = name
    options['path'] = {
        **(options.get('path') or {}),
        'pretrain_network_g': str(checkpoint),
        'results_root': str(folder / 'results'),
    }
    file, text = folder / 'test.yml', as_text(options, source, changes)
    _note(about, source, 'test', text, changes)
    (dataset,) = options['datasets'].values()
    step = Step(
        'test',
        folder,
        own,
        ('test', '-opt', str(file)),
        {file: text},
        lambda: _metrics(folder / 'results' / 'metrics.json', dataset['name']),
    )
    data = _roots(options) + (_roots(training.options) if training else ())
    return Part(test, (*(training.steps if training else ()), step), about, tuple(dict.fromkeys(data)))


def _trained_network(trained: Trained, request: Request, settings: Settings) -> tuple[dict, dict]:
    """network_g of a training and of its recipe, without the file of its flow network."""
    if trained.train is None:
        return dict(trained.network), dict(trained.network)
    ours, recipe = (
        {key: value for key, value in options['network_g'].items() if key != 'spynet_path'}
        for options in _train_options(trained, request, settings)
    )
    return ours, recipe


def _train_options(trained: Trained, request: Request, settings: Settings) -> tuple[dict, dict]:
    """The options of a training, and those of its recipe."""
    options = read_options(request.options / trained.train)
    if trained.network is not None:
        kept = {key: value for key, value in options['network_g'].items() if key == 'spynet_path'}
        options['network_g'] = {**trained.network, **kept}
    set_keys(options, trained.changes)
    _on_one_gpu(options)
    recipe = copy.deepcopy(options)
    if request.iterations is not None:
        set_iterations(options, request.iterations)
    options = request.place(options)
    settings.apply(options, but=('name',))
    return options, recipe


def _training(trained: Trained, request: Request, settings: Settings) -> Training:
    earlier = [_training(Trained({}, train=file), request, settings) for file in trained.before]
    options, recipe = _train_options(trained, request, settings)
    changes = differences(options, recipe)
    check_options(options, is_train=True, source=f'options/{trained.train}')
    started = [step.digest for training in earlier for step in training.steps]
    begun_from = _begun_from(options)
    own = digest([{key: value for key, value in options.items() if key != 'name'}, started, *begun_from.values()])
    name = f'{trained.name or Path(trained.train).stem}-{own[:8]}'
    folder = request.runs / name
    options['name'] = name
    options['path'] = {**(options.get('path') or {}), 'experiments_root': str(folder / 'training')}
    if earlier:
        options['path']['pretrain_network_g'] = str(earlier[-1].latest)
    file, text = folder / 'train.yml', as_text(options, trained.train, changes)
    about: dict = {'changes': {}, 'option_files': {}, 'before': [training.about['schedule'] for training in earlier]}
    for training in earlier:
        for key in ('changes', 'option_files'):
            about[key].update(training.about[key])
    _note(about, trained.train, 'train', text, changes)
    about.update(
        seed=options.get('manual_seed'),
        begun_from=begun_from,
        schedule=_schedule(options, request.options / trained.train),
    )
    step = Step('train', folder, own, ('train', '-opt', str(file), '--auto_resume'), {file: text})
    steps = tuple(step for training in earlier for step in training.steps)
    return Training(options, step.checkpoint, (*steps, step), about)


def _begun_from(options: dict) -> dict[str, str]:
    """SHA-256 of the files with weights that a training begins with, by their paths; one that is missing is said by the
    training itself."""
    path = options.get('path') or {}
    files = [options['network_g'].get('spynet_path'), *(path.get(f'pretrain_network_{net}') for net in 'gd')]
    places = {file: Path(file).expanduser() for file in files if file}
    return {file: weights_checksum(place) for file, place in places.items() if place.is_file()}


def _on_one_gpu(options: dict) -> None:
    """The same batch on one GPU, or the CPU, in as many parts as the option file has GPUs."""
    gpus, train = options['datasets']['train'], options['train']
    count = options.get('num_gpu', 1)
    if isinstance(count, int) and count > 1:
        if options['model_type'] == 'VideoSSMModel':
            train['accumulate'] = count * (train.get('accumulate') or 1)
        else:
            gpus['batch_size_per_gpu'] *= count
    options['num_gpu'] = 'auto'


def _schedule(options: dict, source: Path) -> dict:
    train = options['train']
    return {
        'iterations': train['total_iter'],
        'published_iterations': read_options(source)['train']['total_iter'],
        'batch': options['datasets']['train']['batch_size_per_gpu'] * (train.get('accumulate') or 1),
        'precision': train.get('amp') or 'float32',
    }


def _note(about: dict, source: str, kind: str, text: str, changes: list[Change]) -> None:
    about['option_files'][source] = {'kind': kind, 'sha256': hashlib.sha256(text.encode()).hexdigest(), 'text': text}
    if changes:
        about['changes'][source] = [change.stored() for change in changes]


def _roots(options: dict) -> tuple[str, ...]:
    return tuple(
        str(value)
        for dataset in options['datasets'].values()
        for key, value in dataset.items()
        if key.startswith('dataroot_') and value
    )


def _metrics(path: Path, dataset: str) -> dict:
    """Means, and each clip's."""
    clips = (read_metrics(path, float) or {}).get(dataset)
    if not clips or 'mean' not in clips:
        raise UserError(f'{path} has no figures of {dataset}: has it ground truth, and val.metrics?')
    return {**clips.pop('mean'), 'clips': clips}
