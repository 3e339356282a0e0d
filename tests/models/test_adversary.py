"""Training with a discriminator: what BasicSR's GAN models do, with all that VideoSSMModel adds."""

import math

import pytest
import tiny_training
import torch
from basicsr.archs import build_network
from training_runs import assert_same, assert_same_run, interrupted_at, run_two_processes

from basicsr_ssm.models import adversary

GAN = {
    'network_g': {'type': 'TinyNet', 'dropout': 0},
    'network_d': {'type': 'FourierDiscriminator', 'num_feat': 8},
    'train:gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.1},
    'train:optim_d': {'type': 'Adam', 'lr': 0.001},
}


def weights(experiment, net, iteration='latest'):
    return torch.load(experiment / f'models/net_{net}_{iteration}.pth', weights_only=True)['params']


def largest_difference(one, other):
    return max((one[k] - other[k]).abs().max().item() for k in one)


def test_equals_basicsrs_own_model(run):
    """Ten iterations of its VideoRecurrentGANModel: the same two networks."""
    changes = {**GAN, 'val': None, 'datasets:val': None, 'train:ema_decay': 0, 'train:fix_flow': 0}
    changes['train:flow_lr_mul'] = 1
    ours = run('ours', **changes)
    theirs = run('theirs', **changes, model_type='VideoRecurrentGANModel')
    for net in 'gd':
        assert largest_difference(weights(ours, net), weights(theirs, net)) < 1e-6
    without = run('without', **{**changes, 'network_d': None, 'train:gan_opt': None, 'train:optim_d': None})
    assert largest_difference(weights(ours, 'g'), weights(without, 'g')) > 1e-4
    assert not list(without.glob('models/net_d*'))


def test_checkpoint_and_log(run):
    experiment = run('a', **GAN)
    saved = torch.load(experiment / 'models/net_d_9.pth', weights_only=True)
    assert saved['network_d'] == GAN['network_d']
    assert largest_difference(saved['params'], weights(experiment, 'd', 3)) > 1e-4
    for name in ('l_g_gan', 'l_d_real', 'l_d_fake', 'out_d_real', 'out_d_fake', 'grad_norm', 'grad_norm_d'):
        assert f' {name}: ' in tiny_training.log_below(experiment)


RESUMED = {
    'float32': {},
    'fp16, accumulation, clipping, warm-up': {
        'train:amp': 'fp16',
        'train:accumulate': 2,
        'train:grad_clip': 0.01,
        'train:warmup_iter': 5,
    },
    'the discriminator first': {'train:net_d_iters': 2, 'train:net_d_init_iters': 3},
}


@pytest.mark.parametrize('case', RESUMED)
def test_resumed_equals_uninterrupted(case, run):
    changes = {**GAN, 'network_g': {'type': 'TinyNet'}, **RESUMED[case]}
    whole = run('whole', **changes)
    with interrupted_at(8):
        run('parts', **changes)
    parts = run('parts', '--auto_resume', **changes)
    assert_same_run(whole, parts)
    for file in ('models/net_d_latest.pth', 'models/net_d_9.pth'):
        assert_same(*(torch.load(folder / file, weights_only=True) for folder in (whole, parts)), file)
    state = torch.load(parts / 'training_states/9.state', weights_only=True)
    assert len(state['optimizers']) == len(state['schedulers']) == 2


def test_checkpoint_without_its_discriminator_is_passed_over(run, tmp_path, caplog):
    with interrupted_at(8):
        run('parts', **GAN)
    (tmp_path / 'parts/experiments/tiny/models/net_d_6.pth').unlink()
    parts = run('parts', '--auto_resume', **GAN)
    assert 'passes over 6.state' in caplog.text
    assert_same_run(run('whole', **GAN), parts)


def test_discriminator_cannot_join_a_run(run, tmp_path, capsys):
    with interrupted_at(5):
        run('a')
    experiment = tmp_path / 'a/experiments/tiny'
    changes = {**GAN, 'path:resume_state': str(experiment / 'training_states/3.state')}
    torch.save({'params': build_network(GAN['network_d']).state_dict()}, experiment / 'models/net_d_3.pth')
    run('a', status=2, **changes)
    assert 'a run with 1 optimizers, this one has 2' in capsys.readouterr().err


def test_starts_from_weights(run):
    first = run('first', **GAN)
    path = str(first / 'models/net_d_latest.pth')
    second = run('second', **GAN, **{'path:pretrain_network_d': path, 'train:optim_d:lr': 1e-12})
    assert largest_difference(weights(first, 'd'), weights(second, 'd')) < 1e-6


