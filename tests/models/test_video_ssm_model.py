import errno

import pytest
import torch
from tiny_training import OPTIONS, log_below

from basicsr_ssm import files
from basicsr_ssm.models import video_ssm_model

NO_DROPOUT = {'network_g': {'type': 'TinyNet', 'dropout': 0}}


def weights(experiment, key='params'):
    return torch.load(experiment / 'models/net_g_latest.pth', weights_only=True)[key]


def largest_difference(one, other):
    return max((one[k] - other[k]).abs().max().item() for k in one)


def test_total_iter_iterations_run(run):
    """BasicSR's own loop counts 5 iterations in an epoch of 9 clips by 2, of which there are 4, and may end early."""
    experiment = run('a', **{'logger:save_checkpoint_freq': 1, 'train:total_iter': 25, 'train:scheduler:periods': [25]})
    iterations = sorted(int(path.stem) for path in experiment.glob('training_states/*.state'))
    assert iterations == list(range(1, 26))


def test_without_validation(run):
    experiment = run('a', val=None, **{'datasets:val': None})
    assert (experiment / 'models/net_g_latest.pth').exists() and not (experiment / 'metrics.json').exists()


def test_accumulation_equals_the_larger_batch(run):
    whole = weights(run('a', **NO_DROPOUT, **{'datasets:train:batch_size_per_gpu': 4}))
    parts = weights(run('b', **NO_DROPOUT, **{'datasets:train:batch_size_per_gpu': 2, 'train:accumulate': 2}))
    assert largest_difference(whole, parts) < 1e-6
    other = weights(run('c', **NO_DROPOUT, **{'datasets:train:batch_size_per_gpu': 2}))
    assert largest_difference(whole, other) > 1e-4


@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_autocast(amp, run):
    exact = weights(run('exact', **NO_DROPOUT))
    cast = weights(run('cast', **NO_DROPOUT, **{'train:amp': amp, 'val:amp': amp}))
    assert all(value.dtype == torch.float32 for value in cast.values())
    assert 0 < largest_difference(exact, cast) < 0.02


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [None, 'bf16', 'fp16'])
def test_on_a_gpu(amp, run):
    on_cpu = weights(run('cpu', **NO_DROPOUT))
    on_gpu = weights(run('gpu', **NO_DROPOUT, num_gpu=1, **{'train:amp': amp}))
    assert all(value.device.type == 'cpu' for value in on_gpu.values())
    assert largest_difference(on_cpu, on_gpu) < (0.02 if amp else 0.002)


@pytest.mark.gpu
def test_resumes_on_a_gpu(run, tmp_path):
    experiment = run('a', num_gpu=1, **{'train:amp': 'fp16'})
    for left in ('9', '6'):
        (experiment / f'training_states/{left}.state').unlink()
    run('a', '--auto_resume', num_gpu=1, **{'train:amp': 'fp16'})
    assert torch.load(experiment / 'training_states/9.state', weights_only=True)['scaler']['_growth_tracker'] == 9


def test_gradients_are_clipped(run):
    free, clipped = weights(run('free')), weights(run('clipped', **{'train:grad_clip': 1e-9}))
    assert largest_difference(free, clipped) > 1e-4


def test_extra_losses_are_added_and_logged(run):
    extra = [{'type': 'L1Loss', 'loss_weight': 2.0}, {'type': 'L1Loss', 'loss_weight': 1e-9}]
    with_extra = run('a', **{'train:extra_losses': extra})
    assert 'l_L1Loss: ' in log_below(with_extra) and 'l_L1Loss_1: ' in log_below(with_extra)
    assert largest_difference(weights(with_extra), weights(run('b'))) > 1e-6


@pytest.mark.parametrize('amp', [None, 'bf16'])
@pytest.mark.parametrize(
    'loss',
    [
        {'type': 'FrequencyCharbonnierLoss', 'lambda_re': 0.02, 'lambda_im': 0.02, 'norm': 'ortho'},
        {'type': 'FocalFrequencyLoss', 'loss_weight': 0.02, 'patch_factor': 2},
        {'type': 'FourierSpaceLoss', 'loss_weight': 0.02},
        {'type': 'WaveletHighFrequencyLoss', 'loss_weight': 0.02, 'levels': 2},
    ],
    ids=lambda loss: loss['type'],
)
def test_frequency_losses_beside_charbonnier(loss, amp, run, tmp_path):
    plain = weights(run('plain', **NO_DROPOUT, **{'train:amp': amp}))
    experiment = run('with', **NO_DROPOUT, **{'train:extra_losses': [loss], 'train:amp': amp})
    assert f'l_{loss["type"]}: ' in log_below(tmp_path)
    assert all(value.isfinite().all() for value in weights(experiment).values())
    assert largest_difference(weights(experiment), plain) > 1e-6


