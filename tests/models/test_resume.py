"""Interrupted and resumed equals uninterrupted, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_training
import torch
from killed_runs import tree
from tiny_training import log_below, write_options
from training_runs import assert_same_run, interrupted_at, run_two_processes

import basicsr_ssm
from basicsr_ssm.models.resume import load_resume_state

# An epoch has 4 iterations, the flow network is freed at 6, checkpoints are at the multiples of save_checkpoint_freq.
MULTI_STEP = {'type': 'MultiStepLR', 'milestones': [4, 8], 'gamma': 0.5}
CASES = {
    'mid-epoch': (5, {}),
    'at the end of an epoch': (5, {'logger:save_checkpoint_freq': 4}),
    'after the flow is freed': (8, {}),
    'workers': (8, {'datasets:train:num_worker_per_gpu': 2}),
    'prefetcher': (5, {'datasets:train:num_worker_per_gpu': 1, 'datasets:train:prefetch_mode': 'cpu'}),
    'accumulation, clipping, warm-up': (
        8,
        {'train:accumulate': 2, 'train:grad_clip': 0.01, 'train:warmup_iter': 5, 'train:scheduler': MULTI_STEP},
    ),
    'fp16 and its scaler': (8, {'train:amp': 'fp16'}),
    'without EMA': (8, {'train:ema_decay': 0}),
}


@pytest.mark.parametrize('case', CASES)
def test_resumed_equals_uninterrupted(case, run):
    iteration, changes = CASES[case]
    whole = run('whole', **changes)
    with interrupted_at(iteration):
        run('parts', **changes)
    parts = run('parts', '--auto_resume', **changes)
    assert_same_run(whole, parts)


def test_resumed_equals_uninterrupted_where_lq_is_made_on_the_fly(run, tmp_path):
    for clip in ('a', 'b'):
        (tmp_path / 'GT' / clip).mkdir(parents=True)
        for i in range(5):
            frame = np.random.default_rng(i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / 'GT' / clip / f'{i}.png'), frame)
    train = {
        **{'name': 'clips', 'type': 'MedicalClipDataset', 'dataroot_gt': str(tmp_path / 'GT'), 'num_frame': 3},
        **{'io_backend': {'type': 'disk'}, 'gt_size': 32, 'num_worker_per_gpu': 0, 'batch_size_per_gpu': 2},
        'degradation': {name: {'prob': 0.8} for name in ('blur', 'noise', 'compression')},
    }
    changes = {'datasets:train': train}
    whole = run('whole', **changes)
    with interrupted_at(5):
        run('parts', **changes)
    assert_same_run(whole, run('parts', '--auto_resume', **changes))


def test_resumes_from_the_path_in_the_option_file(run, tmp_path):
    whole = run('whole')
    state = tmp_path / 'parts/experiments/tiny/training_states/3.state'
    with interrupted_at(5):
        run('parts')
    assert_same_run(whole, run('parts', **{'path:resume_state': str(state)}))


@pytest.mark.parametrize('key', ['params_ema', None])
def test_goes_on_from_the_weights_in_training(key, run):
    """``param_key_g`` says what to take from a pretrained file, not from the run's own checkpoint."""
    changes = {'path': {'param_key_g': key}}
    whole = run('whole', **changes)
    with interrupted_at(8):
        run('parts', **changes)
    assert_same_run(whole, run('parts', '--auto_resume', **changes))


def test_networks_that_are_not_resumed_keep_their_param_key(tmp_path):
    torch.save({'epoch': 0, 'iter': 3, 'optimizers': [], 'schedulers': []}, tmp_path / '3.state')
    folders = {key: str(tmp_path) for key in ('models', 'training_states', 'visualization')}
    own = {'pretrain_network_d': 'd.pth', 'ignore_resume_networks': ['network_d']}
    own |= {'param_key_g': 'params_ema', 'param_key_d': 'params_ema', 'resume_state': str(tmp_path / '3.state')}
    opt = {'path': {**folders, **own}, 'network_g': {}, 'network_d': {}, 'auto_resume': False, 'manual_seed': 0}
    load_resume_state({**opt, 'train': {'total_iter': 3}})
    assert opt['path']['param_key_g'] == 'params' and opt['path']['param_key_d'] == 'params_ema'
    assert opt['path']['pretrain_network_d'] == 'd.pth'


