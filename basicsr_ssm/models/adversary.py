"""A discriminator that trains along with the restoring network."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator

import torch
from basicsr.losses import build_loss
from torch import nn

from basicsr_ssm.errors import UserError
from basicsr_ssm.models.parallel import alone


class Adversary:
    """Discriminator, GAN loss and optimizer of a run with ``network_d``; frames of a clip are judged one by one.

    The order is that of BasicSR's GAN models: the generator's step and the discriminator's are both taken from what the
    two networks were before.

    Attributes:
        net: the discriminator, (n, c, h, w) → judgements, as it is wrapped for the devices.
        optimizer: of its parameters.

    Args:
        net, optimizer: see above.
        bare: the discriminator without its wrapping.
        train_opt: the ``train`` section: gan_opt, and as in BasicSR net_d_iters (the generator is trained in each
            iteration that this divides, default 1) and net_d_init_iters (only after these, default 0).
        autocast: makes the context in which networks run.

    Raises:
        UserError: gan_opt is no GAN loss.
    """

    def __init__(
        self,
        net: nn.Module,
        bare: nn.Module,
        optimizer: torch.optim.Optimizer,
        train_opt: dict,
        autocast: Callable[[], contextlib.AbstractContextManager],
    ):
        self.net = net
        self.optimizer = optimizer
        self._bare = bare
        self._autocast = autocast
        self._criterion = build_loss(train_opt['gan_opt']).to(next(bare.parameters()).device)
        if 'target_is_real' not in inspect.signature(self._criterion.forward).parameters:
            raise UserError(f'train.gan_opt: {type(self._criterion).__name__} is no GAN loss; take GANLoss')
        self._generator_every = train_opt.get('net_d_iters', 1)
        self._generator_after = train_opt.get('net_d_init_iters', 0)

    def lets_generator_train(self, current_iter: int) -> bool:
        return current_iter % self._generator_every == 0 and current_iter > self._generator_after

    def generator_loss(self, output: torch.Tensor) -> torch.Tensor:
        """How little the restored clips (n, t, c, h, w) pass for real; no gradient for the discriminator."""
        # Bare: in this pass there is nothing for processes to exchange.
        with _frozen(self._bare):
            judgement = self._judge(self._bare, output)
        return self._criterion(judgement, True, is_disc=False)

    def backward(
        self, output: torch.Tensor, gt: torch.Tensor, backward: Callable[[torch.Tensor], None], last: bool
    ) -> dict[str, torch.Tensor]:
        """The discriminator's forward and backward on clips (n, t, c, h, w), one pass for each kind.

        Args:
            output: restored clips, detached.
            gt: real clips.
            backward: takes a loss back to the parameters.
            last: gradients are complete afterwards, so that processes exchange them.

        Returns:
            l_d_real, l_d_fake and the mean judgements out_d_real, out_d_fake.
        """
        log = {}
        for name, clips, real in (('real', gt, True), ('fake', output, False)):
            with alone(self.net, unless=last and not real):
                judgement = self._judge(self.net, clips)
                loss = self._criterion(judgement, real, is_disc=True)
                backward(loss)
            log[f'l_d_{name}'], log[f'out_d_{name}'] = loss, judgement.mean()
        return log

    def _judge(self, net: nn.Module, clips: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            judgement = net(clips.flatten(0, 1))
        return judgement.float()


@contextlib.contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
