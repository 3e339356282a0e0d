"""Whether Triton can serve a call at all. Importing this imports no Triton."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata

import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
OLDEST = (3, 6)  # what the kernels were compiled with
OLDEST_GPU = (8, 0)  # compute capability; those before have less shared memory than some kernels need


def _constant_when_compiled(function: Callable) -> Callable:
    """What torch.compiler.assume_constant_result does, which would import all that torch.compile needs for it."""
    function._dynamo_marked_constant = True
    return function


def why_not(*args) -> str | None:
    """The reason why Triton serves no call with these arguments, tensors among them, or with none no call at all.

    Tensors on the CPU are never served, not even where Triton's interpreter could: that is for tests, which call a
    backend's functions themselves.
    """
    if (reason := why_not_at_all()) is not None:
        return reason
    if not torch.cuda.is_available():
        return 'no CUDA device'
    if not args:
        reasons = [_too_old(index) for index in range(torch.cuda.device_count())]
        return None if None in reasons else next(iter(reasons), None)
    for v in args:
        if isinstance(v, torch.Tensor):
            if not v.is_cuda:
                return f'a tensor is on {v.device}, CUDA needed'
            if (reason := _too_old(v.device.index)) is not None:
                return reason
            if v.dtype not in DTYPES:
                return f'{v.dtype}: float32, bfloat16 and float16 only'
    return None


@_constant_when_compiled
def _too_old(index: int) -> str | None:
    """The reason why Triton serves no call on this CUDA device."""
    capability = _capability(index)
    if capability < OLDEST_GPU:
        needed, there = ('.'.join(map(str, v)) for v in (OLDEST_GPU, capability))
        return f'a GPU of compute capability {there}, {needed} or later needed'
    return None


def why_not_recorded(*args) -> str | None:
    """The reason why a kernel without a backward pass serves no call with these arguments."""
    recorded = torch.is_grad_enabled() and any(isinstance(v, torch.Tensor) and v.requires_grad for v in args)
    return 'forward only, and a gradient is recorded' if recorded else None


@_constant_when_compiled
def why_not_at_all() -> str | None:
    """The reason why Triton serves no call on any device, its interpreter included."""
    if _version() is None:
        return 'the package triton is not installed'
    if _version() < OLDEST:
        return f'Triton {".".join(map(str, OLDEST))} or later needed, {".".join(map(str, _version()))} is installed'
    if torch.version.hip is not None:
        return 'made for NVIDIA GPUs'
    return None


def on_device_of(v: torch.Tensor):
    """A context in which kernels start on the device of v."""
    return torch.cuda.device(v.device) if v.is_cuda else contextlib.nullcontext()


def multiprocessors(device: torch.device) -> int:
    """How many a GPU has; 1 of a CPU, in the interpreter."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == 'cuda' else 1


@lru_cache
def _capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


@lru_cache
def _version() -> tuple[int, ...] | None:
    if importlib.util.find_spec('triton') is None:
        return None
    return tuple(int(part) for part in metadata.version('triton').split('.')[:2])
