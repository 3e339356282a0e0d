"""What is there before processes meet: variables, GPUs, names of machines. Runs: tests/models/test_distributed.py."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from basicsr.utils import dist_util
from distributed_runs import free_port
from tiny_training import write_options
from torch import distributed

from basicsr_ssm import cli, launchers
from basicsr_ssm.errors import UserError

SCRIPTS = Path(__file__).parents[1] / 'scripts'
SLURM = {'SLURM_PROCID': '5', 'SLURM_NTASKS': '8', 'SLURM_NODELIST': 'gpu[07-08]', 'SLURM_LOCALID': '1'}


@pytest.fixture
def joined(monkeypatch):
    """joined(launcher, environment, …): what ``init_process_group`` gets, the environment then, the GPU chosen."""
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'MASTER_', 'TORCHELASTIC_')) or name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
            monkeypatch.delenv(name)

    def join(launcher, environment, gpus=0, **kwargs):
        gpu, calls = [], []
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, 'environ', dict(os.environ))
            patch.setattr(torch.cuda, 'is_available', lambda: gpus > 0)
            patch.setattr(torch.cuda, 'device_count', lambda: gpus)
            patch.setattr(torch.cuda, 'set_device', gpu.append)
            patch.setattr(launchers, 'start_workers_from_a_server', lambda: None)
            patch.setattr(distributed, 'init_process_group', lambda backend, **kwargs: calls.append(backend))
            dist_util.init_dist(launcher, **kwargs)
            return calls, os.environ, gpu

    return join


def torchrun(rank, local_rank):
    where = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '29501', 'WORLD_SIZE': '8'}
    return {**where, 'RANK': str(rank), 'LOCAL_RANK': str(local_rank)}


@pytest.mark.parametrize(
    'nodes, first',
    [
        ('gpu07', 'gpu07'),
        ('gpu[07-08]', 'gpu07'),
        ('gpu[3,5-9],login1', 'gpu3'),
        ('a1,b[1-2]', 'a1'),
        ('rack[2-3]n[010-011].site', 'rack2n010.site'),
        ('10.0.0.1', '10.0.0.1'),
    ],
)
def test_first_host_as_scontrol_gives_it(nodes, first):
    assert launchers.first_host(nodes) == first


def test_slurm_without_scontrol(joined):
    calls, environment, _ = joined('slurm', {**SLURM, 'SLURM_JOB_ID': '1234567', 'PATH': '/nowhere'})
    assert calls == ['gloo']
    expected = {'MASTER_ADDR': 'gpu07', 'MASTER_PORT': '19567', 'WORLD_SIZE': '8', 'RANK': '5', 'LOCAL_RANK': '1'}
    assert {name: environment[name] for name in expected} == expected


@pytest.mark.parametrize(
    'more, port, expected',
    [
        ({'MASTER_PORT': '1234'}, None, ('gpu07', '1234')),
        ({'MASTER_PORT': '1234', 'MASTER_ADDR': '10.0.0.9'}, 2345, ('10.0.0.9', '2345')),
        ({'SLURM_STEP_NODELIST': 'gpu08'}, 2345, ('gpu08', '2345')),
    ],
)
def test_slurm_where_one_wants_to_meet(more, port, expected, joined):
    _, environment, _ = joined('slurm', {**SLURM, **more}, port=port)
    assert (environment['MASTER_ADDR'], environment['MASTER_PORT']) == expected


@pytest.mark.parametrize('missing', ['SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'])
def test_outside_of_srun(missing, joined):
    there = {name: value for name, value in SLURM.items() if name != missing}
    with pytest.raises(UserError, match=f'--launcher slurm: {missing} not set; start the tasks with srun'):
        joined('slurm', there)


def test_outside_of_torchrun(tmp_path, joined, capsys):
    option_file = write_options(tmp_path)
    assert cli.main(['train', '-opt', option_file, '--launcher', 'pytorch']) == 2
    message = capsys.readouterr().err
    assert '--launcher pytorch: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set; start with torchrun' in message


def test_torchrun_without_launcher(tmp_path, joined, monkeypatch, capsys):
    """Each process would train alone, and all write to the same files."""
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert cli.main(['train', '-opt', write_options(tmp_path)]) == 2
    assert 'torchrun has started 2 processes: add --launcher pytorch' in capsys.readouterr().err


@pytest.mark.parametrize(
    'launcher, environment, gpus, gpu',
    [
        ('pytorch', torchrun(rank=5, local_rank=1), 4, 1),  # the second of two processes on a machine with four GPUs
        ('slurm', SLURM, 4, 1),
        ('slurm', SLURM, 1, 0),  # --gpus-per-task=1
    ],
)
def test_gpu_by_the_number_on_the_machine(launcher, environment, gpus, gpu, joined):
    calls, _, chosen = joined(launcher, environment, gpus)
    assert (calls, chosen) == (['nccl'], [gpu])


def test_more_processes_than_gpus(joined):
    with pytest.raises(UserError, match='process 3 of this machine has no GPU: torch sees 2; start 2 at most'):
        joined('pytorch', torchrun(rank=2, local_rank=2), gpus=2)


def test_cpu_on_a_machine_with_gpus(joined):
    calls, _, chosen = joined('pytorch', torchrun(rank=2, local_rank=2), gpus=2, backend='gloo')
    assert (calls, chosen) == (['gloo'], [])


def test_port_that_is_taken(joined, monkeypatch):
    for name, value in {**torchrun(0, 0), 'MASTER_PORT': free_port()}.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', int(os.environ['MASTER_PORT'])))
        taken_already = 'EADDRINUSE|errno: 98 - Address already in use'  # torch 2.3 says the latter
        reason = rf'process 0 of 8 does not reach the others at 127.0.0.1:\d+: .*({taken_already})'
        with pytest.raises(UserError, match=reason):
            launchers.init_dist('pytorch')


def run_script(name, *arguments, **environment):
    """The command line that a script comes down to, with ``echo`` for python and srun."""
    return subprocess.run(
        ['bash', SCRIPTS / name, *arguments], env={**os.environ, 'PYTHON': 'echo', **environment},
        capture_output=True, text=True,
    )  # fmt: skip


def test_dist_train():
    one = run_script('dist_train.sh', '4', 'my.yml', '--auto_resume', NNODES='1')
    train = f'{SCRIPTS.parent}/basicsr_ssm/train.py --launcher pytorch -opt my.yml'
    assert one.stdout == f'-m torch.distributed.run --standalone --nproc_per_node 4 {train} --auto_resume\n'
    several = run_script('dist_train.sh', '4', 'my.yml', NNODES='2', NODE_RANK='1', MASTER_ADDR='gpu07')
    where = '--nnodes 2 --node_rank 1 --master_addr gpu07 --master_port 29500'
    assert several.stdout == f'-m torch.distributed.run {where} --nproc_per_node 4 {train}\n'
    unknown = run_script('dist_train.sh', '4', 'my.yml', NNODES='2')
    assert unknown.returncode and 'of NNODES=2 machines, which one is this?' in unknown.stderr
    for gpus in ('my.yml', '0', '-1', ''):
        assert 'scripts/dist_train.sh GPUS OPTION_FILE' in run_script('dist_train.sh', gpus, 'my.yml').stderr


def test_slurm_train(tmp_path):
    (tmp_path / 'srun').symlink_to('/bin/echo')
    done = run_script('slurm_train.sh', 'my.yml', '--debug', PATH=f'{tmp_path}:{os.environ["PATH"]}')
    command = 'echo basicsr_ssm/train.py --launcher slurm -opt my.yml --auto_resume --debug'
    assert done.stdout == f'--kill-on-bad-exit=1 {command}\n'
    assert 'sbatch scripts/slurm_train.sh OPTION_FILE' in run_script('slurm_train.sh').stderr


def test_workers_of_a_gpu_run_start_with_all_imports_done():
    code = (
        'import multiprocessing, sys\n'
        'from basicsr_ssm import launchers\n'
        'launchers.start_workers_from_a_server()\n'
        'look = "import sys; sys.exit(3 if \'basicsr_ssm.data\' in sys.modules else 4)"\n'
        'worker = multiprocessing.Process(target=exec, args=(look,))\n'
        'worker.start()\n'
        'worker.join()\n'
        'sys.exit(worker.exitcode)\n'
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
