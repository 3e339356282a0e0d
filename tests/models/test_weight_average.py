import pytest
import torch
from tiny_training import log_below
from torch import nn

from basicsr_ssm.models.weight_average import follow, untrained_share, warning_of


def test_the_average_follows():
    one, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    other.weight.data.fill_(3)
    other.running_mean.fill_(5)
    follow(one, other, 0.75)
    assert torch.equal(one.weight, torch.full((2,), 1.5))
    assert torch.equal(one.running_mean, torch.full((2,), 5.0))  # as it is, not its mean


@pytest.mark.parametrize(
    ('decay', 'iterations', 'share'),
    [(0.999, 1000, 0.368), (0.999, 100_000, 0), (0.99, 1000, 0), (0, 10, 0), (None, 10, 0), (0.9, 10, 0.349)],
)
def test_what_is_left_of_the_start(decay, iterations, share):
    train = {'ema_decay': decay, 'total_iter': iterations}
    assert untrained_share(train) == pytest.approx(share, abs=1e-3)
    assert untrained_share(train, {'pretrain_network_g': 'trained.pth'}) == 0
    assert (warning_of(train) is None) == (share == 0)


def test_the_share_is_that_of_the_weights():
    start, net = nn.Linear(1, 1), nn.Linear(1, 1)
    start.weight.data.fill_(1)
    net.weight.data.fill_(0)
    for _ in range(50):
        follow(start, net, 0.95)
    assert start.weight.item() == pytest.approx(untrained_share({'ema_decay': 0.95, 'total_iter': 50}), rel=1e-5)


def test_a_training_warns(run, tmp_path):
    run('a')  # 10 iterations, decay 0.9
    (line,) = (line for line in log_below(tmp_path).splitlines() if 'ema_decay: with' in line)
    assert 'WARNING' in line and '0.9 over 10 iterations, 35% of the averaged weights' in line
    assert line.endswith('0.631 leaves 1 %.')


def test_a_training_that_has_time_does_not(run, tmp_path):
    run('a', **{'train:ema_decay': 0.5})
    assert 'ema_decay: with' not in log_below(tmp_path)
