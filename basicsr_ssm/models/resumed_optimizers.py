"""Optimizers and learning rates of a resumed run: the checkpoint's state under the option file's settings."""

from __future__ import annotations

import torch
from basicsr.utils import get_root_logger

from basicsr_ssm.errors import UserError

# of a parameter group: what is no setting, or the schedulers'
_NOT_OF_THE_OPTIMIZER = ('params', 'lr', 'initial_lr')
# of a scheduler's state: where it is, what follows from `periods`, and what came and went with releases of PyTorch
_NO_SETTINGS = ('last_epoch', 'cumulative_period', 'verbose')


def resume_optimizers(model, state: dict) -> None:
    """Drop-in for the ``resume_training`` of BasicSR's models, where options may have changed since the checkpoint.

    The optimizers' moments are the checkpoint's, their settings (betas, weight_decay, …) the option file's. Learning
    rates go on from the checkpoint's; if lr, flow_lr_mul, scheduler or warmup_iter changed, they are what a run with
    the new ones from its start has at this iteration. The log names each change.

    Args:
        model: with new optimizers and schedulers.
        state: the training state of a checkpoint, of BasicSR's own models, too.

    Raises:
        UserError: another number of optimizers or of their parameters.
    """
    _check_sizes(model.optimizers, state['optimizers'])
    settings, schedule = _changed_settings(model, state), _changed_schedule(model, state)
    if settings:
        get_root_logger().warning(f'Optimizer settings changed since the checkpoint: {"; ".join(settings)}')
    for optimizer, saved in zip(model.optimizers, state['optimizers'], strict=True):
        _load(optimizer, saved, kept=() if schedule else ('lr', 'initial_lr'))
    if not schedule:
        for scheduler, saved in zip(model.schedulers, state['schedulers'], strict=True):
            scheduler.load_state_dict(saved)
        return
    get_root_logger().warning(
        f'The schedule of learning rates changed since the checkpoint; they go on as the new one has them at iteration '
        f'{state["iter"]}: {"; ".join(schedule)}'
    )
    for current_iter in range(1, state['iter'] + 1):  # step by step, since MultiStepLR makes each rate of the last
        model.update_learning_rate(current_iter, warmup_iter=_warmup(model))


def _warmup(model) -> int:
    return model.opt['train'].get('warmup_iter', -1)  # as BasicSR's loop asks for it


def _check_sizes(optimizers: list[torch.optim.Optimizer], saved: list[dict]) -> None:
    if len(saved) != len(optimizers):
        raise UserError(
            f'the training state is of a run with {len(saved)} optimizers, this one has {len(optimizers)}: a run goes '
            f'on with or without network_d as it began; to change that, start anew from its weights '
            f'(path.pretrain_network_g)'
        )
    for optimizer, state in zip(optimizers, saved, strict=True):
        groups = optimizer.param_groups, state['param_groups']
        here, there = ([len(group['params']) for group in of_one] for of_one in groups)
        if here != there:
            raise UserError(
                f'the training state is of an optimizer with groups of {there} parameters, this one has {here}: a run '
                f'goes on with its networks, and with train.flow_lr_mul at 1 (one group) or not (two), as it began; to '
                f'change that, start anew from its weights (path.pretrain_network_g)'
            )


def _load(optimizer: torch.optim.Optimizer, saved: dict, kept: tuple[str, ...]) -> None:
    """Moments and ``kept`` settings of the checkpoint; the others stay as they are."""
    groups = [
        {**there, **{key: value for key, value in here.items() if key not in ('params', *kept)}}
        for here, there in zip(optimizer.param_groups, saved['param_groups'], strict=True)
    ]
    optimizer.load_state_dict({**saved, 'param_groups': groups})  # settings first: they say where it puts the moments
    for group in optimizer.param_groups:
        for moments in (optimizer.state.get(parameter) for parameter in group['params'] if group.get('amsgrad')):
            if moments:  # of a checkpoint without amsgrad: the maximum begins here
                moments.setdefault('max_exp_avg_sq', torch.zeros_like(moments['exp_avg_sq']))


def _changed_settings(model, state: dict) -> list[str]:
    changes = []
    for optimizer, saved in zip(model.optimizers, state['optimizers'], strict=True):
        for here, there in zip(optimizer.param_groups, saved['param_groups'], strict=True):
            # releases of PyTorch differ in what they have
            common = [key for key in here if key in there and key not in _NOT_OF_THE_OPTIMIZER]
            changes += _changes({key: there[key] for key in common}, {key: here[key] for key in common})
    return list(dict.fromkeys(changes))


def _changed_schedule(model, state: dict) -> list[str]:
    changes = []
    for scheduler, saved in zip(model.schedulers, state['schedulers'], strict=True):
        there, here = (
            {key: value for key, value in one.items() if not key.startswith('_') and key not in _NO_SETTINGS}
            for one in (saved, scheduler.state_dict())
        )
        changes += _changes(there, here)
    warmup = _warmup(model)
    changes += _changes({'warmup_iter': state.get('warmup_iter', warmup)}, {'warmup_iter': warmup})
    return list(dict.fromkeys(changes))


def _changes(there: dict, here: dict) -> list[str]:
    """'key: before → now' of each one that differs; a tuple is the list, and a Counter the dict, that it once was."""
    before, now = ({key: _plain(value) for key, value in settings.items()} for settings in (there, here))
    pairs = {key: (before.get(key, 'none'), now.get(key, 'none')) for key in {**now, **before}}
    return [f'{key}: {old} → {new}' for key, (old, new) in pairs.items() if old != new]


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
