"""Checking options: every key known, every type registered, values of the right kind; all mistakes in one report."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import torch
from basicsr.losses.basic_loss import PerceptualLoss

from basicsr_ssm.archs.arguments import ArgumentError
from basicsr_ssm.data.degradations import Degradation, DegradationError
from basicsr_ssm.losses.checks import missing_target
from basicsr_ssm.options import known
from basicsr_ssm.options.errors import OptionError
from basicsr_ssm.options.kinds import of_signature, section
from basicsr_ssm.options.registered import DATASET, LOSS, METRIC, MODEL, NETWORK, OPTIMIZER, SCHEDULER
from basicsr_ssm.options.section_check import SectionCheck
from basicsr_ssm.segments.tiles import LEAST_TILE

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


class _Check(SectionCheck):
    def __init__(self, opt: dict, is_train: bool):
        super().__init__()
        self.opt = opt
        self.is_train = is_train

    def everything(self) -> None:
        opt, model = self.opt, self.opt.get('model_type')
        listed = model is None or model in LISTED_MODELS
        networks = [key for key in known.starting_with(opt, 'network_') if model != OURS or key in OUR_NETWORKS]
        wanted = ['name', 'model_type', 'datasets', 'network_g'] + (['train', 'logger'] if self.is_train else [])
        sections = dict.fromkeys([*networks, *(OUR_NETWORKS if model == OURS else ())], section)
        general = {**known.GENERAL, **(known.GENERAL_OURS if model == OURS else {})}
        self.keys('', opt, {**general, **sections}, wanted, open_ended=not listed)
        self.name()
        self.static_graph()
        self.find('model_type', model, MODEL)
        for phase, dataset in self.inside(opt, 'datasets').items():
            if self.is_text('datasets', phase):
                self.dataset(phase, dataset)
        if self.is_train and isinstance(opt.get('datasets'), dict) and 'train' not in opt['datasets']:
            self.problems.append('datasets.train: missing')
        if not self.is_train and opt.get('datasets') == {}:
            self.problems.append('datasets: none to test on')
        self.different_names()
        for key in networks:
            self.network(key, self.inside(opt, key))
        self.keys('path', self.inside(opt, 'path'), {**known.PATH, **known.path_of_networks(networks)})
        if self.is_train:
            self.train(self.inside(opt, 'train'), listed)
            logger = self.inside(opt, 'logger')
            self.keys('logger', logger, known.LOGGER, ['print_freq', 'save_checkpoint_freq'])
            self.wandb(logger)
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
        elif kind == 'train' and phase != 'train':
            self.problems.append(f'{where}: a training has one training set, which is called train')
        if not isinstance(dataset, dict):
            self.problems.append(f'{where}: expected a section of options, got {dataset!r}')
            return
        registered = self.find(f'{where}.type', dataset.get('type'), DATASET)
        type_ = dataset.get('type') if isinstance(dataset.get('type'), str) else None
        wanted = ['name', 'type']
        if kind == 'train':
            wanted += ['batch_size_per_gpu', 'num_worker_per_gpu']
        specific = known.DATASETS.get(type_ if registered else known.INSTEAD_OF_TYPE.get(type_))
        open_ended = specific is None and registered is not None
        if specific is not None or open_ended:
            self.keys(where, dataset, {**known.LOADER, **(specific or {})}, wanted, open_ended)
            self.loader(where, kind, dataset)
        if 'gt_size' in (specific or {}):
            self.patch(where, dataset.get('gt_size'))
        if 'degradation' in (specific or {}) and isinstance(dataset.get('degradation'), dict):
            self.degradation(where, dataset)

    def loader(self, where: str, kind: str, dataset: dict) -> None:
        """What BasicSR's loader and PyTorch's would refuse."""
        if dataset.get('persistent_workers') is True and kind != 'train':
            self.problems.append(f'{where}.persistent_workers: remove it: only a training set has workers')
        elif dataset.get('persistent_workers') is True and dataset.get('num_worker_per_gpu') == 0:
            self.problems.append(f'{where}.persistent_workers: true needs num_worker_per_gpu above 0')
        if kind == 'train' and dataset.get('prefetch_mode') == 'cuda' and dataset.get('pin_memory') is not True:
            self.problems.append(f'{where}.prefetch_mode: cuda needs pin_memory: true')

    def patch(self, where: str, size: object) -> None:
        scale = self.opt.get('scale')
        if isinstance(size, int) and isinstance(scale, int) and scale > 0 and size % scale:
            self.problems.append(f'{where}.gt_size: {size} is not a multiple of the scale {scale}')

    def degradation(self, where: str, dataset: dict) -> None:
        """The data set's own check of how LQ is made from GT."""
        if dataset.get('dataroot_lq') is not None:
            self.problems.append(f'{where}.dataroot_lq: leave it out: degradation makes LQ from GT')
        try:
            Degradation(dataset['degradation'], self.opt.get('scale'))
        except DegradationError as error:
            self.problems += [f'{where}.degradation.{problem}' for problem in error.args]

    def different_names(self) -> None:
        """Results, metrics and images of a validation or test set go by its name."""
        seen = {}
        for phase, dataset in self.inside(self.opt, 'datasets').items():
            name = dataset.get('name') if isinstance(dataset, dict) else None
            if phase == 'train' or not isinstance(name, str):
                continue
            if name in seen:
                self.problems.append(f'datasets.{phase}.name: {name!r} is the name of datasets.{seen[name]}, too')
            seen.setdefault(name, phase)

    def network(self, key: str, options: dict) -> None:
        network, wrong = self.described(key, options, NETWORK)
        if network is None:
            return
        ours = network.__module__.startswith('basicsr_ssm.')
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
        except (ValueError, OverflowError) as error:  # the latter: .inf
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
        for key in known.starting_with(train, 'optim_'):
            options = self.inside(train, key)
            optimizer, wrong = self.described(f'train.{key}', options, OPTIMIZER)
            if optimizer is not None:
                self.dry_optimizer(f'train.{key}', options, optimizer, wrong)
        options = self.inside(train, 'scheduler')
        scheduler, wrong = self.described('train.scheduler', options, SCHEDULER)
        if scheduler is not None:
            self.schedule_lengths(options, scheduler, train.get('total_iter'), wrong)
        for key in ('pixel_opt', 'perceptual_opt', 'gan_opt'):
            self.loss(f'train.{key}', self.inside(train, key), listed)
        extra = train.get('extra_losses') if ours else None
        for i, options in enumerate(extra if isinstance(extra, list) else ()):
            if isinstance(options, dict):
                self.loss(f'train.extra_losses.{i}', options, listed, needed=True)

    def dry_optimizer(self, where: str, options: dict, optimizer: type, wrong: set[str]) -> None:
        """The optimizer's own checks of its values; those already found ``wrong`` are left out."""
        arguments = {name: value for name, value in options.items() if name not in {'type', *wrong}}
        try:
            optimizer([torch.zeros(1, requires_grad=True)], **arguments)
        except (ValueError, TypeError, IndexError) as error:
            self.problems.append(f'{where}: {optimizer.__name__} does not take these values: {error}')

    def schedule_lengths(self, options: dict, scheduler: type, total_iter: object, wrong: set[str]) -> None:
        key = 'periods' if 'periods' in of_signature(scheduler)[0] else 'restarts'
        if key in wrong:
            return
        values = options[key] if key in options else list(_default(scheduler, key))
        if 'restart_weights' not in wrong and len(values) != len(options.get('restart_weights', [1])):
            self.problems.append(f'train.scheduler.restart_weights: needs one weight for each of {key} {values}')
        # the scheduler would fail there
        if key == 'periods' and isinstance(total_iter, int) and sum(values) < total_iter - 1:
            self.problems.append(
                f'train.scheduler.periods: {sum(values)} iterations in all, but train.total_iter is {total_iter}'
            )

    def loss(self, where: str, options: dict, listed: bool, needed: bool = False) -> None:
        if not (options or needed):
            return
        loss, wrong = self.described(where, options, LOSS)
        if listed and isinstance(loss, type):  # another's model may use it otherwise; a function may make any
            self.place_of_loss(where, loss)
        cheap = loss is not None and loss.__module__.startswith(('basicsr_ssm.', 'basicsr.losses.gan_loss'))
        if cheap and not wrong:
            self.dry_loss(where, options, loss)

    def place_of_loss(self, where: str, loss: type) -> None:
        """Whether the loss takes and gives what is taken and given at ``where``."""
        wanted, is_perceptual = where == 'train.perceptual_opt', issubclass(loss, PerceptualLoss)
        if where == 'train.gan_opt':
            ours = self.opt.get('model_type') == OURS
            if ours and 'target_is_real' not in inspect.signature(loss.forward).parameters:
                self.problems.append(f'{where}: {loss.__name__} is no GAN loss; take GANLoss')
        elif problem := missing_target(loss):
            self.problems.append(f'{where}: {problem}')
        elif is_perceptual and not wanted:
            self.problems.append(f'{where}: {loss.__name__} is for train.perceptual_opt')
        elif wanted and not is_perceptual and loss.__module__.startswith(('basicsr.', 'basicsr_ssm.')):
            self.problems.append(f'{where}: {loss.__name__} is no perceptual loss; take PerceptualLoss')

    def dry_loss(self, where: str, options: dict, loss: type) -> None:
        """The loss's own checks of its values."""
        try:
            loss(**{name: value for name, value in options.items() if name != 'type'})
        except (ValueError, NotImplementedError) as error:  # GANLoss raises the latter
            self.problems.append(f'{where}: {error}')

    def wandb(self, logger: dict) -> None:
        options = self.inside(logger, 'wandb')
        self.keys('logger.wandb', options, known.WANDB)
        if options.get('project') is not None and logger.get('use_tb_logger') is not True:
            self.problems.append('logger.wandb: needs logger.use_tb_logger: true, whose values it shows')

    def val(self, val: dict, listed: bool) -> None:
        ours = self.opt.get('model_type') == OURS
        wanted = ['val_freq'] if self.is_train and val else []
        self.keys('val', val, {**known.VAL, **(known.VAL_OURS if ours else {})}, wanted, open_ended=not listed)
        if ours:
            self.parts_of_clips(val)
        for name, options in self.inside(val, 'metrics').items():
            where = f'val.metrics.{name}'
            if not self.is_text('val.metrics', name):
                continue
            if not isinstance(options, dict):
                self.problems.append(f'{where}: expected a section of options, got {options!r}')
                continue
            self.described(where, options, METRIC)

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


def _default(function: Callable, name: str) -> object:
    return inspect.signature(function).parameters[name].default
