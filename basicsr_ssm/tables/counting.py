"""Multiply-adds of whatever PyTorch computes, counted without computing it: one convention for all networks.

A multiply-add is one multiplication and the addition that goes with it. FLOPs are twice as many; what both papers call
FLOPs are multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from unittest import mock

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from basicsr_ssm.ops.dispatch import Operator
from basicsr_ssm.tables.operator_counts import OPERATORS, SAMPLE
from basicsr_ssm.tables.peers import torchvision_deform_conv_replaced


@dataclass(frozen=True)
class MultiplyAdds:
    """By what they are for. Normalisation, activation, gates, pooling and resizing by fixed factors do not count.

    Args:
        convolutions: of images and volumes; depthwise ones too.
        deformable_convolutions: the sum over taps and channels, as of a convolution of that size.
        linear: linear maps of tokens.
        attention: products of two activations.
        scans: four a token, channel and state of a selective scan and direction, three of an SSD (see operator_counts).
        short_convolutions: apart, not in the total: the causal and window convolutions inside of Mamba's operators,
            which counters of modules do not see.
        sampling: apart, not in the total: four a bilinear sample of a warp, deformable convolution or cross scan.
        results: no multiply-adds, but how many numbers the counted operations write.
    """

    convolutions: int = 0
    deformable_convolutions: int = 0
    linear: int = 0
    attention: int = 0
    scans: int = 0
    short_convolutions: int = 0
    sampling: int = 0
    results: int = 0

    @property
    def products(self) -> int:
        """All of the total but the scans."""
        return self.convolutions + self.deformable_convolutions + self.linear + self.attention

    @property
    def total(self) -> int:
        return self.products + self.scans

    def __add__(self, other: MultiplyAdds) -> MultiplyAdds:
        return MultiplyAdds(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __rmul__(self, times: int) -> MultiplyAdds:
        return MultiplyAdds(*(times * getattr(self, f.name) for f in fields(self)))


def count(function: Callable[[], object]) -> MultiplyAdds:
    """What a call of ``function`` costs, of whatever size: no number is computed and no memory taken.

    It runs on fake tensors of PyTorch, into which all others turn when they are used, on the device that they say.
    Operators of this package count by `OPERATORS`, and so do torchvision's deformable convolutions; all else by
    FlopCounterMode's formulas. Where ``function`` asks for a number that nobody computed, such as whether a clip is
    mirrored, it is told 0 or no.
    """
    counted: dict[str, int] = dict.fromkeys((f.name for f in fields(MultiplyAdds)), 0)
    flops = FlopCounterMode(display=False, custom_mapping=_MORE_FORMULAS)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torchvision_deform_conv_replaced())
        stack.enter_context(_operators_counted(counted))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_Watch(counted))
        stack.enter_context(flops)
        function()
    for operation, number in flops.get_flop_counts().get('Global', {}).items():  # nothing may have been counted
        counted[_kind(operation)] += number // 2
    return MultiplyAdds(**counted)


@contextmanager
def _operators_counted(counted: dict[str, int]) -> Iterator[None]:
    """Calls of operators that have a formula only add to ``counted``."""
    plainly = Operator.__call__

    def call(operator, backend, *args):
        if operator.name not in OPERATORS:
            return plainly(operator, backend, *args)
        result, counts = OPERATORS[operator.name](*args)
        for kind, number in {**counts, 'results': result.numel()}.items():
            counted[kind] += number
        return result

    with mock.patch.object(Operator, '__call__', call):
        yield


class _Watch(TorchDispatchMode):
    """Adds up the sizes of results, and answers where an answer would need numbers."""

    def __init__(self, counted: dict[str, int]):
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        try:
            result = func(*args, **(kwargs or {}))
        except DataDependentOutputException:
            return 0.0 if args[0].is_floating_point() and func is _ITEM else 0
        if func._overloadpacket in flop_registry or func._overloadpacket in _MORE_FORMULAS:
            first = result[0] if isinstance(result, tuple) else result
            self.counted['results'] += first.numel()
        return result


_ITEM = torch.ops.aten._local_scalar_dense.default


def _kind(operation) -> str:
    name = str(operation)
    if 'grid_sampler' in name:
        return 'sampling'
    if 'conv' in name:
        return 'convolutions'
    return 'linear' if operation in (torch.ops.aten.mm, torch.ops.aten.addmm) else 'attention'


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])


def _sampling_flops(x, grid, *args, out_shape=None, **kwargs) -> int:
    return 2 * SAMPLE * math.prod(out_shape)


# what FlopCounterMode has no formula for: the attention of CPUs, and sampling
_MORE_FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten.grid_sampler_2d: _sampling_flops,
}
