"""Which losses compare an output with a target."""

import pytest
from torch import nn

from basicsr_ssm.losses.checks import missing_target


class Named(nn.Module):
    def forward(self, pred, target=None, **kwargs): ...


class AnyName(nn.Module):
    def forward(self, x, y): ...


class Wrapped(nn.Module):
    def forward(self, *args): ...


class OfOneImage(nn.Module):
    def forward(self, pred): ...


class Weighted(nn.Module):
    def forward(self, pred, weight=None): ...


class Adversarial(nn.Module):
    def forward(self, judgement, target_is_real): ...


@pytest.mark.parametrize(
    'loss, problem',
    [
        (Named, None),
        (AnyName, None),
        (Wrapped, None),
        (OfOneImage, 'OfOneImage takes (pred), not (output, target)'),
        (Weighted, 'Weighted takes (pred, weight), not (output, target)'),
        (Adversarial, 'Adversarial takes (judgement, target_is_real), not (output, target)'),
    ],
)
def test_missing_target(loss, problem):
    assert missing_target(loss) == problem
