"""losses.jsonl of a training: what BasicSR logs as text, kept as numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

from basicsr.utils import MessageLogger, get_root_logger
from basicsr.utils.dist_util import get_dist_info

from basicsr_ssm.files import WriteError, write_file, writing

FILE = 'losses.jsonl'


class RecordingLogger(MessageLogger):
    """Drop-in for BasicSR's MessageLogger that also appends each entry to losses.jsonl beside the log.

    One line of JSON per logged iteration (``logger.print_freq``), as it goes to the log and to TensorBoard:
    {'iter': …, 'epoch': …, 'lr': [of each parameter group], name: value of each loss and gradient norm}. A run that
    goes on from iteration k drops the lines after k, which it is about to write again. Process 0 writes. A disk that
    does not take a line is a warning: no training ends for it.
    """

    def __init__(self, opt: dict, start_iter: int = 1, tb_logger=None):
        super().__init__(opt, start_iter, tb_logger)
        self._path = Path(opt['path']['log'], FILE)
        if get_dist_info()[0] == 0:
            _cut_after(self._path, start_iter)

    def __call__(self, log_vars: dict) -> None:
        epoch, current_iter, lrs = (log_vars[key] for key in ('epoch', 'iter', 'lrs'))
        super().__call__(log_vars)  # takes out what is neither loss nor norm
        if get_dist_info()[0] == 0:
            values = {name: value if math.isfinite(value) else str(value) for name, value in log_vars.items()}
            self._append({'iter': current_iter, 'epoch': epoch, 'lr': list(lrs), **values})

    def _append(self, entry: dict) -> None:
        try:
            with writing(self._path), open(self._path, 'a', encoding='utf-8') as file:
                file.write(json.dumps(entry, allow_nan=False) + '\n')
        except WriteError as error:
            self.logger.warning(f'Iteration {entry["iter"]} will be missing in the training curves: {error}')


def read_losses(path: Path) -> list[dict]:
    """The entries of a losses.jsonl in the order of their iterations; [] without the file.

    Lines that are no whole entry, as a killed run or a full disk may leave one, are passed over.
    """
    try:
        lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    except FileNotFoundError:
        return []
    entries = {}
    for line in lines:
        try:
            entry = json.loads(line)
            entries[int(entry['iter'])] = entry
        except (ValueError, TypeError, KeyError):
            continue
    return [entries[current_iter] for current_iter in sorted(entries)]


def _cut_after(path: Path, last_iter: int) -> None:
    if not path.exists():
        return
    kept = [entry for entry in read_losses(path) if entry['iter'] <= last_iter]
    try:
        write_file(path, ''.join(json.dumps(entry) + '\n' for entry in kept).encode())
    except WriteError as error:
        get_root_logger().warning(f'The training curves will show both runs after iteration {last_iter}: {error}')
