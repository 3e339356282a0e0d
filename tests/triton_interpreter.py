"""Triton's interpreter, which takes the place of a GPU. Triton chooses when it is imported; so the tests of kernels run
in a process of their own, all in a file that `interpreted` marks."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
interpreted = pytest.mark.skipif(not INTERPRETED, reason='for the interpreter; run by test_in_the_interpreter')


def run_interpreted(file, *options):
    """Runs the tests of a file but those of a GPU in the interpreter; skips where this is it, or Triton is missing.

    options: further ones of pytest, as -k.
    """
    pytest.importorskip('triton', minversion='3.6')
    if INTERPRETED:
        pytest.skip('this is that process')
    environment = {k: v for k, v in os.environ.items() if not k.startswith('PYTEST_')}
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', '-m', 'not gpu']
    done = subprocess.run(
        [*command, *options, file],
        env=environment | {'TRITON_INTERPRET': '1', 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
        cwd=Path(__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert ' passed' in done.stdout


def _patch_the_language_once_a_launch():
    """Triton's interpreter looks through its whole language whenever a kernel calls a function, a third of its time.
    What it finds and changes is the same until the launch ends and puts it back."""
    from triton.runtime import interpreter

    patch, launch, patched = interpreter._patch_lang, interpreter.GridExecutor.__call__, set()

    def patch_once(function):
        if function not in patched:
            patched.add(function)
            return patch(function)

    @functools.wraps(launch)
    def launch_anew(self, *args, **kwargs):
        patched.clear()
        return launch(self, *args, **kwargs)

    interpreter._patch_lang, interpreter.GridExecutor.__call__ = patch_once, launch_anew


if INTERPRETED:
    _patch_the_language_once_a_launch()
