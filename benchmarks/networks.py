"""Whole networks: inference and training, ours in each mode beside plain PyTorch, BasicVSR and BasicVSR++.

    python benchmarks/networks.py [--short] [--only NAME ...] [--markdown FILE]
    python benchmarks/networks.py --profile NAME [--mode 'graph bf16'] [--markdown FILE]

A row is printed, and written to the file, as soon as it is measured. Random weights; PyTorch's defaults, which allow
TF32 to convolutions and not to matrix products.

Inference: medians of whole clips, batch 1. 'eager' and 'graph' (one CUDA graph of the whole clip) in float32 and under
bfloat16 autocast with the weights cast once, as `basicsr-ssm upscale` runs them; 'reference' is plain PyTorch for all
operators (BASICSR_SSM_BACKEND=reference), of fewer frames where it would take minutes. Peak: memory allocated at most,
weights included, the clip not. Floor: the longer of two times, the multiply-adds at the rate of a large matrix product,
TF32 or bfloat16, measured here, and the bytes at the bandwidth of a copy measured here: the weights once, and the
results of all convolutions, products and scans written once and read once.

Training: forward, Charbonnier loss, backward and a step of Adam on all parameters, the flow network's too; no data
loader. 'graph' is train.cuda_graph, 'checkpointed' checkpointed_branches: all. MedVSR in float32 and VSRM under
bfloat16 autocast, as their option files have it. The ratio is to the first row of a group, by the frame or iteration;
where 'reference' has fewer frames, by the frame.

Profile: the kernels that take the most time on the GPU (operators, on a CPU), in one call after two.
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch)

# isort: on
import argparse
import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from paper import Paper
from whole import inference, profile, training
from whole.cases import INFERENCE, TINY_INFERENCE, TINY_TRAINING, TRAINING
from whole.floor import measured_rates

from basicsr_ssm.errors import UserError
from basicsr_ssm.ops.dispatch import BackendError
from basicsr_ssm.tables.measurements.running import device_name


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--short', action='store_true', help='fewer frames and rows: under two minutes on a GPU')
    names = [*INFERENCE, *TRAINING]
    parser.add_argument('--only', nargs='+', choices=names, default=names, metavar='NAME', help=', '.join(names))
    parser.add_argument('--profile', choices=list(INFERENCE), help='kernels of one network in place of the tables')
    parser.add_argument('--mode', choices=list(inference.MODES), default='eager bf16', help='of the profile')
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='the tables go here too')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--tiny', action='store_true', help='small networks and clips, to try this out without a GPU')
    args = parser.parse_args(arguments)
    if args.device == 'cuda' and not torch.cuda.is_available():
        sys.exit('error: no CUDA device')
    logging.getLogger('basicsr').setLevel(logging.ERROR)
    in_inference, in_training = (TINY_INFERENCE, TINY_TRAINING) if args.tiny else (INFERENCE, TRAINING)
    paper = Paper(args.markdown)
    paper.paragraph(f'{device_name(args.device)}, torch {torch.__version__}')
    if args.profile:
        case = in_inference[args.profile]
        paper.paragraph(f'{case.name}, {case.clip(args.short)}, {args.mode}')
        paper.table(profile.COLUMNS, profile.rows(case, args.mode, args.short, args.device))
        return
    rates = measured_rates(args.device)
    paper.paragraph(str(rates))
    inferred = [case for name, case in in_inference.items() if name in args.only]
    if inferred:
        paper.table(inference.COLUMNS, inference.rows(inferred, rates, args.short, args.device, kept_going))
    trained = [case for name, case in in_training.items() if name in args.only]
    if trained:
        paper.table(training.COLUMNS, training.rows(trained, args.short, args.device, kept_going))


def kept_going(measure: Callable[[], object]) -> object:
    """What ``measure`` gives, or in words why it gave nothing: the next row may."""
    try:
        return measure()
    except torch.cuda.OutOfMemoryError:
        problem = 'out of memory'
    except (UserError, BackendError, RuntimeError) as error:
        problem = f'{type(error).__name__}: {str(error).splitlines()[0][:80]}'
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return problem


if __name__ == '__main__':
    try:
        main()
    except UserError as problem:
        sys.exit(f'error: {problem}')
