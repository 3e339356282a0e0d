"""Checking options: every key known, every type registered, values of the right kind; all mistakes in one report."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

from basicsr_ssm.archs.arguments import ArgumentError
from basicsr_ssm.data.degradations import Degradation
from basicsr_ssm.options import known
from basicsr_ssm.options.errors import OptionError, did_you_mean
from basicsr_ssm.options.kinds import Kind, anything, number, numbers, of_signature, one_of, section
from basicsr_ssm.segments.tiles import LEAST_TILE

SCHEDULERS = {
    'MultiStepLR': lr_scheduler.MultiStepRestartLR,
    'MultiStepRestartLR': lr_scheduler.MultiStepRestartLR,
    'CosineAnnealingRestartLR': lr_scheduler.CosineAnnealingRestartLR,
}
OPTIMIZERS = {'Adam': torch.optim.Adam}  # BasicSR 1.4.2 knows no other
OURS = 'VideoSSMModel'
OUR_NETWORKS = ('network_g', 'network_d')
# models whose options are all listed in known.py; another's own may have any in the sections that it reads
LISTED_MODELS = (OURS, 'VideoRecurrentModel', 'VideoRecurrentGANModel', 'VideoBaseModel', 'EDVRModel')


def check_options(opt: dict, is_train: bool, source: str = 'option file') -> None:
    """Check, and turn whole floats into ints where whole numbers are wanted (in place).

    Raises:
        OptionError: lists all mistakes, each with the full path of its key and the nearest known one.
    """
    check = _Check(opt, is_train)
    check.everything()
    if check.problems:
        raise OptionError(f'{source}:\n  ' + '\n  '.join(check.problems))


def known_keys(opt: dict, path: tuple[str, ...]) -> set[str]:
    """Keys that may be set in the section at ``path`` (as --force_yml does), also if the file does not have them."""
    here = opt
    for key in path:
        here = here.get(key, {}) if isinstance(here, dict) else {}
    kind = here.get('type') if isinstance(here, dict) else None
    if not path:
        return {*known.GENERAL, *known.GENERAL_OURS}
    if len(path) == 1:
        if path[0].startswith('network_') and kind in ARCH_REGISTRY:
            return {*of_signature(ARCH_REGISTRY.get(kind))[0]}
        networks = [key for key in opt if key.startswith('network_')]
        return {
            'path': {*known.PATH, *_path_of_networks(networks)},
            'train': {*known.TRAIN, *known.TRAIN_OTHER, *known.TRAIN_OURS},
            'val': {*known.VAL, *known.VAL_OURS},
            'logger': {*known.LOGGER},
            'dist_params': {*known.DIST_PARAMS},
        }.get(path[0], set())
    if path[0] == 'datasets':
        return {*known.LOADER, *known.DATASETS.get(kind, ())}
    if path == ('train', 'scheduler') and kind in SCHEDULERS:
        return {*of_signature(SCHEDULERS[kind], ('optimizer',))[0]}
    if path[0] == 'train' and path[1].startswith('optim_') and kind in OPTIMIZERS:
        return {*of_signature(OPTIMIZERS[kind], ('params',))[0]}
    return set()


def _path_of_networks(networks: list[str]) -> dict[str, Kind]:
    names = [network.removeprefix('network_') for network in networks]
    return {f'{key}_{name}': kind for name in names for key, kind in known.PATH_OF_NETWORK.items()}


class _Check:
    def __init__(self, opt: dict, is_train: bool):
        self.opt = opt
        self.is_train = is_train
        self.problems: list[str] = []

    def everything(self) -> None:
        opt, model = self.opt, self.opt.get('model_type')
        listed = model is None or model in LISTED_MODELS
        networks = [key for key in opt if key.startswith('network_') and (model != OURS or key in OUR_NETWORKS)]
        wanted = ['name', 'model_type', 'datasets', 'network_g'] + (['train', 'logger'] if self.is_train else [])
        sections = dict.fromkeys([*networks, *(OUR_NETWORKS if model == OURS else ())], section)
        general = {**known.GENERAL, **(known.GENERAL_OURS if model == OURS else {})}
        self.keys('', opt, {**general, **sections}, wanted, open_ended=not listed)
        self.name()
        self.static_graph()
        self.registered('model_type', model, MODEL_REGISTRY)
        for phase, dataset in self.inside(opt, 'datasets').items():
            self.dataset(phase, dataset)
        self.different_names()
        for key in networks:
            self.network(key, self.inside(opt, key))
        self.keys('path', self.inside(opt, 'path'), {**known.PATH, **_path_of_networks(networks)})
        if self.is_train:
            self.train(self.inside(opt, 'train'), listed)
            logger = self.inside(opt, 'logger')
            self.keys('logger', logger, known.LOGGER, ['print_freq', 'save_checkpoint_freq'])
            self.keys('logger.wandb', self.inside(logger, 'wandb'), known.WANDB)
        self.val(self.inside(opt, 'val'), listed)
        self.keys('dist_params', self.inside(opt, 'dist_params'), known.DIST_PARAMS)

    # ------------------------------------------------------------ parts

    def name(self) -> None:
        name = self.opt.get('name')
        if isinstance(name, str) and not re.fullmatch(r'\.*[\w+-][\w.+-]*', name):  # not '..' either
            self.problems.append(f'name: {name!r} names a folder and files; use letters, digits and _ - . +')

    def static_graph(self) -> None:
        if self.opt.get('static_graph') is not True:
            return
        if self.opt.get('find_unused_parameters'):
            self.problems.append('static_graph: true contradicts find_unused_parameters: true; remove one of them')
        if (self.inside(self.opt, 'train').get('accumulate') or 1) != 1:
            self.problems.append('static_graph: does not go with train.accumulate; remove one of them')

    def dataset(self, phase: str, dataset: object) -> None:
        where, kind = f'datasets.{phase}', phase.split('_')[0]
        run, kinds = ('training', ('train', 'val')) if self.is_train else ('test', ('test', 'val'))
        if kind not in kinds:
            self.problems.append(f'{where}: a {run} run has data sets {kinds[0]} and {kinds[1]}, or {kinds[1]}_NAME')
        if not isinstance(dataset, dict):
            self.problems.append(f'{where}: expected a section of options, got {dataset!r}')
            return
        registered = self.registered(f'{where}.type', dataset.get('type'), DATASET_REGISTRY)
        type_ = known.INSTEAD_OF_TYPE.get(dataset.get('type'), dataset.get('type'))
        wanted = ['name', 'type']
        if kind == 'train':
            wanted += ['batch_size_per_gpu', 'num_worker_per_gpu']
        specific = known.DATASETS.get(type_)
        open_ended = specific is None and registered is not None
        if specific is not None or open_ended:
            self.keys(where, dataset, {**known.LOADER, **(specific or {})}, wanted, open_ended)
        if 'degradation' in (specific or {}) and isinstance(dataset.get('degradation'), dict):
            self.degradation(where, dataset)

    def degradation(self, where: str, dataset: dict) -> None:
        """The data set's own check of how LQ is made from GT."""
        if dataset.get('dataroot_lq') is not None:
            self.problems.append(f'{where}.dataroot_lq: leave it out: degradation makes LQ from GT')
        try:
            Degradation(dataset['degradation'], self.opt.get('scale'))
        except ValueError as error:
            self.problems += [f'{where}.degradation.{problem}' for problem in str(error).split('; ')]

    def different_names(self) -> None:
        """Results, metrics and images of a validation or test set go by its name."""
        seen = {}
        for phase, dataset in self.inside(self.opt, 'datasets').items():
            name = dataset.get('name') if isinstance(dataset, dict) else None
            if phase == 'train' or name is None:
                continue
            if name in seen:
                self.problems.append(f'datasets.{phase}.name: {name!r} is the name of datasets.{seen[name]}, too')
            seen.setdefault(name, phase)

    def network(self, key: str, options: dict) -> None:
        network = self.registered(f'{key}.type', options.get('type'), ARCH_REGISTRY)
        if network is None:
            return
        ours = network.__module__.startswith('basicsr_ssm.')
        wrong = self.signature(key, options, network, strict=False)
        kinds, _, _ = of_signature(network)
        if key == 'network_g' and 'scale' in kinds.keys() - wrong and self.opt.get('scale') is not None:
            default = _default(network, 'scale')
            if options.get('scale', default) != self.opt['scale']:
                has, wanted = options.get('scale', default), self.opt['scale']
                self.problems.append(f'network_g.scale: the network has {has}, the option file says scale: {wanted}')
        if ours:
            self.dry_build(key, options, network, wrong)

    def dry_build(self, key: str, options: dict, network: type, wrong: set[str]) -> None:
        """The network's own checks of its values, without its weights; those already found ``wrong`` are left out."""
        leave_out = {'type', 'spynet_path', *wrong}
        if leave_out & set(of_signature(network)[1]):  # it cannot be built without
            return
        try:
            with torch.device('meta'):
                network(**{name: value for name, value in options.items() if name not in leave_out})
        except ArgumentError as error:
            self.problems += [f'{key}: {error.network}: {problem}' for problem in error.problems]
        except ValueError as error:
            self.problems.append(f'{key}: {error}')

    def train(self, train: dict, listed: bool) -> None:
        ours = self.opt.get('model_type') == OURS
        adversarial = ours and 'network_d' in self.opt
        kinds = {**known.TRAIN, **({**known.TRAIN_GAN, **known.TRAIN_OURS} if ours else known.TRAIN_OTHER)}
        for key in train.keys() & known.TRAIN_OURS.keys() if listed and not ours else ():
            self.problems.append(f'train.{key}: only model_type VideoSSMModel has it')
        wanted = ['total_iter', 'optim_g', 'scheduler'] + (
            ['pixel_opt'] if ours and not train.get('perceptual_opt') else []
        )
        wanted += ['gan_opt', 'optim_d'] if adversarial else []
        for key in known.TRAIN_GAN if ours and not adversarial else ():
            if train.get(key):
                self.problems.append(f'train.{key}: only a run with network_d has it')
        present = {k: v for k, v in train.items() if ours or k not in known.TRAIN_OURS}
        self.keys('train', present, kinds, wanted, open_ended=not listed)
        train.update(present)
        for key in train:
            if key.startswith('optim_'):
                options = self.inside(train, key)
                optimizer = self.one_of(f'train.{key}.type', options.get('type'), OPTIMIZERS, 'optimizer')
                where = f'train.{key}'
                wrong = self.signature(where, options, optimizer, leave_out=('params',), more={'lr': number})
                if optimizer is not None:
                    self.dry_optimizer(where, options, optimizer, wrong)
        options = self.inside(train, 'scheduler')
        scheduler = self.one_of('train.scheduler.type', options.get('type'), SCHEDULERS, 'scheduler')
        takes = of_signature(scheduler)[0] if scheduler else {}
        lists = {key: numbers for key in ('periods', 'milestones') if key in takes}
        self.signature('train.scheduler', options, scheduler, leave_out=('optimizer',), more=lists)
        self.schedule_lengths(options, train.get('total_iter'))
        for key in ('pixel_opt', 'perceptual_opt', 'gan_opt'):
            self.loss(f'train.{key}', self.inside(train, key))
        for i, options in enumerate(train.get('extra_losses') or () if ours else ()):
            if isinstance(options, dict):
                self.loss(f'train.extra_losses.{i}', options, needed=True)

    def dry_optimizer(self, where: str, options: dict, optimizer: type, wrong: set[str]) -> None:
        """The optimizer's own checks of its values; those already found ``wrong`` are left out."""
        arguments = {name: value for name, value in options.items() if name not in {'type', *wrong}}
        try:
            optimizer([torch.zeros(1, requires_grad=True)], **arguments)
        except (ValueError, TypeError, IndexError) as error:
            self.problems.append(f'{where}: {optimizer.__name__} does not take these values: {error}')

    def schedule_lengths(self, options: dict, total_iter: object) -> None:
        for key, weights in (('periods', 'restart_weights'), ('restarts', 'restart_weights')):
            values = options.get(key)
            if isinstance(values, list) and len(values) != len(options.get(weights, [1])):
                self.problems.append(f'train.scheduler.{weights}: needs one weight for each of {key} {values}')
        periods = options.get('periods')
        if not isinstance(periods, list) or not all(isinstance(p, int | float) for p in periods):
            return
        if isinstance(total_iter, int) and sum(periods) < total_iter - 1:  # the scheduler would fail there
            self.problems.append(
                f'train.scheduler.periods: {sum(periods)} iterations in all, but train.total_iter is {total_iter}'
            )

    def loss(self, where: str, options: dict, needed: bool = False) -> None:
        if options or needed:
            loss = self.registered(f'{where}.type', options.get('type'), LOSS_REGISTRY)
            takes = of_signature(loss)[0] if loss else {}
            # 'none' would leave no single number to go down from
            reduction = {'reduction': one_of('mean', 'sum')} if 'reduction' in takes else {}
            before = len(self.problems)
            self.signature(where, options, loss, more=reduction)
            cheap = loss is not None and loss.__module__.startswith(('basicsr_ssm.', 'basicsr.losses.gan_loss'))
            if cheap and len(self.problems) == before:
                self.dry_loss(where, options, loss)

    def dry_loss(self, where: str, options: dict, loss: type) -> None:
        """The loss's own checks of its values."""
        try:
            loss(**{name: value for name, value in options.items() if name != 'type'})
        except (ValueError, NotImplementedError) as error:  # GANLoss raises the latter
            self.problems.append(f'{where}: {error}')

    def val(self, val: dict, listed: bool) -> None:
        ours = self.opt.get('model_type') == OURS
        wanted = ['val_freq'] if self.is_train and val else []
        self.keys('val', val, {**known.VAL, **(known.VAL_OURS if ours else {})}, wanted, open_ended=not listed)
        if ours:
            self.parts_of_clips(val)
        for name, options in self.inside(val, 'metrics').items():
            where = f'val.metrics.{name}'
            if not isinstance(options, dict):
                self.problems.append(f'{where}: expected a section of options, got {options!r}')
                continue
            metric = self.registered(f'{where}.type', options.get('type'), METRIC_REGISTRY)
            # these take **kwargs only to let 'better' pass
            strict = metric is not None and metric.__module__.startswith(('basicsr.', 'basicsr_ssm.'))
            better = {'better': one_of('higher', 'lower')}
            self.signature(where, options, metric, leave_out=('img', 'img2', 'mask'), more=better, strict=strict)

    def parts_of_clips(self, val: dict) -> None:
        """What validation gives the network at once."""
        segment, overlap, tile = (
            value if isinstance(value := val.get(key), int) else None for key in ('segment', 'overlap', 'tile')
        )
        if val.get('segment') is None and overlap is not None:
            self.problems.append('val.overlap: only with val.segment')
        elif segment is not None and overlap is not None and overlap >= segment:
            self.problems.append(f'val.overlap: {overlap} has to be less than val.segment, {segment}')
        if segment is not None and val.get('center_frame_only'):
            self.problems.append('val.segment: remove it: center_frame_only takes each clip whole')
        if tile is not None and 0 < tile < LEAST_TILE:
            self.problems.append(f'val.tile: at least {LEAST_TILE} pixels, or 0 for whole frames, got {tile}')

    # ------------------------------------------------------------ tools

    def inside(self, options: dict, key: str) -> dict:
        value = options.get(key)
        return value if isinstance(value, dict) else {}

    def keys(self, where: str, options: dict, kinds: dict[str, Kind], wanted=(), open_ended: bool = False) -> set[str]:
        """Report unknown and missing keys and values of another kind; put converted values in their place.

        Returns:
            the keys that were reported.
        """
        prefix = f'{where}.' if where else ''
        wrong = {key for key in wanted if options.get(key) is None}
        for key, value in options.items():
            if key in kinds:
                try:
                    options[key] = kinds[key](value)
                except (ValueError, OverflowError) as error:
                    self.problems.append(f'{prefix}{key}: {error}')
                    wrong.add(key)
            elif hint := known.INSTEAD_OF_KEY.get(re.sub(r'^datasets\.[^.]*\.', 'datasets.*.', f'{prefix}{key}')):
                self.problems.append(f'{prefix}{key}: {hint}')
                wrong.add(key)
            elif not open_ended:
                self.problems.append(f'{prefix}{key}: no such option; {did_you_mean(str(key), kinds)}')
                wrong.add(key)
        self.problems.extend(f'{prefix}{key}: missing' for key in wanted if options.get(key) is None)
        return wrong

    def signature(
        self, where: str, options: dict, function: Callable | None, leave_out=(), more=None, strict: bool = False
    ) -> set[str]:
        """Check the options of something registered against what it takes; returns the keys that were reported."""
        if function is None:
            return set()
        kinds, wanted, open_ended = of_signature(function, leave_out)
        kinds = {'type': anything, **kinds, **(more or {})}
        return self.keys(where, options, kinds, wanted, open_ended and not strict)

    def registered(self, where: str, name: object, registry: Registry) -> Callable | None:
        objects = {key: value for full, value in registry for key in (full.removesuffix('_basicsr'), full)}
        return self.one_of(where, name, objects, registry._name)

    def one_of(self, where: str, name: object, objects: dict, what: str) -> Callable | None:
        if name is None:
            if where != 'model_type':  # reported as a missing key
                self.problems.append(f'{where}: missing; {what}: {", ".join(sorted(objects))}')
            return None
        name = str(name)
        if name in objects:
            return objects[name]
        instead = known.INSTEAD_OF_TYPE.get(name)
        advice = f'write {instead}' if instead else did_you_mean(name, objects)
        self.problems.append(f'{where}: no {what} {name}; {advice}')
        return None


def _default(function: Callable, name: str) -> object:
    return inspect.signature(function).parameters[name].default
