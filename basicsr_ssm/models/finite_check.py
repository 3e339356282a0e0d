"""Stops a training whose losses or gradients are not finite, and says where that came from."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from basicsr_ssm.errors import UserError

# GradScaler starts at 2**16 and halves at each step it skips: after 25 in a row the scale is not what is wrong.
MAX_SKIPPED_STEPS = 25
# as they are logged, and as errors name them
GRADIENT_NORMS = {'grad_norm': 'gradient norm', 'grad_norm_d': 'gradient norm of network_d'}

Batch = tuple[Sequence[str], torch.Tensor, torch.Tensor]


class FiniteCheck:
    """Of the iterations of one training.

    Args:
        scaler: of the losses; if it is enabled, it skips steps whose gradients are not finite.

    Attributes:
        skipped_steps: how many iterations in a row had such steps until now.
    """

    def __init__(self, scaler: torch.amp.GradScaler):
        self._scaler = scaler
        self.skipped_steps = 0

    def stepping(
        self, current_iter: int, losses: dict[str, torch.Tensor], norms: dict[str, torch.Tensor], batch: Batch
    ) -> set[str]:
        """The finite norms; the scaler will skip the other networks' steps, for an overflow that is normal in fp16.

        Args:
            norms: of the gradients of each network, by keys of GRADIENT_NORMS.
            batch: names, LQ and GT of the clips, to blame.

        Raises:
            UserError: a loss is not finite, or a gradient that the scaler does not excuse.
        """
        loss_is_finite, *finite = torch.stack([sum(losses.values()), *norms.values()]).isfinite().tolist()
        stepping = {name for name, is_finite in zip(norms, finite, strict=True) if is_finite}
        if loss_is_finite and len(stepping) == len(norms):
            self.skipped_steps = 0
            return stepping
        if loss_is_finite and self._scaler.is_enabled() and self.skipped_steps < MAX_SKIPPED_STEPS:
            self.skipped_steps += 1
            return stepping
        broken = {f'{name} {loss.item():g}' for name, loss in losses.items() if not loss.isfinite()}
        what = f'loss is not finite ({", ".join(sorted(broken))})'
        if not broken:
            what = ', '.join(f'{GRADIENT_NORMS[n]} is {norms[n].item():g}' for n in norms if n not in stepping)
        if self.skipped_steps:
            what += f' for {self.skipped_steps + 1} steps in a row'
        raise UserError(
            f'iteration {current_iter}: {what}, batch {list(batch[0])}. {_blame(*batch)}'
            f'Nothing was stepped; the last checkpoint is unharmed.'
        )


def _blame(keys: Sequence[str], lq: torch.Tensor, gt: torch.Tensor) -> str:
    """Which clips of the batch hold a NaN or an infinity themselves."""
    keys = list(keys) or [f'sample {i}' for i in range(len(lq))]
    bad = [key for key, *clip in zip(keys, lq, gt, strict=False) if not all(c.isfinite().all() for c in clip)]
    return f'Input with NaN or infinity: {bad}. ' if bad else 'Its input is finite. '