def test_a_drawn_seed_outlives_the_interruption(run, monkeypatch):
    seeds = iter([77, 77, 78])
    monkeypatch.setattr('basicsr_ssm.options.random.randint', lambda *bounds: next(seeds))
    whole = run('whole', manual_seed=None)
    with interrupted_at(5):
        run('parts', manual_seed=None)
    assert_same_run(whole, run('parts', '--auto_resume', manual_seed=None))


def test_validation_after_the_last_checkpoint_is_remembered(run):
    """The checkpoint of iteration 5 is saved before iteration 5 is validated."""
    changes = {'logger:save_checkpoint_freq': 5}
    whole = run('whole', **changes)
    with interrupted_at(8):
        run('parts', **changes)
    parts = run('parts', '--auto_resume', **changes)
    assert_same_run(whole, parts)
    best = torch.load(parts / 'training_states/10.state', weights_only=True)['best_metric_results']
    assert best['any name']['psnr']['iter'] == 5


PSNR, SSIM = ({'type': f'calculate_{name}', 'crop_border': 0} for name in ('psnr', 'ssim'))


def best_at_the_end(experiment):
    state = torch.load(experiment / 'training_states/9.state', weights_only=True)
    return {metric: best['iter'] for metric, best in state['best_metric_results']['any name'].items()}


def test_metrics_join_and_leave_a_run(run):
    """Iterations 2, 4, 6 and 8 are validated; interrupted at 8, the run goes on from 6."""
    changes = {'val:val_freq': 2}
    both = {'val:metrics': {'psnr': PSNR, 'ssim': SSIM}}
    with interrupted_at(8):
        run('a', **changes)
    assert best_at_the_end(run('a', '--auto_resume', **changes, **both)) == {'psnr': 8, 'ssim': 8}
    with interrupted_at(8):
        run('b', **changes, **both)
    experiment = run('b', '--auto_resume', **changes, **{'val:metrics': {'ssim': SSIM}})
    assert best_at_the_end(experiment) == {'psnr': 6, 'ssim': 8}
    history = json.loads((experiment / 'metrics_history.json').read_text())['any name']
    assert history['6'].keys() == {'psnr', 'ssim'} and history['8'].keys() == {'ssim'}


def test_a_metric_whose_better_changes_is_judged_anew(run):
    changes = {'val:val_freq': 2, 'logger:save_checkpoint_freq': 2}
    with interrupted_at(8):
        run('a', **changes)
    run('a', '--auto_resume', **changes, **{'val:metrics:psnr:better': 'lower', 'train:total_iter': 7})
    experiment = run('a', '--auto_resume', **changes, **{'val:metrics:psnr:better': 'lower'})
    state = torch.load(experiment / 'training_states/10.state', weights_only=True)
    history = json.loads((experiment / 'metrics_history.json').read_text())['any name']
    worst = min((means['psnr'], int(i)) for i, means in history.items() if int(i) < 10)
    assert state['best_metric_results']['any name']['psnr'] == {'better': 'lower', 'val': worst[0], 'iter': worst[1]}


@pytest.mark.parametrize('changes', [{'val:metrics': None}, {'val': None, 'datasets:val': None}])
def test_goes_on_without_validation(changes, run):
    """The checkpoint of iteration 5 knows of no best result yet, the history does."""
    every = {'logger:save_checkpoint_freq': 5}
    with interrupted_at(8):
        run('a', **every)
    assert (run('a', '--auto_resume', **every, **changes) / 'training_states/10.state').exists()


