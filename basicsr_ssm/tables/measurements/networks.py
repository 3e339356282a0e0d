"""The networks that are measured: any that is registered in BasicSR, ours and its own."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from basicsr_ssm.checkpoints import load_into, load_state
from basicsr_ssm.errors import UserError
from basicsr_ssm.options.errors import did_you_mean

_WINDOWS = {'EDVR': ('num_frame', 5)}  # networks that make one frame of a fixed number: the option, its default


def build(network: dict, weights: str | Path | None = None) -> nn.Module:
    """The network in eval mode on the CPU, with random weights of the present seed unless a checkpoint is given.

    Args:
        network: {'type': …, …}, as ``network_g`` of an option file.
        weights: a checkpoint of it.

    Raises:
        UserError: no such network, or not with these arguments.
        CheckpointError: a checkpoint that is not one of it.
    """
    from basicsr import archs  # noqa: F401  (registers BasicSR's)
    from basicsr.utils.registry import ARCH_REGISTRY

    import basicsr_ssm.archs  # noqa: F401  (registers ours)

    arguments = dict(network)
    name = arguments.pop('type', None)
    if name not in ARCH_REGISTRY:
        raise UserError(f'no network is called {name}; {did_you_mean(str(name), ARCH_REGISTRY.keys())}')
    try:
        net = ARCH_REGISTRY.get(name)(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f'network {name}: {error}') from error
    if weights is not None:
        load_into(net, load_state(weights), weights)
    return net.eval()


def window_of(network: dict) -> int | None:
    """The number of frames of which the network makes one, or None where it makes as many as it is given."""
    option, default = _WINDOWS.get(network['type'], (None, None))
    return network.get(option, default)


def is_capturable(net: nn.Module) -> bool:
    """Whether a CUDA graph can be made of it: BasicSR's networks wait for the GPU in the midst of their work."""
    return not type(net).__module__.startswith('basicsr.')
