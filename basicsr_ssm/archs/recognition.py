"""The network that a checkpoint belongs to, built from the checkpoint alone, and its settings beside others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ssm.archs.medvsr_arch import PROPAGATIONS
from basicsr_ssm.archs.upsampling import UPSAMPLING_STEPS
from basicsr_ssm.checkpoints import CheckpointError, load_into, load_state, read, what_weights

State = dict[str, torch.Tensor]
NETWORK_ENTRY = 'network_g'  # our checkpoints carry the option file's section of this name

# where weights come from that a checkpoint has itself, and where features lie: they change nothing of the output
_OF_NO_MATTER = ('spynet_path', 'edvr_path', 'checkpointed_branches', 'cpu_cache_length')


def differing_settings(network: type[nn.Module], one: dict, other: dict) -> dict[str, tuple]:
    """{name: (value in one, value in other)} of two sections of network options; what one leaves out has its default.

    Args:
        network: the class whose options they are. Settings that do not change its output are left out.
    """
    parameters = inspect.signature(network).parameters
    defaults = {name: value.default for name, value in parameters.items() if value.default is not value.empty}
    one, other = ({**defaults, **options} for options in (one, other))
    names = [name for name in ('type', *parameters) if name in one and name in other and name not in _OF_NO_MATTER]
    return {name: (one[name], other[name]) for name in names if _plain(one[name]) != _plain(other[name])}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def build_from_checkpoint(path: str | Path, options: dict | None = None) -> tuple[nn.Module, str]:
    """The network with its weights, in eval mode, on the CPU.

    Args:
        path: a checkpoint of BasicSR's form (see `basicsr_ssm.checkpoints.load_state`).
        options: the `network_g` section of an option file; None takes the one inside the checkpoint, or else what the
            shapes of the weights tell.

    Returns:
        The network and one line that says what it is and where its settings come from.

    Raises:
        CheckpointError: unreadable, of an unknown network, not fitting the options, or with settings inside that build
            none.
        KeyError, TypeError, ValueError: ``options`` build no network.
    """
    state, given = load_state(path), options is not None
    if given:
        source = 'settings from the option file'
    elif isinstance(inside := read(path).get(NETWORK_ENTRY), dict):
        options, source = inside, 'settings from the checkpoint'
    else:
        options, source = recognize(state, path), "settings from the weights' shapes"
    # the flow network's weights are in the checkpoint: its own file need not be there
    try:
        net = build_network({**options, 'spynet_path': None} if 'spynet_path' in options else dict(options))
    except (KeyError, TypeError, ValueError) as error:
        if given:
            raise
        reason = error.args[0] if error.args else error  # a KeyError's text has quotes
        raise CheckpointError(f'{path}: the {source} build no network here: {reason}; --opt gives others') from error
    load_into(net, state, path)
    settings = ', '.join(f'{key}={value}' for key, value in options.items() if key not in ('type', 'spynet_path'))
    return net.eval(), f'{options["type"]}({settings}), {source}'


def recognize(state: State, source: str | Path = 'the checkpoint') -> dict:
    """Options ({'type': …, …}) of the network with these weights; raises CheckpointError where no known one fits."""
    for fits, options in _KNOWN:
        if fits(state):
            try:
                return options(state)
            except (KeyError, IndexError, ValueError) as error:
                raise CheckpointError(f'{source} {what_weights(state)}, but parts of it are missing') from error
    raise CheckpointError(f'{source} {what_weights(state)}: give its settings with an option file')


def _count(state: State, prefix: str) -> int:
    """How many modules are numbered right behind a prefix."""
    return len({key[len(prefix) :].split('.')[0] for key in state if key.startswith(prefix)})


def _medvsr(state: State) -> dict:
    """The published window_size and num_propagated, which leave no trace in the weights; nor does linear attention."""
    steps = tuple(
        round((state[f'upconv{i}.weight'].shape[0] / state[f'upconv{i + 1}.weight'].shape[1]) ** 0.5)
        if f'upconv{i + 1}.weight' in state
        else round((state[f'upconv{i}.weight'].shape[0] / state['conv_hr.weight'].shape[1]) ** 0.5)
        for i in range(1, 1 + sum(key.startswith('upconv') and key.endswith('weight') for key in state))
    )
    branches = {key.split('.')[1] for key in state if key.startswith('backbone.')}
    rec_blocks = 'reconstruction.main.3.'
    mixer = 'mamba2' if 'cross_arc_block.mixer.A_log' in state else 'attention'
    options = {
        'type': 'MedVSR',
        'mid_channels': state['feat_extract.main.0.weight'].shape[0],
        'num_blocks': _count(state, f'backbone.{min(branches)}.main.2.'),
        'n_convfe': _count(state, 'feat_extract.main.2.'),
        'n_convrec': 1 + _count(state, rec_blocks),
        'scale': next((scale for scale, known in UPSAMPLING_STEPS.items() if known == steps), None),
        'propagation': next((name for name, known in PROPAGATIONS.items() if set(known) == branches), None),
        'cross_mixer': mixer,
    }
    if (kernel := state.get(f'{rec_blocks}0.conv1.0.weight')) is not None:
        options['rec_ks'] = kernel.shape[-1]
    return options


def _basicvsr(state: State) -> dict:
    return {
        'type': 'BasicVSR',
        'num_feat': state['fusion.weight'].shape[0],
        'num_block': _count(state, 'backward_trunk.main.2.'),
    }


_KNOWN: list[tuple[Callable[[State], bool], Callable[[State], dict]]] = [
    (lambda state: 'cross_arc_block.norm1.weight' in state and 'upconv1.weight' in state, _medvsr),
    (lambda state: 'backward_trunk.main.0.weight' in state and 'fusion.weight' in state, _basicvsr),
]
