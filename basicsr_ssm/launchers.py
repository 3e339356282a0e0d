"""The processes of a run: started by torchrun or SLURM, joined through NCCL on GPUs and through gloo on CPUs."""

from __future__ import annotations

import datetime
import os
import re

import torch
from torch import distributed, multiprocessing

from basicsr_ssm.errors import UserError

# NCCL's own 10 minutes are short for a validation whose longest clip falls to one process
TIMEOUT = datetime.timedelta(minutes=30)
TORCHRUN_SETS = ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')


def init_dist(launcher: str, backend: str = 'nccl', port: int | None = None, **kwargs) -> None:
    """Drop-in for ``basicsr.utils.dist_util.init_dist``: joins the processes that ``launcher`` has started.

    Args:
        launcher: 'pytorch' (torchrun, or anything that sets its environment variables) or 'slurm' (srun).
        backend: of torch.distributed; without CUDA it is gloo, whatever is asked for.
        port: for 'slurm' the port at which the first process waits for the others. Default: MASTER_PORT, else one made
            from the job's number, so that jobs that share a node do not meet.
        **kwargs: for ``torch.distributed.init_process_group``.

    Raises:
        UserError: the launcher's variables are not there; more processes than GPUs; the processes do not find together.
    """
    if launcher == 'pytorch':
        missing = [name for name in TORCHRUN_SETS if name not in os.environ]
        if missing:
            raise UserError(
                f'--launcher pytorch: {", ".join(missing)} not set; start with torchrun --nproc_per_node=N …, as '
                'scripts/dist_train.sh does, or leave --launcher out for one process'
            )
    elif launcher == 'slurm':
        _set_environment_from_slurm(port)
    else:
        raise UserError(f'--launcher {launcher}: only pytorch and slurm start several processes')
    if not torch.cuda.is_available():
        backend = 'gloo'
    if backend != 'gloo':
        if multiprocessing.get_start_method(allow_none=True) is None:
            start_workers_from_a_server()
        torch.cuda.set_device(_gpu())
    try:
        distributed.init_process_group(backend, **{'timeout': TIMEOUT, **kwargs})
    except distributed.DistNetworkError as error:
        e = os.environ
        raise UserError(
            f'process {e["RANK"]} of {e["WORLD_SIZE"]} does not reach the others at {e["MASTER_ADDR"]}:'
            f'{e["MASTER_PORT"]}: {str(error).partition(" C++ ")[0].splitlines()[0]}'
        ) from error


def start_workers_from_a_server() -> None:
    """Have data loading workers started by a process of their own, as NCCL's threads do not survive a fork.

    It imports what workers need once, and not, as spawned ones do, every worker anew in every epoch.
    """
    multiprocessing.set_start_method('forkserver')
    multiprocessing.set_forkserver_preload(['__main__', 'basicsr_ssm.data'])


def refuse_stray_processes() -> None:
    """Stop processes that torchrun started for one run, but that would each run it alone, over the other's files.

    Raises:
        UserError: there are such.
    """
    count = os.environ.get('WORLD_SIZE', '1') if 'TORCHELASTIC_RUN_ID' in os.environ else '1'
    if count != '1':
        raise UserError(f'torchrun has started {count} processes: add --launcher pytorch, so that they share the run')


def _gpu() -> int:
    """This process's GPU, by its number on its machine (LOCAL_RANK): machines may have more GPUs than processes."""
    there = torch.cuda.device_count()
    local = int(os.environ.get('LOCAL_RANK', int(os.environ['RANK']) % there))
    if there == 1:  # SLURM may show each task its own GPU alone
        return 0
    if local >= there:
        raise UserError(f'process {local + 1} of this machine has no GPU: torch sees {there}; start {there} at most')
    return local


def _set_environment_from_slurm(port: int | None) -> None:
    """Set the variables that torchrun would, from those that srun sets."""
    rank, count = os.environ.get('SLURM_PROCID'), os.environ.get('SLURM_NTASKS')
    nodes = next((os.environ[n] for n in ('SLURM_STEP_NODELIST', 'SLURM_NODELIST', 'SLURM_JOB_NODELIST')
                  if os.environ.get(n)), None)  # fmt: skip
    found = {'SLURM_PROCID': rank, 'SLURM_NTASKS': count, 'SLURM_NODELIST': nodes}
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise UserError(
            f'--launcher slurm: {", ".join(missing)} not set; start the tasks with srun, as scripts/slurm_train.sh does'
        )
    if port is None:
        job = re.sub('[^0-9]', '', os.environ.get('SLURM_JOB_ID', '')) or 0
        port = os.environ.get('MASTER_PORT', 15000 + int(job) % 15000)
    local = int(rank) % max(torch.cuda.device_count(), 1)
    os.environ.update(
        MASTER_ADDR=os.environ.get('MASTER_ADDR') or first_host(nodes),
        MASTER_PORT=str(port),
        WORLD_SIZE=count,
        RANK=rank,
        LOCAL_RANK=os.environ.get('SLURM_LOCALID', str(local)),
    )


def first_host(nodes: str) -> str:
    """First of SLURM's list of hosts, as ``scontrol show hostnames`` would give it: 'gpu[03-06,9],login' → 'gpu03'."""
    first = re.split(r',(?![^\[]*\])', nodes.strip())[0]
    return re.sub(r'\[([^\],-]*)[^\]]*\]', r'\1', first)
