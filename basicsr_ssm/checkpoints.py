"""Reading checkpoints: the authors', BasicSR's and ours; and saying what a wrong file is."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from basicsr_ssm.errors import UserError

PARAM_KEYS = ('params_ema', 'params')
WRAPPERS = (*PARAM_KEYS, 'state_dict', 'model', 'net_g')
_SHOWN = 8


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or is not one of the network that it is loaded into."""


def read(path: str | Path) -> dict:
    """The content of a .pth file on the CPU, read without executing code.

    Raises:
        CheckpointError: no such file, not a PyTorch file, cut short, or holding more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'no checkpoint at {path}')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, KeyError) as error:
        # PyTorch's own words advise to load it all the same, which would run what is inside
        raise CheckpointError(
            f'{path} is no checkpoint of tensors and plain values, or not a PyTorch file at all; it was not loaded'
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        size, reason = f'{path.stat().st_size:,} bytes', (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f'{path} cannot be read ({size}; cut short?): {reason}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, no state dict')
    return content


def load_state(path: str | Path, param_key: str | None = None) -> OrderedDict[str, torch.Tensor]:
    """The network weights of a checkpoint: {key: tensor} on the CPU, without `module.` prefixes.

    Args:
        path: a .pth file, {'params_ema': …, 'params': …} as BasicSR writes it, or a bare state dict.
        param_key: which entry; None takes params_ema, else params, else a bare state dict.

    Raises:
        CheckpointError: unreadable, or without such weights.
    """
    return weights_in(read(path), path, param_key)


def weights_in(content: dict, path: str | Path, param_key: str | None = None) -> OrderedDict[str, torch.Tensor]:
    """`load_state` of what `read` has read from ``path``."""
    if param_key is not None and param_key not in content:
        raise CheckpointError(f'{path} has no entry {param_key!r}; it has {_listed(content)}')
    entry = param_key or next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)
    state = content if entry is None else content[entry]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f'{path} {_what_it_is(content)}, no network weights')
    return OrderedDict((key.removeprefix('module.'), value) for key, value in state.items())


def load_into(net: nn.Module, state: dict[str, torch.Tensor], source: str | Path) -> None:
    """Loads weights strictly.

    Raises:
        CheckpointError: names what the file seems to be, and the missing, unexpected and misshapen keys.
    """
    own = net.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f'{key} {(*state[key].shape,)} instead of {(*value.shape,)}'
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    if missing or unexpected or misshapen:
        lines = [f'{source} does not fit {type(net).__name__}: it {what_weights(state)}']
        for title, keys in (('missing', missing), ('unexpected', unexpected), ('of another shape', misshapen)):
            if keys:
                lines.append(f'  {title}: {_listed(keys)}')
        raise CheckpointError('\n'.join(lines))
    net.load_state_dict(state)


def load_spynet(spynet: nn.Module, path: str | Path) -> None:
    """Loads a flow network from a SpyNet file or from a checkpoint that has one inside under `spynet.`.

    Raises:
        CheckpointError: the file holds neither.
    """
    state = load_state(path)
    inside = {key.removeprefix('spynet.'): value for key, value in state.items() if key.startswith('spynet.')}
    state = inside or dict(state)
    own = spynet.state_dict()
    for constant in ('mean', 'std'):  # BasicSR's SpyNet file leaves the ImageNet constants out
        state.setdefault(constant, own[constant])
    load_into(spynet, state, path)


def _what_it_is(content: dict) -> str:
    if {'epoch', 'iter', 'optimizers'} <= content.keys():
        return 'is a training state of BasicSR (its weights are in models/net_g_*.pth)'
    return f'has {_listed(content)}'


def what_weights(state: dict[str, torch.Tensor]) -> str:
    """What network the keys speak of."""
    first = {key.split('.')[0] for key in state}
    if 'cross_arc_block' in first:
        what = 'seems to be a MedVSR'
    elif {'conv_before_upsample', 'backbone'} <= first:
        what = 'seems to be a VSRM'
    elif 'backward_trunk' in first:
        what = 'seems to be a BasicVSR'
    elif {'deform_align', 'backbone', 'feat_extract'} <= first:
        what = 'seems to be a BasicVSR++'
    elif first <= {'basic_module', 'mean', 'std'}:
        what = 'seems to be a SpyNet'
    else:
        what = f'has keys of {_listed(sorted(first))}'
    return f'{what} ({len(state)} tensors, {sum(v.numel() for v in state.values()):,} numbers)'


def _listed(keys) -> str:
    keys = [str(key) for key in keys]
    more = f' … ({len(keys)} in all)' if len(keys) > _SHOWN else ''
    return ', '.join(keys[:_SHOWN]) + more
