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


def check_takes_target(loss: nn.Module, where: str) -> None:
    """Raises UserError, naming the option ``where``, for a loss that does not take (output, target)."""
    arguments = list(inspect.signature(loss.forward).parameters)[:2]
    if len(arguments) < 2 or arguments[1] not in ('target', 'gt'):
        raise UserError(f'{where}: {type(loss).__name__} takes ({", ".join(arguments)}), not (output, target)')
