"""Option files: read safely, changed from the command line, checked, and made into what BasicSR's loop takes."""

from __future__ import annotations

import argparse
import importlib.util
import random
import warnings
from pathlib import Path

import torch
from basicsr.utils import dist_util, set_random_seed

from basicsr_ssm.launchers import refuse_stray_processes
from basicsr_ssm.options.errors import OptionError
from basicsr_ssm.options.overrides import apply_overrides
from basicsr_ssm.options.schema import check_options
from basicsr_ssm.options.settable import known_keys
from basicsr_ssm.options.yaml_file import read_options

__all__ = ['OptionError', 'apply_overrides', 'check_options', 'known_keys', 'parse_options', 'read_options']


def parse_options(args: argparse.Namespace, root_path: str, is_train: bool) -> dict:
    """What ``basicsr.utils.options.parse_options`` gives, read safely and checked.

    Beyond BasicSR: ``path.experiments_root`` and ``path.results_root`` of the option file are the folders of this very
    run (default: experiments/NAME and results/NAME under ``root_path``); ``num_gpu: auto`` is 0 without CUDA;
    processes share one random seed when the file has none. Starts ``torch.distributed`` where a launcher is named.

    Raises:
        OptionError: the file, an override or the machine does not allow the run.
    """
    opt = read_options(args.opt)
    apply_overrides(opt, args.force_yml, known_keys)
    _fill_defaults(opt)
    check_options(opt, is_train, args.opt)
    opt['is_train'] = is_train
    opt['auto_resume'] = args.auto_resume
    if args.debug and not opt['name'].startswith('debug'):
        opt['name'] = f'debug_{opt["name"]}'
    if is_train and 'debug' not in opt['name']:  # BasicSR gives a run of that name no such logger
        _check_installed(opt['logger'])
    opt['num_gpu'] = _num_gpu(opt['num_gpu'], args.launcher)
    _check_prefetch(opt['datasets'].get('train', {}))
    _start_processes(opt, args.launcher)
    _seed(opt)
    for phase, dataset in opt['datasets'].items():
        dataset['phase'] = phase.split('_')[0]
        if opt.get('scale') is not None:
            dataset['scale'] = opt['scale']
        _expand_home(dataset, 'dataroot')
    _expand_home(opt['path'], '')
    _set_folders(opt, Path(root_path), is_train, args.debug)
    if is_train and 'debug' in opt['name']:
        if opt.get('val'):
            opt['val']['val_freq'] = 8
        opt['logger'].update(print_freq=1, save_checkpoint_freq=8)
    return opt


def _fill_defaults(opt: dict) -> None:
    """Keys that BasicSR reads without asking whether they are there."""
    opt.setdefault('num_gpu', 'auto')
    for key in ('path', 'logger'):
        if opt.get(key) is None:
            opt[key] = {}
    if isinstance(opt['logger'], dict):
        opt['logger'].setdefault('use_tb_logger', False)
    if opt.get('val') is None and 'train' not in opt:
        opt['val'] = {}
    if isinstance(opt.get('val'), dict):
        for key, value in (('save_img', False), ('suffix', None), ('metrics', None)):
            opt['val'].setdefault(key, value)


def _check_installed(logger: dict) -> None:
    if logger['use_tb_logger'] and importlib.util.find_spec('tensorboard') is None:
        raise OptionError('logger.use_tb_logger: true needs TensorBoard (pip install tensorboard); or set it to false')
    if (logger.get('wandb') or {}).get('project') is not None and importlib.util.find_spec('wandb') is None:
        raise OptionError('logger.wandb: needs Weights & Biases (pip install wandb); or remove it')


def _check_prefetch(train: dict) -> None:
    if train.get('prefetch_mode') == 'cuda' and torch.cuda.device_count() == 0:
        raise OptionError('datasets.train.prefetch_mode: cuda needs a GPU, torch sees none; write cpu, or remove it')


def _num_gpu(wanted: int | str, launcher: str) -> int:
    there = torch.cuda.device_count()
    if wanted == 'auto':
        if there == 0:
            warnings.warn('num_gpu: auto finds no CUDA device; running on the CPU', stacklevel=2)
        return there
    if launcher != 'none' and there:
        return min(wanted, there)  # the launcher decides how many, and SLURM may show each task its own alone
    if wanted > there:
        raise OptionError(f'num_gpu: {wanted} wanted, torch sees {there}; write auto, or 0 for the CPU')
    return wanted


def _start_processes(opt: dict, launcher: str) -> None:
    opt['dist'] = launcher != 'none'
    if opt['dist']:
        params = dict(opt.get('dist_params') or {})
        if opt['num_gpu'] == 0:
            params['backend'] = 'gloo'
        if launcher == 'pytorch':
            params.pop('port', None)  # torchrun has chosen one
        dist_util.init_dist(launcher, **params)
    else:
        refuse_stray_processes()
    opt['rank'], opt['world_size'] = dist_util.get_dist_info()


def _seed(opt: dict) -> None:
    if opt.get('manual_seed') is None:
        seed = [random.randint(1, 10000)]
        if opt['dist']:
            torch.distributed.broadcast_object_list(seed)
        opt['manual_seed'] = seed[0]
    set_random_seed(opt['manual_seed'] + opt['rank'])


def _expand_home(section: dict, prefix: str) -> None:
    for key, value in section.items():
        if key.startswith(prefix) and isinstance(value, str) and value.startswith('~'):
            section[key] = str(Path(value).expanduser())


def _set_folders(opt: dict, root: Path, is_train: bool, debug: bool) -> None:
    path = opt['path']
    key, parent = ('experiments_root', 'experiments') if is_train else ('results_root', 'results')
    own = root / (path.get(key) or Path(parent, opt['name']))
    if path.get(key) and debug:  # a debug run must not move the real one away
        own = own.with_name(f'debug_{own.name}')
    for other in ('experiments_root', 'results_root'):
        path.pop(other, None)
    path.update({key: str(own), 'log': str(own), 'visualization': str(own / 'visualization')})
    if is_train:
        path.update(models=str(own / 'models'), training_states=str(own / 'training_states'))
