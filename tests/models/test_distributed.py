"""Two processes on the CPU, through gloo, joined as torchrun's are and, for 'accumulated', as SLURM's."""

import json

import cv2
import numpy as np
import pytest
import torch
from distributed_runs import notes_of, run_noting, run_pair
from tiny_training import write_options

from basicsr_ssm.archs import VSRM

TINY = {
    'network_g': {'type': 'TinyNet', 'dropout': 0},
    'datasets:train:clips': 8,
    'datasets:val': {'name': 'three', 'type': 'TinyTestClips', 'folders': ['a', 'b', 'c']},
    'train:fix_flow': 3,
}
SHORT = {**TINY, 'datasets:val': None, 'val': None, 'train:total_iter': 4}
VSRM_ = {'type': 'VSRM', 'embed_dim': 8, 'depths': [0], 'd_state': 2, 'scale': 2}
CLIPS = {'name': 'clips', 'type': 'MedicalClipDataset', 'dataroot_gt': '../GT', 'io_backend': {'type': 'disk'}}
CLIPS |= {'num_frame': 2, 'gt_size': 16, 'num_worker_per_gpu': 1, 'batch_size_per_gpu': 1, 'dataset_enlarge_ratio': 4}
CLIPS |= {'degradation': {'noise': {'prob': 1.0}}}  # random, and not the same in two clips
TEST = {'test': {'name': 'five', 'type': 'TinyTestClips', 'folders': ['a', 'b', 'c', 'd', 'e']}}

RUNS = {
    'plain': TINY,
    'static': {**TINY, 'static_graph': True},
    'accumulated': {**TINY, 'datasets:train:batch_size_per_gpu': 1, 'train:accumulate': 2},
    'graphed': {**TINY, 'train:cuda_graph': True},
    'graphed, accumulated': {
        **{**TINY, 'train:cuda_graph': True},
        **{'datasets:train:batch_size_per_gpu': 1, 'train:accumulate': 2},
    },
    'never': {**SHORT, 'network_g': {'type': 'FickleNet', 'used': 'never'}, 'static_graph': True},
    'sometimes': {**SHORT, 'network_g': {'type': 'FickleNet', 'used': 'sometimes'}, 'find_unused_parameters': True},
    'vsrm': {
        **{**SHORT, 'datasets:train': CLIPS, 'train:fix_flow': 2, 'train:total_iter': 3},
        'network_g': {**VSRM_, 'checkpointed_branches': 'all'},
    },
    'vsrm_unaligned': {
        **{**SHORT, 'datasets:train': CLIPS, 'train:fix_flow': 2, 'train:total_iter': 2},
        'network_g': {**VSRM_, 'alignment': 'none'},
    },
}


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """The folder with all of RUNS, each in a folder of its own, a test of the weights of 'plain', and a failure."""
    folder = tmp_path_factory.mktemp('pair')
    rng = np.random.default_rng(0)
    for i in range(4):
        clip = folder / f'GT/clip{i // 2}'
        clip.mkdir(parents=True, exist_ok=True)
        frame = cv2.GaussianBlur(rng.integers(0, 255, (24, 28, 3), np.uint8), (0, 0), 2)
        cv2.imwrite(str(clip / f'{i % 2}.png'), frame)
    commands = {}
    for name, changes in RUNS.items():
        (folder / name).mkdir()
        write_options(folder / name, **changes)
        commands[str(folder / name)] = 'slurm:train' if name == 'accumulated' else 'pytorch:train'
    (folder / 'tested').mkdir()
    write_options(folder / 'tested', **options_of_test(folder))
    commands[str(folder / 'tested')] = 'pytorch:test'
    (folder / 'damaged').mkdir()
    write_options(folder / 'damaged', **SHORT, **{'datasets:train:damaged': 3, 'logger:save_checkpoint_freq': 1})
    run_pair({**commands, str(folder / 'damaged'): 'pytorch:train'})
    return folder


def options_of_test(folder):
    weights = str(folder / 'plain/experiments/tiny/models/net_g_latest.pth')
    return {'datasets': TEST, 'train': None, 'path:pretrain_network_g': weights, 'val:save_img': True}


@pytest.fixture
def alone(pair, tmp_path):
    """alone(name): the notes of that run by one process with the doubled batch, and where it was."""

    def run(name, **changes):
        batch = RUNS[name].get('datasets:train', {}).get('batch_size_per_gpu', 2)
        if (pair / 'GT').exists() and not (tmp_path / 'GT').exists():
            (tmp_path / 'GT').symlink_to(pair / 'GT')
        folder = tmp_path / name
        folder.mkdir()
        write_options(folder, **RUNS[name], **{'datasets:train:batch_size_per_gpu': 2 * batch})
        return run_noting('train', folder), folder

    return run


def assert_same_course(alone, together, atol=1e-6):
    """The same losses, gradients and weights in every iteration; the first of the processes knows the mean loss."""
    assert len(alone) == len(together[0]) == len(together[1])
    for one, first, second in zip(alone, *together, strict=True):
        for name in ('l_pix', 'grad_norm'):
            assert first['log'][name] == pytest.approx(one['log'][name], rel=1e-5)
        for name, value in one['weights'].items():
            torch.testing.assert_close(first['weights'][name], value, rtol=0, atol=atol)
            assert torch.equal(first['weights'][name], second['weights'][name])


