"""One network in several processes: DistributedDataParallel, and when its graph may be called static."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def distribute(net: nn.Module, device: torch.device, opt: dict, static_graph: bool = False) -> DistributedDataParallel:
    """Wrap ``net`` for ``device``, GPU or CPU; it waits for gradients of what is trainable now.

    Args:
        net: the bare network.
        device: where it trains; on 'cuda', the current GPU.
        opt: the options; ``find_unused_parameters`` is for networks that use other parameters in other iterations.
        static_graph: all iterations use the same parameters. Those that none of them uses are no error then.
    """
    gpu = [torch.cuda.current_device()] if device.type == 'cuda' else None
    return DistributedDataParallel(
        net.to(device),
        device_ids=gpu,
        find_unused_parameters=opt.get('find_unused_parameters', False),
        static_graph=static_graph,
    )


def has_static_graph(net: nn.Module, opt: dict) -> bool:
    """Whether DistributedDataParallel may take ``net``'s graph for the same in every iteration.

    Networks of this package use the same parameters in all of them: the clips of a training are equally long, and
    ``fix_flow``, which changes what is trained, is followed by a wrapping anew. Of other networks nobody knows unless
    ``static_graph: true`` says so. Never with ``find_unused_parameters``, which says the contrary, and not with
    ``train.accumulate``: it is learned from the first backward pass, in which gradients are not exchanged then.
    """
    if opt.get('find_unused_parameters') or (opt['train'].get('accumulate') or 1) > 1:
        return False
    ours = type(net).__module__.startswith('basicsr_ssm.')
    return ours if opt.get('static_graph') is None else opt['static_graph']
