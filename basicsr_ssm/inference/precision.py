"""Networks that run under autocast: their weights cast once, and laid out as a GPU reads them."""

from __future__ import annotations

import torch
from torch import nn


def cast_weights(net: nn.Module, dtype: torch.dtype) -> None:
    """Casts the weights that autocast to ``dtype`` would cast before every use; under it, the results stay the same.

    Those of convolutions over all channels and of linear layers, which hold nearly all parameters. What operators of
    this package read as it is (state-space parameters, depthwise filters, norms, biases) stays float32.

    On a GPU the weights of convolutions also get the layout that `conv2d` reads, channels last, and would make anew in
    every call; so move the network there first. That is worth a call for float32 too.
    """
    for module in net.modules():
        convolves = isinstance(module, nn.Conv2d) and module.groups == 1
        if convolves or isinstance(module, nn.Linear):
            last = convolves and module.weight.is_cuda
            layout = torch.channels_last if last else torch.preserve_format
            module.weight.data = module.weight.data.to(dtype, memory_format=layout)