def test_extra_loss_that_takes_no_target(run, capsys):
    run('a', status=2, **{'train:extra_losses': [{'type': 'WeightedTVLoss'}]})
    assert 'train.extra_losses.0: WeightedTVLoss takes (pred, weight), not (output, target)' in capsys.readouterr().err


def test_flow_network_is_frozen_as_published(run):
    """Frozen in iterations 1 … fix_flow − 1, then at its own learning rate."""
    experiment = run('a', **{'logger:save_checkpoint_freq': 1, 'train:total_iter': 6})
    nets = {i: torch.load(experiment / f'models/net_g_{i}.pth', weights_only=True)['params'] for i in range(1, 7)}
    of = {i: net['spynet.weight'] for i, net in nets.items()}
    assert torch.equal(of[1], of[5])
    assert not torch.equal(of[5], of[6])
    state = torch.load(experiment / 'training_states/6.state', weights_only=True)
    normal, flow = state['optimizers'][0]['param_groups']
    assert flow['lr'] == pytest.approx(normal['lr'] * 0.125, rel=1e-3)


def test_nan_in_the_input_names_clip_and_iteration(run, capsys):
    run('a', status=2, **{'datasets:train:bad': 4})
    message = capsys.readouterr().err
    assert "Input with NaN or infinity: ['clip4']" in message
    assert 'loss is not finite (l_pix nan)' in message
    assert 'iteration ' in message and 'Traceback' not in message


@pytest.mark.parametrize('workers, prefetch', [(0, None), (1, None), (1, 'cpu')])
def test_damaged_clip_stops_without_traceback(workers, prefetch, run, capsys):
    """Also where BasicSR's prefetcher would wait for ever."""
    changes = {'datasets:train:num_worker_per_gpu': workers, 'datasets:train:prefetch_mode': prefetch}
    run('a', status=2, **{'datasets:train:damaged': 4}, **changes)
    assert capsys.readouterr().err.endswith('error: clip4: cannot be read\n')


