"""Taking up an interrupted run: which checkpoint, and the state of the random number generators."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import torch
from basicsr.utils import check_resume, get_root_logger
from basicsr.utils.dist_util import get_dist_info, master_only
from torch import distributed

from basicsr_ssm import checkpoints
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import writing

ABANDONED = '.abandoned'  # behind the name of a training state that the run has gone back behind


def load_resume_state(opt: dict) -> dict | None:
    """Drop-in for ``basicsr.train.load_resume_state``: on any device, and from whole files only.

    With ``--auto_resume``, takes the newest pair of training_states/ITER.state and models/net_g_ITER.pth (and those of
    the other networks) that can be read, and names the ones it passes over; where several processes share the run, the
    first one chooses for all. Without it, or before the first checkpoint: ``path.resume_state``, if given, with the
    networks of the experiment it lies in. Sets ``opt['first_iter']``, ``opt['first_epoch']``, ``path.param_key_…`` of
    the resumed networks and, so that the samples stay the same, ``opt['manual_seed']``.

    Raises:
        checkpoints.CheckpointError: ``path.resume_state`` or its networks are missing or damaged.
        UserError: it is no training state, or one from beyond ``train.total_iter``; there are abandoned ones only.
    """
    path, state = _chosen(opt)
    opt['path']['resume_state'] = path and str(path)
    if state is None:
        return None
    if state['iter'] > (total_iter := int(opt['train']['total_iter'])):
        raise UserError(
            f'{path} is of iteration {state["iter"]}, beyond train.total_iter: {total_iter}; '
            f'raise that, or name an earlier checkpoint as path.resume_state'
        )
    for key in ('models', 'training_states', 'visualization'):
        Path(opt['path'][key]).mkdir(parents=True, exist_ok=True)
        for left_over in Path(opt['path'][key]).glob('.*.tmp'):  # of a save that was killed
            left_over.unlink(missing_ok=True)
    _point_at_networks(opt, path, state['iter'])
    opt['first_iter'], opt['first_epoch'] = state['iter'], state['epoch']
    opt['manual_seed'] = state.get('manual_seed', opt['manual_seed'])
    return state


def _point_at_networks(opt: dict, state: Path, iteration: int) -> None:
    param_keys = {key: value for key, value in opt['path'].items() if key.startswith('param_key')}
    check_resume(opt, iteration)
    # of pretrained files; a checkpoint goes on from the weights in training (its average is loaded beside them)
    opt['path'].update(param_keys, **{f'param_key_{name}': 'params' for name in _resumed_networks(opt)})
    for name in _resumed_networks(opt):
        beside = state.absolute().parents[1] / 'models' / f'net_{name}_{iteration}.pth'
        if beside.exists():  # else where BasicSR looks: in this experiment, wherever the state is
            opt['path'][f'pretrain_network_{name}'] = str(beside)


def _chosen(opt: dict) -> tuple[Path | None, dict | None]:
    given = opt['path'].get('resume_state') and Path(opt['path']['resume_state'])
    if opt['auto_resume']:
        path, state = _newest_whole_of_all(opt)
        if path and given and path.resolve() != given.resolve() and opt['rank'] == 0:
            _log().warning('auto_resume goes on from the newest, %s, not from path.resume_state: %s', path, given)
        if path:
            return path, state
    return (given, _read_state(given)) if given else (None, None)


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
    paths = _newest_first(folder)
    for path in paths:
        try:
            state = _read_state(path)
            for name in _resumed_networks(opt):
                checkpoints.read(Path(opt['path']['models'], f'net_{name}_{state["iter"]}.pth'))
        except UserError as error:
            _log().warning('auto_resume passes over %s: %s', path.name, error)
            continue
        return path, state
    if paths:
        raise UserError(f'auto_resume: none of the {len(paths)} checkpoints in {folder} is whole')
    if not opt['path'].get('resume_state') and any(folder.glob(f'*.state{ABANDONED}')):
        raise UserError(
            f'auto_resume: {folder} has abandoned checkpoints only; name where to go on as path.resume_state, or take '
            f'{ABANDONED} off a name'
        )
    return None, None


def _newest_first(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob('*.state') if path.stem.isdigit()]
    return sorted(paths, key=lambda path: int(path.stem), reverse=True)


def _log() -> logging.Logger:
    """BasicSR's own logger may not be asked for before its log file is known."""
    return logging.getLogger(__name__)


def _resumed_networks(opt: dict) -> list[str]:
    """'g' for network_g, and so on."""
    ignored = opt['path'].get('ignore_resume_networks') or ()
    return [key.removeprefix('network_') for key in opt if key.startswith('network_') and key not in ignored]


def _read_state(path: Path) -> dict:
    state = checkpoints.read(path)
    if not {'epoch', 'iter', 'optimizers', 'schedulers'} <= state.keys():
        raise UserError(f'{path} is no training state (they are named training_states/ITER.state)')
    return state


@master_only
def set_aside_newer(opt: dict, first_iter: int) -> None:
    """Where ``path.resume_state`` goes back, rename the training states it abandons, for --auto_resume to leave alone.

    To ITER.state.abandoned, before the first new iteration: from then on the run is to be found where it went back to.

    Raises:
        WriteError: they cannot be renamed.
    """
    if opt['auto_resume']:  # newer ones are those it passed over, and will write again
        return
    for path in _newest_first(Path(opt['path']['training_states'])):
        if int(path.stem) <= first_iter:
            continue
        with writing(path):
            path.replace(path.with_name(path.name + ABANDONED))
        get_root_logger().warning(
            f'The run goes back to iteration {first_iter}: {path.name} is abandoned, and named {path.name}{ABANDONED}.'
        )


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