def test_goes_on_when_the_epochs_have_another_length(run, tmp_path):
    with interrupted_at(8):
        run('parts')
    experiment = run('parts', '--auto_resume', **{'datasets:train:batch_size_per_gpu': 1})
    assert torch.load(experiment / 'training_states/9.state', weights_only=True)['iter'] == 9
    assert 'batch size is not the one of the checkpoint' in log_below(tmp_path)


def test_a_finished_run_is_finished_again(run):
    """Its last checkpoint is of the last iteration: nothing is left to train."""
    changes = {'logger:save_checkpoint_freq': 5}
    whole = run('whole', **changes)
    again = run('again', **changes)
    (again / 'models/net_g_latest.pth').unlink()
    assert_same_run(whole, run('again', '--auto_resume', **changes))


def test_a_checkpoint_beyond_the_last_iteration(run, tmp_path, capsys):
    with interrupted_at(8):
        run('a')
    checkpoints = [tmp_path / 'a/experiments/tiny' / folder for folder in ('models', 'training_states')]
    before = [tree(folder) for folder in checkpoints]
    run('a', '--auto_resume', status=2, **{'train:total_iter': 5})
    assert '6.state is of iteration 6, beyond train.total_iter: 5; raise that' in capsys.readouterr().err
    assert [tree(folder) for folder in checkpoints] == before


def damage_newest(experiment, which):
    """Newest is iteration 6."""
    if which == 'state cut short':
        path = experiment / 'training_states/6.state'
        path.write_bytes(path.read_bytes()[:1000])
    elif which == 'weights cut short':
        path = experiment / 'models/net_g_6.pth'
        path.write_bytes(path.read_bytes()[:1000])
    else:
        (experiment / 'models/net_g_6.pth').unlink()


@pytest.mark.parametrize('which', ['state cut short', 'weights cut short', 'weights gone'])
def test_auto_resume_passes_over_what_is_damaged(which, run, tmp_path, caplog):
    whole = run('whole')
    with interrupted_at(8):
        run('parts')
    damage_newest(tmp_path / 'parts/experiments/tiny', which)
    parts = run('parts', '--auto_resume')
    assert_same_run(whole, parts)
    assert 'passes over 6.state' in caplog.text


@pytest.mark.parametrize('killed', [5, 7])
def test_auto_resume_leaves_alone_what_a_rollback_abandoned(killed, run, tmp_path):
    """Before and after the first checkpoint of the new course, which saves at 3 and 6, the old one at 5 and 10, too."""
    whole = run('whole')
    states = tmp_path / 'a/experiments/tiny/training_states'
    run('a', **{'logger:save_checkpoint_freq': 5})
    with interrupted_at(8):
        run('b')
    (tmp_path / 'b/experiments/tiny/training_states/3.state').rename(states / '3.state')
    (tmp_path / 'b/experiments/tiny/models/net_g_3.pth').rename(states.parent / 'models/net_g_3.pth')
    old = tree(states)
    with interrupted_at(killed):
        run('a', **{'path:resume_state': str(states / '3.state')})
    new = tree(states)
    assert new.keys() == {'3.state', '5.state.abandoned', '10.state.abandoned'} | ({'6.state'} if killed > 6 else set())
    assert all(new[f'{name}.abandoned'] == old[name] for name in ('5.state', '10.state'))
    assert 'back to iteration 3: 10.state is abandoned, and named 10.state.abandoned' in log_below(tmp_path)
    assert_same_run(whole, run('a', '--auto_resume'))
    assert tree(states).keys() == {'3.state', '5.state.abandoned', '6.state', '9.state', '10.state.abandoned'}


def test_two_processes_go_back(run, tmp_path):
    states = run('a') / 'training_states'
    state = str(states / '3.state')
    run_two_processes(tmp_path / 'a', write_options(tmp_path / 'a', **{'path:resume_state': state}))
    assert tree(states).keys() == {'3.state', '6.state', '9.state', '6.state.abandoned', '9.state.abandoned'}
    assert len(torch.load(states / '9.state', weights_only=True)['random_states']) == 2


