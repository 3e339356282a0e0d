"""Options of the optimizer and of the learning rate that change before a run is resumed."""

import contextlib
import io
import json
import pickle
import warnings
from collections import Counter

import pytest
import torch
from basicsr.models.base_model import BaseModel
from tiny_training import log_below
from training_runs import interrupted_at

GAN = {
    'network_d': {'type': 'FourierDiscriminator', 'num_feat': 4},
    'train:gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.01},
    'train:optim_d': {'type': 'Adam', 'lr': 0.001},
}
MULTI_STEP = {'type': 'MultiStepLR', 'milestones': [4, 8], 'gamma': 0.5}
# before the interruption, after it, and what the log says of it
SCHEDULES = {
    'lr': ({}, {'train:optim_g:lr': 0.001}, 'base_lrs: [0.002, 0.00025] → [0.001, 0.000125]'),
    'flow_lr_mul': ({}, {'train:flow_lr_mul': 0.5}, 'base_lrs: [0.002, 0.00025] → [0.002, 0.001]'),
    'periods': ({}, {'train:scheduler:periods': [20]}, 'periods: [10] → [20]'),
    'eta_min': ({}, {'train:scheduler:eta_min': 1e-4}, 'eta_min: 1e-07 → 0.0001'),
    'restarts': (
        {},
        {'train:scheduler:periods': [4, 6], 'train:scheduler:restart_weights': [1, 0.5]},
        'restart_weights: [1] → [1, 0.5]',
    ),
    'another scheduler': ({}, {'train:scheduler': MULTI_STEP}, 'milestones: none → {4: 1, 8: 1}'),
    'back again': ({'train:scheduler': MULTI_STEP}, {'train:warmup_iter': 3}, 'milestones: {4: 1, 8: 1} → none'),
    'milestones': (
        {'train:scheduler': MULTI_STEP},
        {'train:scheduler': {**MULTI_STEP, 'milestones': [2, 5, 9]}},
        'milestones: {4: 1, 8: 1} → {2: 1, 5: 1, 9: 1}',
    ),
    'shorter warm-up': (
        {'train:scheduler': MULTI_STEP, 'train:warmup_iter': 9},
        {'train:scheduler': MULTI_STEP, 'train:warmup_iter': 3},
        'warmup_iter: 9 → 3',
    ),
    'of a discriminator': (GAN, {**GAN, 'train:optim_d:lr': 0.01}, 'base_lrs: [0.001] → [0.01]'),
}


def rates(experiment):
    return {entry['iter']: entry['lr'] for entry in map(json.loads, (experiment / 'losses.jsonl').open())}


def state_of(experiment, iteration=9):
    return torch.load(experiment / f'training_states/{iteration}.state', weights_only=True)


@pytest.mark.parametrize('case', SCHEDULES)
def test_learning_rates_are_those_of_the_new_schedule(case, run, tmp_path):
    before, after, said = SCHEDULES[case]
    wanted = run('wanted', **after)
    with interrupted_at(8):
        run('a', **before)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)  # PyTorch's, of schedulers that step before the optimizer
        experiment = run('a', '--auto_resume', **after)
    assert [rates(experiment)[i] for i in range(7, 11)] == [rates(wanted)[i] for i in range(7, 11)]
    assert rates(experiment)[6] != rates(wanted)[6] or before is GAN
    one, other = (state_of(folder)['schedulers'] for folder in (experiment, wanted))
    assert one == other
    assert 'The schedule of learning rates changed' in log_below(tmp_path) and said in log_below(tmp_path)


def test_an_unchanged_schedule_is_not_replayed(run, tmp_path, monkeypatch):
    """What BasicSR saves is a Counter of milestones, and has no warmup_iter beside it."""
    changes = {'train:scheduler': MULTI_STEP}
    with interrupted_at(8):
        run('a', **changes)
    path = tmp_path / 'a/experiments/tiny/training_states/6.state'
    state = torch.load(path, weights_only=True)
    state['schedulers'][0]['verbose'] = False
    state['schedulers'][0]['restarts'] = [0]
    del state['warmup_iter']
    torch.save(state, path)
    begun = []
    update = BaseModel.update_learning_rate

    def update_learning_rate(self, current_iter, warmup_iter=-1):
        begun.append(current_iter)
        update(self, current_iter, warmup_iter)

    monkeypatch.setattr(BaseModel, 'update_learning_rate', update_learning_rate)
    run('a', '--auto_resume', **changes)
    assert begun == [7, 8, 9, 10]
    assert 'changed since' not in log_below(tmp_path)


def test_settings_of_the_optimizer_are_those_of_the_options(run, tmp_path):
    with interrupted_at(8):
        run('a')
    optim = {'type': 'Adam', 'lr': 0.002, 'betas': [0.8, 0.9], 'weight_decay': 0.1, 'amsgrad': True}
    state = state_of(run('a', '--auto_resume', **{'train:optim_g': optim}))['optimizers'][0]
    assert {(*group['betas'], group['weight_decay']) for group in state['param_groups']} == {(0.8, 0.9, 0.1)}
    assert {moments['step'].item() for moments in state['state'].values()} == {9, 4}  # the flow network is freed at 6
    assert all('max_exp_avg_sq' in moments for moments in state['state'].values())
    assert 'betas: [0.9, 0.99] → [0.8, 0.9]; weight_decay: 0 → 0.1; amsgrad: False → True' in log_below(tmp_path)
    assert 'schedule of learning rates changed' not in log_below(tmp_path)


@pytest.mark.parametrize('before, after', [(0.125, 1), (1, 0.125)])
def test_another_number_of_parameter_groups(before, after, run, capsys):
    with interrupted_at(5):
        run('a', **{'train:flow_lr_mul': before})
    run('a', '--auto_resume', status=2, **{'train:flow_lr_mul': after})
    message = capsys.readouterr().err
    assert 'a run goes on with its networks, and with train.flow_lr_mul at 1 (one group) or not (two)' in message


def counters_load() -> bool:
    file = io.BytesIO()
    torch.save(Counter(), file)
    file.seek(0)
    with contextlib.suppress(pickle.UnpicklingError):
        return torch.load(file, weights_only=True) == Counter()
    return False


needs_counters = pytest.mark.skipif(not counters_load(), reason='this torch loads no Counter, which MultiStepLR has')


@pytest.mark.parametrize('scheduler', [pytest.param(MULTI_STEP, marks=needs_counters), None])
def test_goes_on_from_a_checkpoint_of_basicsr(scheduler, run, tmp_path):
    changes = {'train:scheduler': scheduler} if scheduler else {}
    run('a', **changes, **{'model_type': 'VideoRecurrentModel', 'train:total_iter': 8})
    experiment = run('a', '--auto_resume', **changes)
    assert rates(experiment) == rates(run('b', **changes))
    assert {moments['step'].item() for moments in state_of(experiment)['optimizers'][0]['state'].values()} == {9, 4}
    assert 'iter: 6.' in log_below(tmp_path) and 'changed since' not in log_below(tmp_path)
