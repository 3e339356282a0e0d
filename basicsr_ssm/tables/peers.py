"""BasicSR's networks beside ours: whose deformable convolution they run with.

BasicVSRPlusPlus and EDVR call torchvision.ops.deform_conv2d, which does not run under autocast on a CPU, and whose
multiply-adds a counter does not see. Nothing of this changes BasicSR beyond a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from basicsr_ssm.ops.as_torchvision import deform_conv2d_as_torchvision


@contextmanager
def torchvision_deform_conv_replaced() -> Iterator[None]:
    """torchvision.ops.deform_conv2d is this package's deform_conv2d: the same function (stride and dilation 1, one
    group of the weight), computed by plain PyTorch where torchvision's kernel does not load."""
    import torchvision

    with mock.patch.object(torchvision.ops, 'deform_conv2d', deform_conv2d_as_torchvision):
        yield


@contextmanager
def deform_conv_that_runs() -> Iterator[None]:
    """torchvision.ops.deform_conv2d in float32 under autocast on a CPU too, as autocast has it on a GPU."""
    if not _torchvision_runs():  # this package's is in its place, and does
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
