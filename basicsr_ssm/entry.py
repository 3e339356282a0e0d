"""What ``train`` and ``test`` share: their arguments, and BasicSR's own pipeline on options that were checked."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from basicsr.utils import misc
from basicsr.utils.dist_util import get_dist_info, master_only
from torch import distributed

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file
from basicsr_ssm.options import parse_options
from basicsr_ssm.set_aside import SetAside

# how gloo and NCCL say that a process they wait for is gone
_ANOTHER_ENDED = ('closed by peer', 'reset by peer', 'Broken pipe', 'remote process exited')
# a disk that is full, a folder that may not be written
_ENVIRONMENT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)

_GLOO_SETTLES = 0.2  # seconds


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """BasicSR's arguments."""
    parser.add_argument('-opt', required=True, metavar='FILE.yml', help='option file')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='what started the processes'
    )
    parser.add_argument('--debug', action='store_true', help='log every iteration, validate and save every 8')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by older launchers; not needed')
    parser.add_argument(
        '--force_yml',
        action='extend',
        nargs='+',
        metavar='KEY:KEY=VALUE',
        default=[],
        help='change options: train:optim_g:lr=1e-4',
    )


def run_pipeline(kind: str, args: argparse.Namespace, at_end: Callable[[dict], None] | None = None) -> int:
    """Run ``basicsr.train.train_pipeline`` or ``basicsr.test.test_pipeline``, outputs under the current directory.

    BasicSR's only changes are that its ``parse_options`` gives what ours has read, that its ``copy_opt_file`` keeps
    that in the experiment's folder, and that earlier results, which it renames, come back where data sets and network
    cannot be made. ``at_end`` is called with the options, however the pipeline ends.
    """
    module = importlib.import_module(f'basicsr.{kind}')
    root_path = os.getcwd()
    opt = None
    earlier = SetAside(misc.mkdir_and_rename)
    try:
        opt = parse_options(args, root_path, is_train=kind == 'train')
        ours = [
            (module, 'parse_options', lambda root_path, is_train: (opt, args)),
            (module, 'build_model', _and_then(module.build_model, earlier.run_has_begun)),
            (misc, 'mkdir_and_rename', earlier.mkdir_and_rename),  # of the experiment or the results
        ]
        if kind == 'train':
            ours.append((module, 'copy_opt_file', _option_file_keeper(Path(args.opt))))
            ours.append((module, 'mkdir_and_rename', earlier.mkdir_and_rename))  # of tb_logger/
        with contextlib.ExitStack() as replaced:
            for where, name, function in ours:
                replaced.enter_context(mock.patch.object(where, name, function))
            getattr(module, f'{kind}_pipeline')(root_path)
    except UserError as error:
        raise UserError(_in_one_process(error)) from error
    except OSError as error:
        if error.errno in _ENVIRONMENT:
            raise UserError(str(error)) from error
        raise
    except RuntimeError as error:
        if any(sign in str(error) for sign in _ANOTHER_ENDED):
            raise UserError('another process of this run has ended; its own message says why') from error
        raise
    finally:
        if at_end is not None and opt is not None:
            at_end(opt)
        earlier.put_back()
        if distributed.is_available() and distributed.is_initialized():
            _leave_group()
    return 0


def _and_then(function: Callable, then: Callable[[], None]) -> Callable:
    def both(*args, **kwargs):
        result = function(*args, **kwargs)
        then()
        return result

    return both


def _option_file_keeper(option_file: Path) -> Callable[[str, str], None]:
    """What ``copy_opt_file`` does, with the content that the file has now.

    The option file may lie in the experiment's folder, as an earlier run's copy. Until BasicSR copies it, that folder
    has been renamed, or, in a resumed run, it is the copy, and stays as it is. Process 0 reads and writes.
    """
    content = option_file.read_bytes() if get_dist_info()[0] == 0 else b''  # others may come after the renaming

    @master_only
    def copy_opt_file(opt_file: str, experiments_root: str) -> None:
        target = Path(experiments_root, option_file.name)
        if target.exists() and option_file.exists() and target.samefile(option_file):
            return
        command = ' '.join(sys.argv).replace('\n', '\n# ')
        header = f'# GENERATE TIME: {time.asctime()}\n# CMD:\n# {command}\n\n'
        write_file(target, header.encode(errors='backslashreplace') + content)

    return copy_opt_file


def _leave_group() -> None:
    """Ends what the processes have in common."""
    if distributed.get_backend() == 'gloo':
        # Its threads need the interpreter for a moment after a collective has ended, or failed. What frees the group
        # holds the interpreter and waits for the threads, for ever if that moment is not over (PyTorch issue 56297).
        time.sleep(_GLOO_SETTLES)
    distributed.destroy_process_group()


def _in_one_process(error: UserError) -> str:
    """The message without the traceback that a data loader's worker puts before it."""
    text = str(error)
    if text.startswith('Caught ') and 'DataLoader worker process' in text.partition('\n')[0]:
        return text.rstrip().rpartition(f'{type(error).__name__}: ')[2]
    return text
