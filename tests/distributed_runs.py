"""Runs of two processes on the CPU, through gloo, all in the same pair of processes; a script, which is one of the two.

``python distributed_runs.py RANK PORT:LAUNCHER:COMMAND:FOLDER …`` runs each FOLDER/tiny.yml in its folder. A
training leaves in FOLDER/rankN.pt, for every iteration, what this process logged and its network's weights.
"""

import tiny_training  # isort: skip  (before BasicSR, which needs the repairs that come with it)

import faulthandler
import os
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from basicsr_logger import forget_log_file
from graphs_on_cpu import make_graphed_callables

import basicsr_ssm
from basicsr_ssm import cli
from basicsr_ssm.models import VideoSSMModel
from basicsr_ssm.models.training_graph import TrainingGraph


@ARCH_REGISTRY.register()
class FickleNet(tiny_training.TinyNet):
    """Has a parameter that is used ``never`` or ``sometimes``: in every second forward pass."""

    def __init__(self, used: str):
        super().__init__(dropout=0)
        self.extra = torch.nn.Parameter(torch.zeros(1))
        self.used, self.calls = used, 0

    def forward(self, lq):
        self.calls += 1
        return super().forward(lq) + (self.extra if self.used == 'sometimes' and self.calls % 2 == 0 else 0)


class CountingGraph(TrainingGraph):
    """Counts its captures; on a CPU."""

    captures = 0

    def __init__(self, model):
        super().__init__(model.net_g, partial(model._autocast, model._amp))

    def _capture(self, clip):
        self.captures += 1
        super()._capture(clip)


def run_pair(commands):
    """Run {folder: 'pytorch:train' or the like} by two processes."""
    runs = [f'{free_port()}:{command}:{folder}' for folder, command in commands.items()]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    environment['PYTHONPATH'] = str(Path(basicsr_ssm.__file__).parents[1])
    with tempfile.TemporaryFile('w+') as errors:  # not a pipe, which a process fills up while the other's is read
        processes = [
            subprocess.Popen([sys.executable, __file__, rank, *runs], env=environment, stderr=errors) for rank in '01'
        ]
        try:
            statuses = [process.wait(timeout=400) for process in processes]
        except subprocess.TimeoutExpired:
            statuses = 'no end'
        finally:
            for process in processes:  # one that still waits for the other
                process.kill()
                process.wait()
        errors.seek(0)
        assert statuses == [0, 0], f'{statuses}: {errors.read()}'


def notes_of(folder):
    """What ``run_noting`` left: for rank 0 and for rank 1, a list with an entry for each iteration."""
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in (0, 1)]


def run_noting(command, folder, *arguments, status=0):
    """Run FOLDER/tiny.yml in its folder, noting every iteration; returns the notes."""
    train, notes = VideoSSMModel.optimize_parameters, []

    def optimize_parameters(self, current_iter):
        train(self, current_iter)
        net = self.get_bare_model(self.net_g)
        weights = {name: value.clone() for name, value in net.state_dict().items()}
        notes.append({'log': dict(self.log_dict), 'weights': weights, 'wrapping': type(self.net_g).__name__})
        notes[-1]['static_graph'] = getattr(self.net_g, 'static_graph', None)
        notes[-1]['captures'] = getattr(self._graph, 'captures', 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoSSMModel, 'optimize_parameters', optimize_parameters)
        patch.setattr(torch.cuda, 'make_graphed_callables', make_graphed_callables)
        patch.setattr(
            VideoSSMModel,
            '_make_graph',
            lambda self: CountingGraph(self) if self.opt['train'].get('cuda_graph') else None,
        )
        patch.chdir(folder)
        assert cli.main([command, '-opt', 'tiny.yml', *arguments]) == status, folder
    forget_log_file()
    return notes


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def environment_of(launcher, rank):
    if launcher == 'slurm':
        return {'SLURM_PROCID': rank, 'SLURM_NTASKS': '2', 'SLURM_NODELIST': '127.0.0.1'}
    return {'RANK': rank, 'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1'}


if __name__ == '__main__':
    faulthandler.dump_traceback_later(390)  # where it hangs, if it does
    torch.set_num_threads(1)
    rank, *runs = sys.argv[1:]
    inherited = dict(os.environ)
    for run in runs:
        port, launcher, command, folder = run.split(':')
        os.environ.clear()
        os.environ.update({**inherited, 'MASTER_PORT': port, **environment_of(launcher, rank)})
        stderr, status = sys.stderr, 2 if Path(folder).name == 'damaged' else 0
        if status:
            sys.stderr = open(Path(folder, f'rank{rank}.err'), 'w')  # noqa: SIM115
        notes = run_noting(command, folder, '--launcher', launcher, status=status)
        sys.stderr = stderr
        if notes:
            torch.save(notes, Path(folder, f'rank{rank}.pt'))