def flow_of(note):
    return torch.cat([value.flatten() for name, value in note['weights'].items() if 'spynet' in name])


def test_two_processes_equal_one_with_the_doubled_batch(pair, alone):
    course, folder = alone('plain')
    assert_same_course(course, notes_of(pair / 'plain'))
    experiments = [where / 'experiments/tiny' for where in (folder, pair / 'plain')]
    one, two = (torch.load(e / 'models/net_g_latest.pth', weights_only=True)['params_ema'] for e in experiments)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)
    metrics = [json.loads((e / 'metrics.json').read_text()) for e in experiments]
    assert list(metrics[1]['three']) == ['a', 'b', 'c', 'mean']
    for clip, values in metrics[0]['three'].items():
        assert metrics[1]['three'][clip]['psnr'] == pytest.approx(values['psnr'], abs=0.01)  # 8-bit images


@pytest.mark.parametrize('name', ['static', 'accumulated'])
def test_every_way_of_exchanging_gradients_gives_the_same(name, pair):
    assert_same_course(notes_of(pair / 'plain')[0], notes_of(pair / name))
    assert {note['static_graph'] for note in notes_of(pair / name)[0]} == {name == 'static'}


@pytest.mark.parametrize('name', ['graphed', 'graphed, accumulated'])
def test_gradients_are_exchanged_after_a_pass_that_is_replayed(name, pair):
    notes = notes_of(pair / name)
    assert_same_course(notes_of(pair / 'plain')[0], notes)
    assert [note['captures'] for note in notes[0]] == [1, 1] + [2] * (len(notes[0]) - 2)  # anew at fix_flow


def test_vsrm_on_clips_from_disk(pair, alone):
    """Crops, noise and order do not depend on how many processes share them; its graph is static and checkpointed."""
    assert_same_course(alone('vsrm')[0], notes_of(pair / 'vsrm'), atol=1e-5)
    assert all(note['static_graph'] for note in notes_of(pair / 'vsrm')[0])


@pytest.mark.parametrize('name', [name for name in RUNS if name != 'vsrm_unaligned'])
def test_flow_network_trains_on_past_fix_flow(name, pair):
    """Fixed in iterations 1 … fix_flow − 1, then trained in every one, and the same in both processes."""
    fix_flow = RUNS[name]['train:fix_flow']
    first, second = notes_of(pair / name)
    assert {note['wrapping'] for note in first} == {'TinyNet' if 'graphed' in name else 'DistributedDataParallel'}
    for before, after in zip(first, first[1:], strict=False):
        iteration = first.index(after) + 1
        assert torch.equal(flow_of(before), flow_of(after)) == (iteration < fix_flow), iteration
    assert len(first) > fix_flow
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(value, other['weights'][key]) for key, value in one['weights'].items())


def test_flow_network_that_nothing_uses_stays(pair):
    first, _ = notes_of(pair / 'vsrm_unaligned')
    untrained = VSRM(**{key: value for key, value in RUNS['vsrm_unaligned']['network_g'].items() if key != 'type'})
    last = 'spynet.basic_module.5.basic_module.8.bias'  # zero at the start
    assert torch.equal(first[-1]['weights'][last], untrained.state_dict()[last])
    assert not torch.equal(first[-1]['weights']['conv_first.weight'], first[0]['weights']['conv_first.weight'])


def test_test_clips_are_shared_out(pair, tmp_path):
    """Five clips for two processes: the same measurements and images, to the last bit, as one process gives."""
    write_options(tmp_path, **options_of_test(pair))
    run_noting('test', tmp_path)
    one, two = (folder / 'results/tiny' for folder in (tmp_path, pair / 'tested'))
    for name in ('metrics.json', 'metrics_per_frame.json'):
        assert (two / name).read_text() == (one / name).read_text()
    assert list(json.loads((two / 'metrics_per_frame.json').read_text())['five']) == ['a', 'b', 'c', 'd', 'e']
    images = sorted(path.relative_to(one) for path in one.rglob('*.png'))
    assert len(images) == 15 and images == sorted(path.relative_to(two) for path in two.rglob('*.png'))
    assert all((one / image).read_bytes() == (two / image).read_bytes() for image in images)


def test_one_process_writes(pair):
    experiment = pair / 'plain/experiments/tiny'
    assert len(list(experiment.glob('*.log'))) == 1
    log = next(experiment.glob('*.log')).read_text()
    assert log.count('iter:       4,') == log.count('Save the latest model') == 1
    lines = (experiment / 'losses.jsonl').read_text().splitlines()
    assert [json.loads(line)['iter'] for line in lines] == list(range(1, 11))
    assert not list(pair.rglob('.*.tmp')) and not list(pair.rglob('*_archived_*'))
    state = torch.load(experiment / 'training_states/9.state', weights_only=True)
    assert len(state['random_states']) == 2


def test_the_error_of_one_process_ends_the_other(pair):
    """Which of them meets the damaged clip depends on the order; the other one stops without a traceback."""
    messages = sorted((pair / f'damaged/rank{rank}.err').read_text().splitlines()[-1] for rank in (0, 1))
    assert messages == [
        'error: another process of this run has ended; its own message says why',
        'error: clip3: cannot be read',
    ]
    assert not any('Traceback' in (pair / f'damaged/rank{rank}.err').read_text() for rank in (0, 1))
    assert not (pair / 'damaged/experiments/tiny/models/net_g_latest.pth').exists()
