"""The exponential moving average of the weights, which is validated, tested and saved as ``params_ema``."""

from __future__ import annotations

import torch
from torch import nn

_LITTLE = 0.02


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """BasicSR's average, all parameters in two calls, and with the buffers, which it leaves behind."""
    means = list(average.parameters())
    torch._foreach_mul_(means, decay)
    torch._foreach_add_(means, list(net.parameters()), alpha=1 - decay)
    for mean, current in zip(average.buffers(), net.buffers(), strict=True):
        mean.copy_(current)


def untrained_share(train: dict, path: dict | None = None) -> float:
    """How much of the average at a training's end are the weights that it starts with; 0 where that is no matter.

    Args:
        train, path: those sections of the options. What starts from a network that is trained, or leaves below 2 %,
            is no matter.
    """
    share = (train.get('ema_decay') or 0) ** train['total_iter']
    return share if share > _LITTLE and not (path or {}).get('pretrain_network_g') else 0.0


def warning_of(train: dict, path: dict | None = None) -> str | None:
    """What to tell the user of an average that is too slow for the length of the training."""
    share = untrained_share(train, path)
    if not share:
        return None
    decay, iterations = train['ema_decay'], train['total_iter']
    return (
        f'train.ema_decay: with {decay} over {iterations:,} iterations, {share:.0%} of the averaged weights, which are '
        f'validated and tested, are still those the training starts with; {0.01 ** (1 / iterations):.4g} leaves 1 %.'
    )
