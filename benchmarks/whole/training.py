"""Rows of training iterations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import torch

from basicsr_ssm.models.training_graph import TrainingGraph
from basicsr_ssm.tables.measurements.networks import build
from basicsr_ssm.tables.measurements.running import PRECISIONS, Memory, milliseconds_of
from whole.cases import Training
from whole.inference import backend_of, gigabytes

COLUMNS = ('network', 'batch', 'mode', 'precision', 'ms', 'iterations/s', 'clips/s', 'peak GB', 'ratio')
MODES = ('eager', 'graph', 'checkpointed', 'checkpointed, graph', 'reference')
SHORT = ('eager', 'graph')
PATIENCE = 15e3  # ms: a row that takes longer is of three iterations


def rows(cases: list[Training], short: bool, device: str, kept_going: Callable) -> Iterator[tuple]:
    for case in cases:
        first = None
        if short and not case.short:
            continue
        for mode in SHORT if short else MODES:
            if device == 'cpu' and 'graph' in mode:
                continue
            frames = case.reference if mode == 'reference' else case.frames
            if not frames:
                continue
            batch = f'{case.batch} × {frames} × {case.size}×{case.size}'
            result = kept_going(lambda case=case, frames=frames, mode=mode: timed(case, frames, mode, short, device))
            if isinstance(result, str):
                yield (case.name, batch, mode, case.precision, result, *[''] * (len(COLUMNS) - 5))
                continue
            milliseconds, peak = result
            a_frame = milliseconds / frames
            first = first or a_frame
            yield (
                case.name, batch, mode, case.precision, f'{milliseconds:.1f}', f'{1e3 / milliseconds:.2f}',
                f'{1e3 * case.batch / milliseconds:.2f}', gigabytes(peak), f'{first / a_frame:.2f}×',
            )  # fmt: skip


def timed(case: Training, frames: int, mode: str, short: bool, device_name: str) -> tuple[float, int | None]:
    """Median milliseconds of an iteration, and the peak of memory with weights, gradients and batch."""
    device = torch.device(device_name)
    memory = Memory(device)
    torch.manual_seed(0)
    branches = {'checkpointed_branches': 'all'} if mode.startswith('checkpointed') else {}
    net = build({**case.network, **branches}).to(device).train()
    lq = torch.rand(case.batch, frames, 3, case.size, case.size, device=device)
    gt = torch.rand(case.batch, frames, 3, 4 * case.size, 4 * case.size, device=device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5, betas=(0.9, 0.99))
    dtype = PRECISIONS[case.precision]
    autocast = partial(torch.autocast, device.type, dtype=dtype, enabled=dtype != torch.float32)
    graph = TrainingGraph(net, autocast) if 'graph' in mode else None

    def forward() -> torch.Tensor:
        if graph is not None:
            return graph(lq)
        with autocast():
            return net(lq)

    def iteration() -> None:
        optimizer.zero_grad()
        loss = torch.sqrt((forward().float() - gt).square() + 1e-12).mean()
        loss.backward()
        optimizer.step()

    with backend_of(mode):
        memory.start()  # a graph takes the most while it is captured, in the first iteration
        for _ in range(2):
            iteration()
        least, most = (1, 1) if device.type == 'cpu' else (3, 3 if short or mode == 'reference' else 10)
        found = []
        while len(found) < least or len(found) < most and sum(found) < PATIENCE:
            found.append(milliseconds_of(iteration, device))
    return median(found), memory.peak()
