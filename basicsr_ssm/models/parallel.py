"""One network in several processes: DistributedDataParallel, when its graph may be called static, and what takes its
place where the backward pass is a CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import distributed, nn
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


def alone(net: nn.Module, unless: bool) -> contextlib.AbstractContextManager:
    """Backward passes within exchange no gradients: for all but the last that add to them."""
    wrapped = isinstance(net, DistributedDataParallel)
    return net.no_sync() if wrapped and not unless else contextlib.nullcontext()


def copy_from_first(net: nn.Module) -> None:
    """Gives all processes the parameters and buffers of the first."""
    for value in (*net.parameters(), *net.buffers()):
        distributed.broadcast(value.detach(), 0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Makes each gradient the mean over all processes, which have to have gradients of the same parameters.

    In one exchange after the backward pass: DistributedDataParallel starts earlier, from hooks that a backward pass
    which is replayed does not call.
    """
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        together /= distributed.get_world_size()
        parts = together.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
