"""Networks that run under autocast, with their weights cast once."""

from __future__ import annotations

import torch
from torch import nn


def cast_weights(net: nn.Module, dtype: torch.dtype) -> None:
    """Casts the weights that autocast to ``dtype`` would cast before every use; under it, the results stay the same.

    Those of convolutions over all channels and of linear layers, which hold nearly all parameters. What operators of
    this package read as it is (state-space parameters, depthwise filters, norms, biases) stays float32.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            module.weight.data = module.weight.data.to(dtype)
