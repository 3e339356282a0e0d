"""Rows of whole clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from basicsr_ssm.ops.dispatch import VARIABLE
from basicsr_ssm.tables.measurements.networks import build
from basicsr_ssm.tables.measurements.running import How, run_clip
from whole.cases import Inference
from whole.floor import Rates, counted, floor_of

COLUMNS = ('network', 'clip', 'mode', 'ms', 'ms a frame', 'frames/s', 'peak GB', 'floor ms', 'of floor', 'ratio')
MODES = {f'{mode} {precision}': (mode, precision) for mode in ('eager', 'graph') for precision in ('fp32', 'bf16')}
SHORT = ('eager fp32', 'eager bf16', 'graph bf16')
REFERENCE = 'reference fp32'


def rows(cases: list[Inference], rates: Rates, short: bool, device: str, kept_going: Callable) -> Iterator[tuple]:
    for case in cases:
        first, work = None, {}
        for name, network, frames, mode in variants(case, short, device):
            clip = (frames, *case.size)
            result = kept_going(lambda network=network, clip=clip, mode=mode: timed(network, clip, mode, short, device))
            shape = f'{frames} × {case.size[0]}×{case.size[1]}'
            if isinstance(result, str):
                yield (name, shape, mode, result, *[''] * (len(COLUMNS) - 4))
                continue
            net = build(network)
            if (name, clip) not in work:
                work[name, clip] = counted(net, clip)
            floor, why = floor_of(work[name, clip], net, rates, mode.split()[1])
            a_frame = result.median / result.frames
            first = first or a_frame
            yield (
                name, shape, mode, f'{result.median:.1f}', f'{a_frame:.2f}', f'{1e3 / a_frame:.1f}',
                gigabytes(result.peak_bytes), f'{floor:.2f} ({why})', f'{result.median / floor:.1f}×',
                f'{first / a_frame:.2f}×',
            )  # fmt: skip


def variants(case: Inference, short: bool, device: str) -> Iterator[tuple[str, dict, int, str]]:
    """Name, network, frames and mode of each row."""
    frames = case.clip(short)[0]
    for mode in SHORT if short else MODES:
        if device == 'cuda' or not mode.startswith('graph'):
            yield case.name, case.network, frames, mode
    if not short:
        yield case.name, case.network, case.reference, REFERENCE
    for name, network in case.peers.items():
        for mode in ('eager fp32', 'eager bf16'):
            yield name, network, frames, mode


def timed(network: dict, clip: tuple[int, int, int], mode: str, short: bool, device: str):
    t, *size = clip
    torch.manual_seed(0)
    with backend_of(mode):
        repeats, warm_up = 3 if short or mode == REFERENCE else 10, 2
        if device == 'cpu':  # to try this out; there are no graphs, which need two calls before
            repeats = warm_up = 1
        return run_clip(build(network), (1, t, 3, *size), how(mode, device), repeats, warm_up)


def how(mode: str, device: str) -> How:
    kind, precision = MODES.get(mode, ('eager', 'fp32'))
    return How(precision=precision, mode=kind, device=device)


@contextmanager
def backend_of(mode: str) -> Iterator[None]:
    """Plain PyTorch where the mode is 'reference …'."""
    with mock.patch.dict(os.environ, {VARIABLE: 'reference'} if mode.startswith('reference') else {}):
        yield


def gigabytes(number: int | None) -> str:
    return '' if number is None else f'{number / 1e9:.2f}'
