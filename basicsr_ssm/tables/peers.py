"""BasicSR's networks beside ours, where BasicSR itself needs CUDA or torchvision's compiled operators.

BasicVSRPlusPlus and EDVR call torchvision.ops.deform_conv2d, which does not run where torchvision's compiled operators
do not load, nor under autocast on a CPU, and BasicVSRPlusPlus leaves its alignment out where there is no CUDA device.
Nothing of this changes BasicSR beyond a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from basicsr_ssm.ops import deform_conv2d


@contextmanager
def torchvision_deform_conv_replaced() -> Iterator[None]:
    """torchvision.ops.deform_conv2d is this package's deform_conv2d: the same function (stride and dilation 1, one
    group of the weight), computed by plain PyTorch where torchvision's kernel does not load."""
    import torchvision

    with mock.patch.object(torchvision.ops, 'deform_conv2d', _as_torchvision):
        yield


@contextmanager
def deform_conv_that_runs() -> Iterator[None]:
    """torchvision.ops.deform_conv2d in float32 under autocast on a CPU too, as autocast has it on a GPU; this package's
    where torchvision's kernel does not load."""
    if not _torchvision_runs():
        with torchvision_deform_conv_replaced():
            yield
        return
    import torchvision

    plainly = torchvision.ops.deform_conv2d

    def call(input, *args, **kwargs):
        if input.is_cuda:
            return plainly(input, *args, **kwargs)
        with torch.autocast('cpu', enabled=False):
            args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.float, (args, kwargs))
            return plainly(input.float(), *args, **kwargs).to(input.dtype)

    with mock.patch.object(torchvision.ops, 'deform_conv2d', call):
        yield


def deform_conv_in_use(net: nn.Module) -> str | None:
    """Whose deformable convolution a network of BasicSR runs with: 'torchvision' or 'basicsr_ssm'; None has none."""
    from basicsr.ops.dcn import ModulatedDeformConv

    if not any(isinstance(module, ModulatedDeformConv) for module in net.modules()):
        return None
    return 'torchvision' if _torchvision_runs() else 'basicsr_ssm'


def _torchvision_runs() -> bool:
    import torchvision  # noqa: F401  (declares its operators, where they load)

    return hasattr(torch.ops.torchvision, 'deform_conv2d')


@contextmanager
def built_with_alignment() -> Iterator[None]:
    """BasicVSRPlusPlus is built as on a GPU, wherever it is built."""
    with mock.patch.object(torch.cuda, 'is_available', lambda: True):
        yield


def _as_torchvision(input, offset, weight, bias=None, stride=1, padding=0, dilation=1, mask=None):
    (stride, across), (padding, beside), (dilation, along) = (_pair(v) for v in (stride, padding, dilation))
    if (stride, across, dilation, along) != (1, 1, 1, 1) or padding != beside:
        raise ValueError('deform_conv2d: measured with stride 1, dilation 1 and the same padding on all sides only')
    if mask is None:
        mask = torch.ones_like(offset[:, ::2])
    return deform_conv2d(input, offset, mask, weight, bias, padding)


def _pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
