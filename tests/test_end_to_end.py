"""MedVSR trained, resumed and tested on clips on disk, through the command line."""

import json

import cv2
import numpy as np
import pytest
import torch
import yaml

from basicsr_ssm import cli
from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.imresize import imresize_bicubic_up

DATA = {'io_backend': {'type': 'disk'}}
OPTIONS = {
    'name': 'tiny',
    'model_type': 'VideoSSMModel',
    'scale': 2,
    'num_gpu': 0,
    'manual_seed': 0,
    'network_g': {
        'type': 'MedVSR',
        'mid_channels': 32,
        'num_blocks': 1,
        'n_convfe': 1,
        'n_convrec': 2,
        'window_size': 8,
        'rec_ks': 3,
        'scale': 2,
    },
    'path': {},
    'val': {'val_freq': 2, 'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
}
TRAIN = {
    'train': {
        'total_iter': 2,
        'ema_decay': 0.5,
        'fix_flow': 2,
        'flow_lr_mul': 0.125,
        'optim_g': {'type': 'Adam', 'lr': 2e-4, 'betas': [0.9, 0.99]},
        'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [2], 'restart_weights': [1], 'eta_min': 1e-7},
        'pixel_opt': {'type': 'CharbonnierLoss', 'loss_weight': 1.0, 'reduction': 'mean'},
    },
    'logger': {'print_freq': 1, 'save_checkpoint_freq': 1},
}


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for frame in range(2):
        gt = cv2.GaussianBlur(rng.integers(0, 255, (24, 28, 3), np.uint8), (0, 0), 2)
        for folder, image in (('GT', gt), ('BIx2', gt[::2, ::2])):
            path = tmp_path / folder / 'polyp'
            path.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path / f'{frame:08d}.png'), image)
    return {**DATA, 'dataroot_gt': 'GT', 'dataroot_lq': 'BIx2'}


def write(name, **sections):
    with open(name, 'w') as file:
        yaml.safe_dump({**OPTIONS, **sections}, file)
    return name


def weights(path):
    return torch.load(path, weights_only=True)


def test_train_resume_test(clips, tmp_path):
    train_set = {'name': 'train', 'type': 'MedicalClipDataset', 'num_frame': 2, 'gt_size': 16, **clips}
    train_set.update(batch_size_per_gpu=1, num_worker_per_gpu=1)
    test_set = {'name': 'clips', 'type': 'MedicalClipTestDataset', **clips}
    option_file = write('train.yml', datasets={'train': train_set, 'val': test_set}, **TRAIN)
    assert cli.main(['train', '-opt', option_file]) == 0
    experiment = tmp_path / 'experiments/tiny'
    whole = weights(experiment / 'models/net_g_latest.pth')
    metrics = json.loads((experiment / 'metrics.json').read_text())
    assert list(metrics['clips']) == ['polyp', 'mean']
    assert cv2.imread(str(experiment / 'visualization/clips/polyp/00000001_2.png')).shape == (24, 28, 3)

    # as if it had been interrupted in iteration 2
    (experiment / 'training_states/2.state').unlink()
    (experiment / 'models/net_g_latest.pth').unlink()
    assert cli.main(['train', '-opt', option_file, '--auto_resume']) == 0
    resumed = weights(experiment / 'models/net_g_latest.pth')
    for key in ('params', 'params_ema'):
        assert all(torch.equal(resumed[key][name], value) for name, value in whole[key].items())
    assert json.loads((experiment / 'metrics.json').read_text()) == metrics
    assert not torch.equal(whole['params']['conv_last.weight'], whole['params_ema']['conv_last.weight'])

    path = {'pretrain_network_g': str(experiment / 'models/net_g_latest.pth')}
    assert cli.main(['test', '-opt', write('test.yml', datasets={'test': test_set}, path=path)]) == 0
    assert json.loads((tmp_path / 'results/tiny/metrics.json').read_text()) == metrics

    # the checkpoint alone restores a video: its settings are inside
    net, what = build_from_checkpoint(path['pretrain_network_g'])
    assert net.cross_arc_block.window_size == 8 and 'from the checkpoint' in what
    assert cli.main(['upscale', 'BIx2/polyp', 'restored', '--model', path['pretrain_network_g']]) == 0
    assert cv2.imread(str(tmp_path / 'restored/00000001.png')).shape == (24, 28, 3)

    # beside bicubic
    assert cli.main(['compare', '-opt', 'test.yml']) == 0
    results = tmp_path / 'results/tiny'
    table = json.loads((results / 'comparison.json').read_text())['clips']
    assert table['model'] == metrics['clips']
    bicubic = [
        cv2.PSNR(
            cv2.imread(str(tmp_path / f'GT/polyp/{i:08d}.png')),
            imresize_bicubic_up(cv2.imread(str(tmp_path / f'BIx2/polyp/{i:08d}.png')), 2),
        )
        for i in range(2)
    ]
    assert table['bicubic']['polyp']['psnr'] == pytest.approx(np.mean(bicubic), abs=1e-6)
    assert 'polyp' in (results / 'comparison.md').read_text()
    assert cv2.imread(str(results / 'comparison.png')).shape[1] % 4 == 0


def test_compare_before_the_test(clips, capsys):
    test_set = {'name': 'clips', 'type': 'MedicalClipTestDataset', **clips}
    assert cli.main(['compare', '-opt', write('test.yml', datasets={'test': test_set})]) == 2
    assert 'run `basicsr-ssm test`' in capsys.readouterr().err


@pytest.mark.parametrize('scale', [1, 5])
def test_compare_at_a_scale_without_bicubic(clips, capsys, scale):
    test_set = {'name': 'clips', 'type': 'MedicalClipTestDataset', **clips}
    option_file = write('test.yml', datasets={'test': test_set}, network_g={'type': 'BasicVSR'}, scale=scale)
    assert cli.main(['compare', '-opt', option_file]) == 2
    assert f'bicubic up-sampling is there for scales 2, 3, 4, 6, 8, not {scale}' in capsys.readouterr().err
