"""The command lines of the README: a training by torchrun, one process of which is killed, and its resumption."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_training import write_options

ROOT = Path(__file__).parents[1]
VSRM = {'type': 'VSRM', 'embed_dim': 8, 'depths': [0], 'd_state': 2, 'scale': 2}
DISK = {'io_backend': {'type': 'disk'}, 'dataroot_gt': 'GT', 'dataroot_lq': 'BIx2'}
TRAIN_SET = {'name': 'train', 'type': 'MedicalClipDataset', 'num_frame': 2, 'gt_size': 16, **DISK}
TRAIN_SET |= {'num_worker_per_gpu': 1, 'batch_size_per_gpu': 1, 'dataset_enlarge_ratio': 8}
TEST_SET = {'name': 'val', 'type': 'MedicalClipTestDataset', **DISK}
CHANGES = {'network_g': VSRM, 'datasets': {'train': TRAIN_SET, 'val': TEST_SET}, 'train:total_iter': 4}
CHANGES |= {'train:fix_flow': 2, 'logger:save_checkpoint_freq': 1}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for clip in ('a', 'b', 'c'):
        for frame in range(2):
            gt = cv2.GaussianBlur(rng.integers(0, 255, (24, 28, 3), np.uint8), (0, 0), 2)
            for root, image in (('GT', gt), ('BIx2', gt[::2, ::2])):
                (tmp_path / root / clip).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tmp_path / root / clip / f'{frame}.png'), image)
    write_options(tmp_path, **CHANGES)
    return tmp_path


def start(folder, *command):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def process_of_rank(rank, launcher):
    """The process that ``launcher`` started as this one, from what the system says of the environments."""
    for pid in Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children').read_text().split():
        if f'RANK={rank}\0' in Path(f'/proc/{pid}/environ').read_text().replace('LOCAL_RANK', ''):
            return int(pid)
    raise AssertionError(f'torchrun has no process of rank {rank}')


def test_a_killed_process_ends_the_others_and_the_run_goes_on(folder):
    arguments = [ROOT / 'basicsr_ssm/train.py', '-opt', 'tiny.yml', '--launcher', 'pytorch']
    torchrun = start(
        folder, sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone', *arguments
    )
    experiment = folder / 'experiments/tiny'
    deadline = time.monotonic() + 300
    while not (experiment / 'training_states/1.state').exists() and time.monotonic() < deadline:
        assert torchrun.poll() is None, torchrun.communicate()[0]
        time.sleep(0.02)
    os.kill(process_of_rank(1, torchrun), signal.SIGKILL)
    output, _ = torchrun.communicate(timeout=300)
    assert torchrun.returncode != 0
    assert re.search(r'rank\s+: 1 \(local_rank: 1\)', output) and 'Signal 9 (SIGKILL) received by PID' in output
    assert not (experiment / 'models/net_g_latest.pth').exists()
    written = [*experiment.glob('models/*.pth'), *experiment.glob('training_states/*.state')]
    assert all(torch.load(path, weights_only=True) for path in written)

    script = start(folder, ROOT / 'scripts/dist_train.sh', '2', 'tiny.yml', '--auto_resume')
    output, _ = script.communicate(timeout=300)
    assert script.returncode == 0, output
    assert 'Resuming training from epoch' in output and output.count('iter:       4,') == 1
    assert [len(list(experiment.glob(f'models/net_g_{i}.pth'))) for i in (1, 4, 'latest')] == [1, 1, 1]
    assert not list(experiment.rglob('.*.tmp')) and not list(folder.glob('experiments/*_archived_*'))
    assert '"c"' in (experiment / 'metrics.json').read_text()
