"""Runs of tiny_training that are interrupted or of two processes, and comparing what runs leave behind."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_training
import torch

import basicsr_ssm
from basicsr_ssm.models import VideoSSMModel


class Interrupted(Exception):
    pass


@contextmanager
def interrupted_at(iteration):
    train = VideoSSMModel.optimize_parameters

    def optimize_parameters(self, current_iter):
        if current_iter == iteration:
            raise Interrupted
        train(self, current_iter)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(VideoSSMModel, 'optimize_parameters', optimize_parameters)
        yield


def assert_same(one, other, where=''):
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f'{where}.{i}')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def assert_same_run(one, other):
    """The same last checkpoints, and the same metrics."""
    last = max(int(path.stem) for path in one.glob('training_states/*.state'))
    for file in ('models/net_g_latest.pth', f'models/net_g_{last}.pth', f'training_states/{last}.state'):
        contents = [torch.load(folder / file, weights_only=True) for folder in (one, other)]
        assert_same(*contents, file)
    for file in ('metrics.json', 'metrics_history.json'):
        assert (one / file).read_text() == (other / file).read_text()


def run_two_processes(folder, option_file):
    """Train in ``folder`` with two processes on the CPU, through gloo."""
    command = [sys.executable, tiny_training.__file__, 'train', '-opt', option_file, '--launcher', 'pytorch']
    environment = {**os.environ, 'WORLD_SIZE': '2', 'OMP_NUM_THREADS': '1'}
    environment.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=_free_port())
    environment['PYTHONPATH'] = str(Path(basicsr_ssm.__file__).parents[1])
    processes = []
    for rank in ('0', '1'):
        own = {**environment, 'RANK': rank, 'LOCAL_RANK': rank}
        processes.append(subprocess.Popen(command, cwd=folder, env=own, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


def _free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])
