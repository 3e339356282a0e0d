"""Every operator on the shapes of the networks, on a GPU: ours, the vendor's, plain PyTorch, and the floor.

    python benchmarks/ops.py [--short] [--only NAME ...] [--markdown FILE]

One row for each operator, shape, dtype and pass. Milliseconds are medians of CUDA graph replays, that is of the GPU's
work alone, except plain PyTorch ('reference'), which is timed call by call. 'backward' is the gradient of all inputs,
the graph given. What is small stays in the second-level cache from call to call, for all that are compared.

The vendors are mamba-ssm, causal-conv1d and torchvision where they are installed; each file in operators/ says which
calls stand beside ours. The floor is the larger of two times: all inputs read once and all results written once, at the
bandwidth of a copy measured here, and the arithmetic, at the rate of the unit that does it (--clock GHz: exponentials
16, float32 multiply-adds 128 a clock and multiprocessor; matrix products at the TFLOP/s of --tf32 and --bf16).
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch)

# isort: on
import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from operators import OPERATORS
from operators.measure import Rates, copy_bandwidth, measured
from paper import Paper

COLUMNS = ('operator', 'shape', 'dtype', 'pass', 'ours ms', 'vendor ms', 'ratio', 'reference ms', 'ratio', 'floor ms',
           'of floor', 'peak MiB', 'vendor MiB')  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--short', action='store_true', help='one shape an operator, no reference: under two minutes')
    parser.add_argument('--only', nargs='+', choices=OPERATORS, default=list(OPERATORS))
    parser.add_argument('--markdown', type=Path, help='the table goes here too, row by row')
    parser.add_argument('--clock', type=float, default=1.98, help='GHz')
    parser.add_argument('--tf32', type=float, default=400, help='TFLOP/s of matrix products')
    parser.add_argument('--bf16', type=float, default=790, help='TFLOP/s of matrix products')
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit('error: no CUDA device')
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    rates = Rates(copy_bandwidth(), processors * args.clock * 1e9, args.tf32 * 1e12, args.bf16 * 1e12)
    paper = Paper(args.markdown)
    paper.paragraph(
        f'{torch.cuda.get_device_name()}, torch {torch.__version__}, copy {rates.bandwidth / 1e12:.2f} TB/s'
    )
    paper.table(COLUMNS, rows_of(args.only, rates, args.short))


def rows_of(names: list[str], rates: Rates, short: bool) -> Iterator[tuple[str, ...]]:
    """The rows of these operators, each as soon as it is measured."""
    for name in names:
        for case in OPERATORS[name](short):
            for row in measured(case, rates, reference=not short):
                yield name, *row
            del case
            torch.cuda.empty_cache()


if __name__ == '__main__':
    main()
