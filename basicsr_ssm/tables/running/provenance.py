"""Where and with what something ran."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import basicsr_ssm
from basicsr_ssm.errors import UserError
from basicsr_ssm.version import __version__

# in a process of its own: whoever asks a GPU for its name holds a part of its memory
_ASK = """
import importlib.metadata, json, platform
import torch
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({
    'card': torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    'python': platform.python_version(),
    'torch': torch.__version__,
    'cuda': torch.version.cuda,
    'triton': version('triton'),
    'basicsr': version('basicsr'),
}))
"""


@functools.cache
def machine(gpu: str | None) -> dict:
    """Name of the card (None: the CPU), versions, and the commit of this package where it is a checkout."""
    asked = subprocess.run(
        [sys.executable, '-c', _ASK], env=environment(gpu), capture_output=True, text=True, check=False
    )
    found = json.loads(asked.stdout) if asked.returncode == 0 else {'card': None}
    return {**found, 'basicsr_ssm': __version__, **_commit()}


def check_gpus(gpus: list[str]) -> None:
    """Raise UserError when a number is not among those of the GPUs that this process sees; nothing is put on them."""
    import torch

    count = torch.cuda.device_count()
    hidden = [gpu for gpu in gpus if int(gpu) >= count]
    if not hidden:
        return
    there = ','.join(str(number) for number in range(count))
    sees = f'{count} GPU{"s" if count > 1 else ""}, {there}' if count else 'no GPU'
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    why = '' if visible is None else f' (CUDA_VISIBLE_DEVICES={visible})'
    raise UserError(f'--gpus {",".join(hidden)}: this process sees {sees}{why}')


def environment(gpu: str | None) -> dict[str, str]:
    """For a command that sees this GPU alone: by its number among those that this process sees; None: the first one.

    Where CUDA_VISIBLE_DEVICES is empty, all are hidden from this process, and from the command.
    """
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        names = visible.split(',')
        number = int(gpu or 0) if (gpu or '0').isdecimal() else len(names)
        gpu = names[number] if number < len(names) else gpu
    root = str(Path(basicsr_ssm.__file__).parents[1])
    path = os.environ.get('PYTHONPATH')
    return {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '0' if gpu is None else gpu,
        'PYTHONPATH': f'{root}{os.pathsep}{path}' if path else root,
    }


def _commit() -> dict:
    def git(*words: str) -> str | None:
        folder = Path(basicsr_ssm.__file__).parent
        try:
            said = subprocess.run(['git', '-C', str(folder), *words], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return said.stdout.strip() if said.returncode == 0 else None

    # in site-packages of an environment inside of somebody's repository, git would speak of that one
    if git('ls-files', '--error-unmatch', '__init__.py') is None:
        return {'commit': None}
    return {'commit': git('rev-parse', 'HEAD'), 'changed': bool(git('status', '--porcelain', '--', '.'))}
