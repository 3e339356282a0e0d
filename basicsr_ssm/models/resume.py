"""Taking up an interrupted run: which checkpoint, and the state of the random number generators."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import torch
from basicsr.utils import check_resume
from basicsr.utils.dist_util import get_dist_info
from torch import distributed

from basicsr_ssm import checkpoints
from basicsr_ssm.errors import UserError


def load_resume_state(opt: dict) -> dict | None:
    """Drop-in for ``basicsr.train.load_resume_state``: on any device, and from whole files only.

    With ``--auto_resume``, takes the newest pair of training_states/ITER.state and models/net_g_ITER.pth (and those of
    the other networks) that can be read, and names the ones it passes over; where several processes share the run, the
    first one chooses for all. Otherwise ``path.resume_state``, if given. Sets ``opt['first_iter']``,
    ``opt['first_epoch']``, ``path.param_key_…`` of the resumed networks and, so that the samples stay the same,
    ``opt['manual_seed']``.

    Raises:
        checkpoints.CheckpointError: ``path.resume_state`` or its networks are missing or damaged.
        UserError: it is no training state, or one from beyond ``train.total_iter``.
    """
    if opt['auto_resume']:
        path, state = _newest_whole_of_all(opt)
        opt['path']['resume_state'] = path and str(path)
    else:
        path = opt['path'].get('resume_state')
        state = path and _read_state(Path(path))
    if not state:
        return None
    if state['iter'] > (total_iter := int(opt['train']['total_iter'])):
        raise UserError(
            f'{opt["path"]["resume_state"]} is of iteration {state["iter"]}, beyond train.total_iter: {total_iter}; '
            f'raise that, or name an earlier checkpoint as path.resume_state'
        )
    for key in ('models', 'training_states', 'visualization'):
        Path(opt['path'][key]).mkdir(parents=True, exist_ok=True)
        for left_over in Path(opt['path'][key]).glob('.*.tmp'):  # of a save that was killed
            left_over.unlink(missing_ok=True)
    param_keys = {key: value for key, value in opt['path'].items() if key.startswith('param_key')}
    check_resume(opt, state['iter'])
    # of pretrained files; a checkpoint goes on from the weights in training (its average is loaded beside them)
    opt['path'].update(param_keys, **{f'param_key_{name}': 'params' for name in _resumed_networks(opt)})
    opt['first_iter'], opt['first_epoch'] = state['iter'], state['epoch']
    opt['manual_seed'] = state.get('manual_seed', opt['manual_seed'])
    return state


def _newest_whole_of_all(opt: dict) -> tuple[Path | None, dict | None]:
    """What process 0 finds: a network disk may show others a file later, and each would go on from elsewhere."""
    rank, world_size = get_dist_info()
    path, state = _newest_whole(opt) if rank == 0 else (None, None)
    if world_size == 1:
        return path, state
    chosen = [path and str(path)]
    distributed.broadcast_object_list(chosen)
    if rank and chosen[0]:
        path = Path(chosen[0])
        state = _read_state(path)
    return path, state


def _newest_whole(opt: dict) -> tuple[Path | None, dict | None]:
    folder = Path(opt['path']['training_states'])
    paths = [path for path in folder.glob('*.state') if path.stem.isdigit()]
    for path in sorted(paths, key=lambda path: int(path.stem), reverse=True):
        try:
            state = _read_state(path)
            for name in _resumed_networks(opt):
                checkpoints.read(Path(opt['path']['models'], f'net_{name}_{state["iter"]}.pth'))
        except UserError as error:
            # BasicSR's own logger may not be asked for before its log file is known
            logging.getLogger(__name__).warning('auto_resume passes over %s: %s', path.name, error)
            continue
        return path, state
    if paths:
        raise UserError(f'auto_resume: none of the {len(paths)} checkpoints in {folder} is whole')
    return None, None


def _resumed_networks(opt: dict) -> list[str]:
    """'g' for network_g, and so on."""
    ignored = opt['path'].get('ignore_resume_networks') or ()
    return [key.removeprefix('network_') for key in opt if key.startswith('network_') and key not in ignored]


def _read_state(path: Path) -> dict:
    state = checkpoints.read(path)
    if not {'epoch', 'iter', 'optimizers', 'schedulers'} <= state.keys():
        raise UserError(f'{path} is no training state (they are named training_states/ITER.state)')
    return state


def random_state() -> dict:
    """This process's random number generators (its current GPU's included), as plain values and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def restore_random_state(state: dict) -> None:
    """Inverse of ``random_state``."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def plain(state: dict) -> dict:
    """MultiStepLR's Counter as a dict: older torch do not load one with weights_only."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in state.items()}