def test_auto_resume_abandons_nothing(run, tmp_path):
    with interrupted_at(8):
        run('a')
    damage_newest(tmp_path / 'a/experiments/tiny', 'weights gone')
    with interrupted_at(5):
        run('a', '--auto_resume')
    assert tree(tmp_path / 'a/experiments/tiny/training_states').keys() == {'3.state', '6.state'}


def test_auto_resume_does_not_start_anew_where_all_is_abandoned(run, tmp_path, capsys):
    with interrupted_at(8):
        run('a')
    with interrupted_at(5):
        run('b')
    state = tmp_path / 'b/experiments/tiny/training_states/3.state'
    (tmp_path / 'a/experiments/tiny/training_states/3.state').unlink()
    with interrupted_at(5):
        run('a', **{'path:resume_state': str(state)})
    run('a', '--auto_resume', status=2)
    assert 'abandoned checkpoints only; name where to go on' in capsys.readouterr().err
    assert_same_run(run('whole'), run('a', '--auto_resume', **{'path:resume_state': str(state)}))


def test_auto_resume_begins_at_the_path_in_the_option_file(run, tmp_path, caplog):
    """As a job does that always says --auto_resume; later it goes on from its own checkpoints."""
    whole = run('whole')
    with interrupted_at(5):
        run('other')
    changes = {'path:resume_state': str(tmp_path / 'other/experiments/tiny/training_states/3.state')}
    with interrupted_at(8):
        run('a', '--auto_resume', **changes)
    assert 'Resuming training from epoch: 0, iter: 3' in log_below(tmp_path)
    assert 'not from path.resume_state' not in caplog.text
    assert_same_run(whole, run('a', '--auto_resume', **changes))
    assert 'Resuming training from epoch: 1, iter: 6' in log_below(tmp_path)
    assert 'training_states/6.state, not from path.resume_state' in caplog.text


def test_a_state_goes_with_the_networks_beside_it(run, tmp_path):
    whole = run('whole')
    with interrupted_at(5):
        run('other', manual_seed=4)
    with interrupted_at(5):
        run('a')
    state = whole / 'training_states/3.state'
    for folder in ('other', 'a'):  # the one has weights of another seed, the other none
        if folder == 'a':
            (tmp_path / 'a/experiments/tiny/models/net_g_3.pth').unlink()
        assert_same_run(whole, run(folder, **{'path:resume_state': str(state)}))


def test_auto_resume_does_not_start_anew_where_all_is_damaged(run, tmp_path, capsys):
    with interrupted_at(5):
        run('parts')
    (tmp_path / 'parts/experiments/tiny/training_states/3.state').write_bytes(b'nothing')
    run('parts', '--auto_resume', status=2)
    assert 'none of the 1 checkpoints' in capsys.readouterr().err
    assert (tmp_path / 'parts/experiments/tiny/models/net_g_3.pth').exists()


@pytest.mark.parametrize('file', ['net_g_6.pth', '6.state'])
def test_killed_while_saving(file, run, tmp_path, monkeypatch):
    whole = run('whole')
    folder = tmp_path / 'parts'
    folder.mkdir()
    command = [sys.executable, tiny_training.__file__, 'train', '-opt', write_options(folder)]
    environment = {**os.environ, 'KILLED_BEFORE': file, 'OMP_NUM_THREADS': '1'}
    environment['PYTHONPATH'] = str(Path(basicsr_ssm.__file__).parents[1])
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    experiment = folder / 'experiments/tiny'
    assert list(experiment.glob('*/.*.tmp'))  # it died with the new file written and not yet in place
    assert_same_run(whole, run('parts', '--auto_resume'))
    assert not list(experiment.glob('*/.*.tmp'))