def test_folder_that_cannot_be_made(run, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    run('a', status=2, **{'path:experiments_root': str(tmp_path / 'file/run')})
    assert capsys.readouterr().err.endswith(f"error: [Errno 20] Not a directory: '{tmp_path}/file/run'\n")


def test_nan_from_the_network_is_not_blamed_on_the_input(run, capsys, monkeypatch):
    losses = video_ssm_model.VideoSSMModel._losses

    def overflowing(self, output, gt):
        return {name: loss * float('inf') for name, loss in losses(self, output, gt).items()}

    monkeypatch.setattr(video_ssm_model.VideoSSMModel, '_losses', overflowing)
    run('a', status=2)
    message = capsys.readouterr().err
    assert 'iteration 1: loss is not finite (l_pix inf)' in message and 'Its input is finite' in message


def overflow_gradients(monkeypatch, iterations):
    losses = video_ssm_model.VideoSSMModel._losses
    calls = iter(range(1, 1000))

    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float('inf')

    def overflowing(self, output, gt):
        return losses(self, Overflow.apply(output) if next(calls) in iterations else output, gt)

    monkeypatch.setattr(video_ssm_model.VideoSSMModel, '_losses', overflowing)


def test_gradient_overflow_stops_float32(run, capsys, monkeypatch):
    overflow_gradients(monkeypatch, [3])
    run('a', status=2)
    assert 'iteration 3: gradient norm is nan, batch [' in capsys.readouterr().err


def test_gradient_overflow_is_skipped_in_fp16(run, monkeypatch):
    overflow_gradients(monkeypatch, [3, 4])
    experiment = run('a', **{'train:amp': 'fp16'})
    assert all(value.isfinite().all() for value in weights(experiment).values())
    state = torch.load(experiment / 'training_states/9.state', weights_only=True)
    assert state['scaler']['scale'] == 65536 / 4
    assert state['optimizers'][0]['state'][2]['step'] == 9 - 2


def test_endless_overflow_stops_fp16(run, capsys, monkeypatch):
    overflow_gradients(monkeypatch, range(1000))
    run('a', status=2, **{'train:amp': 'fp16', 'train:total_iter': 40, 'train:scheduler:periods': [40]})
    assert 'iteration 26: gradient norm is nan for 26 steps in a row' in capsys.readouterr().err


def test_full_disk_stops_and_harms_nothing(run, tmp_path, capsys, monkeypatch):
    class FullDisk:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.file.write(bytes(content)[:100])
            raise OSError(errno.ENOSPC, 'No space left on device')

    def open_(path, mode):
        return FullDisk(open(path, mode)) if path.name == '.6.state.tmp' else open(path, mode)

    monkeypatch.setattr(files, 'open', open_, raising=False)
    run('a', status=2)
    assert 'training_states/6.state: cannot write (the disk is full' in capsys.readouterr().err
    experiment = tmp_path / 'a/experiments/tiny'
    assert torch.load(experiment / 'training_states/3.state', weights_only=True)['iter'] == 3
    assert sorted(p.name for p in (experiment / 'training_states').iterdir()) == ['3.state']


def test_set_smaller_than_a_batch(run, capsys):
    run('a', status=2, **{'datasets:train:clips': 3, 'datasets:train:batch_size_per_gpu': 2, 'train:accumulate': 2})
    message = capsys.readouterr().err
    assert 'an iteration takes 4 samples, but an epoch of clips has 3 × 1' in message
    assert 'lower batch_size_per_gpu or train.accumulate or raise dataset_enlarge_ratio' in message


def test_wrong_checkpoint_is_named(run, tmp_path, capsys):
    path = tmp_path / 'other.pth'
    torch.save({'params': {'body.weight': torch.zeros(1)}}, path)
    run('a', status=2, **{'path:pretrain_network_g': str(path)})
    stderr = capsys.readouterr().err
    message = stderr[stderr.index('error: ') :]  # the loaders of earlier tests may be heard before
    assert str(path) in message and 'missing' in message and 'Traceback' not in message


def test_trains_on_from_weights(run):
    first = run('first')
    path = str(first / 'models/net_g_latest.pth')
    changes = {'path:pretrain_network_g': path, 'train:optim_g:lr': 1e-12, 'train:scheduler:eta_min': 0}
    second = run('second', **changes)
    assert largest_difference(weights(first), weights(second)) < 1e-6
    assert largest_difference(weights(first), weights(first, 'params_ema')) > 1e-4


def test_test_prefers_ema_weights(run):
    """The test command measures what the last validation of the training measured."""
    train = run('a')
    path = str(train / 'models/net_g_latest.pth')
    test_set = {'test': {'name': 'any name', 'type': 'TinyTestClips', 'folders': ['a', 'b']}}
    changes = {'datasets': test_set, 'train': None, 'path:pretrain_network_g': path}
    with_ema = run('a', command='test', **changes)
    assert (with_ema / 'metrics.json').read_text() == (train / 'metrics.json').read_text()
    without = run('b', command='test', **changes, **{'val:use_ema': False})
    assert (without / 'metrics.json').read_text() != (train / 'metrics.json').read_text()


@pytest.mark.parametrize('command', ['train', 'test'])
def test_settings_that_are_not_those_of_the_checkpoint_are_named(command, run, tmp_path):
    """Dropout leaves no trace in the weights, as window_size and num_propagated of MedVSR leave none."""
    path = run('first') / 'models/net_g_latest.pth'
    changes = {'path:pretrain_network_g': str(path), 'network_g': {'type': 'TinyNet', 'dropout': 0.5, 'width': 4}}
    if command == 'test':
        changes |= {'datasets': {'test': OPTIONS['datasets']['val']}, 'train': None}
    run('other', command=command, **changes)
    said = f'{path} is of a network_g with other settings: dropout 0.2 (here 0.5)\n'
    assert log_below(tmp_path).count(said) == 1


def test_the_same_settings_written_out_are_no_others(run, tmp_path):
    path = run('first', **{'network_g': {'type': 'TinyNet', 'width': 4}}) / 'models/net_g_latest.pth'
    run('other', **{'path:pretrain_network_g': str(path), 'network_g': {'type': 'TinyNet', 'dropout': 0.2}})
    assert 'loaded from' in log_below(tmp_path) and 'other settings' not in log_below(tmp_path)
