"""What the losses accept."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from basicsr_ssm.errors import UserError


def check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raises ValueError for a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f'{name}: unknown {value!r}; there are {", ".join(map(repr, known))}')


def check_pair(pred: torch.Tensor, target: torch.Tensor, axes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in float32, or float64 where they are: half precision has too few digits for sums over a whole frame.

    Raises:
        ValueError: the shapes differ (nothing is broadcast), or have fewer axes than ``axes``.
    """
    if pred.shape != target.shape:
        raise ValueError(f'pred {(*pred.shape,)} and target {(*target.shape,)} differ in shape')
    if pred.dim() < axes:
        wanted = '(…, h, w)' if axes == 2 else '(…, c, h, w)'
        raise ValueError(f'expected {wanted}, got {(*pred.shape,)}')
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


def missing_target(loss: type[nn.Module]) -> str | None:
    """What is wrong with a class of losses that cannot compare (output, target); None for one that can."""
    arguments = list(inspect.signature(loss.forward).parameters.values())[1:3]
    if any(argument.kind is argument.VAR_POSITIONAL for argument in arguments):
        return None
    names = [argument.name for argument in arguments]
    # a target has many names, but is not left out; a GAN loss is told instead whether its input is real
    needed = len(names) == 2 and arguments[1].default is inspect.Parameter.empty and names[1] != 'target_is_real'
    if needed or names[1:] in (['target'], ['gt']):
        return None
    return f'{loss.__name__} takes ({", ".join(names)}), not (output, target)'


def check_takes_target(loss: nn.Module, where: str) -> None:
    """Raises UserError, naming the option ``where``, for a loss that does not take (output, target)."""
    if problem := missing_target(type(loss)):
        raise UserError(f'{where}: {problem}')