def test_accumulation_equals_the_larger_batch(run):
    whole = run('a', **GAN, **{'datasets:train:batch_size_per_gpu': 4})
    parts = run('b', **GAN, **{'datasets:train:batch_size_per_gpu': 2, 'train:accumulate': 2})
    other = run('c', **GAN, **{'datasets:train:batch_size_per_gpu': 2})
    for net in 'gd':
        # Adam makes much of the rounding errors of small gradients
        assert largest_difference(weights(whole, net), weights(parts, net)) < 5e-5
        assert largest_difference(weights(whole, net), weights(other, net)) > 5e-4


@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_autocast(amp, run):
    exact, cast = run('exact', **GAN), run('cast', **GAN, **{'train:amp': amp})
    for net in 'gd':
        assert all(value.dtype == torch.float32 for value in weights(cast, net).values())
        assert 0 < largest_difference(weights(exact, net), weights(cast, net)) < 0.02


def test_generator_waits_for_the_discriminator(run):
    changes = {'logger:save_checkpoint_freq': 1, 'train:net_d_init_iters': 3, 'train:net_d_iters': 2}
    experiment = run('a', **GAN, **changes)
    moved = {
        net: [largest_difference(weights(experiment, net, i - 1), weights(experiment, net, i)) > 0 for i in range(2, 8)]
        for net in 'gd'
    }
    assert moved['g'] == [i > 3 and i % 2 == 0 for i in range(2, 8)]
    assert all(moved['d'])


def test_generator_loss_leaves_the_discriminator_alone():
    net = build_network(GAN['network_d'])
    optimizer = torch.optim.Adam(net.parameters())
    opponent = adversary.Adversary(
        net, net, optimizer, {'gan_opt': GAN['train:gan_opt']}, lambda: torch.autocast('cpu', enabled=False)
    )
    output = torch.rand(1, 2, 3, 8, 8, requires_grad=True)
    loss = opponent.generator_loss(output)
    loss.backward()
    expected = 0.1 * torch.nn.functional.softplus(-net(output.flatten(0, 1))).mean()
    torch.testing.assert_close(loss, expected)
    assert output.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_gradients_are_clipped_apart(run):
    """So little that Adam's eps, 1e-8, is most of its step."""
    changes = {'train:grad_clip': 1e-12, 'logger:save_checkpoint_freq': 1}
    experiment = run('a', **GAN, **changes)
    assert largest_difference(weights(experiment, 'd', 1), weights(experiment, 'd')) < 1e-5
    assert largest_difference(weights(experiment, 'g', 1), weights(experiment, 'g')) < 1e-5


def overflow_discriminator(monkeypatch, iterations):
    """Its gradient is infinite in the given iterations."""
    calls = iter(range(1, 1000))

    def backward(self, output, gt, backward, last, really=adversary.Adversary.backward):
        log = really(self, output, gt, backward, last)
        if next(calls) in iterations:
            next(self.net.parameters()).grad.fill_(math.inf)
        return log

    monkeypatch.setattr(adversary.Adversary, 'backward', backward)


def test_overflow_stops_float32(run, capsys, monkeypatch):
    overflow_discriminator(monkeypatch, [3])
    run('a', status=2, **GAN)
    assert 'iteration 3: gradient norm of network_d is inf, batch [' in capsys.readouterr().err


def test_overflow_skips_its_step_alone_in_fp16(run, monkeypatch):
    overflow_discriminator(monkeypatch, [3])
    experiment = run('a', **GAN, **{'train:amp': 'fp16', 'train:fix_flow': 0})
    state = torch.load(experiment / 'training_states/9.state', weights_only=True)
    assert state['scaler']['scale'] == 65536 / 2
    steps = [{int(s['step']) for s in optimizer['state'].values()} for optimizer in state['optimizers']]
    assert steps == [{9}, {8}]


def test_no_gan_loss(run, capsys):
    run('a', status=2, **{**GAN, 'train:gan_opt': {'type': 'L1Loss'}})
    assert 'train.gan_opt: L1Loss is no GAN loss; take GANLoss' in capsys.readouterr().err


def test_two_processes_equal_one(run, tmp_path):
    changes = {**GAN, 'datasets:train:clips': 8, 'train:fix_flow': 3, 'datasets:val': None, 'val': None}
    alone = run('alone', **changes, **{'datasets:train:batch_size_per_gpu': 4})
    folder = tmp_path / 'together'
    folder.mkdir()
    changes.update({'datasets:train:batch_size_per_gpu': 1, 'train:accumulate': 2})
    option_file = tiny_training.write_options(folder, **changes)
    run_two_processes(folder, option_file)
    for net in 'gd':
        assert largest_difference(weights(alone, net), weights(folder / 'experiments/tiny', net)) < 5e-5


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, 'bf16', 'fp16'])
def test_on_a_gpu(amp, run):
    on_cpu, on_gpu = run('cpu', **GAN), run('gpu', **GAN, num_gpu=1, **{'train:amp': amp})
    for net in 'gd':
        assert largest_difference(weights(on_cpu, net), weights(on_gpu, net)) < (0.02 if amp else 0.002)
