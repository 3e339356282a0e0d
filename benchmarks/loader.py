"""How fast training clips come: the data set of an option file through its loader, beside what the training takes.

    python benchmarks/loader.py -opt FILE.yml [--workers 1 2 4] [--batch 8] [--iteration SECONDS] [KEY:KEY=VALUE ...]

Reads, crops and augments as the training does, in the same order, and throws the clips away. A frame is a pair of GT
and LQ. The clock starts when each worker has delivered two batches
(without workers, 0, after the first one); the CPU's time is that of all of it. Files that fit
into memory are read from there after the first round: this is about decoding, not about disks. --iteration says how
long one iteration of the training takes on one GPU; the last column is how many times that rate the loader reaches.
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before BasicSR)

# isort: on
import argparse
import resource
from itertools import islice
from statistics import median
from time import perf_counter

import cv2
import torch
from basicsr.data import build_dataloader, build_dataset

from basicsr_ssm.data.sampler import ResumableSampler
from basicsr_ssm.options import apply_overrides, check_options, known_keys, read_options

LEAST = 10  # iterations for each worker
COLUMNS = ('workers', 'frames/s', 'best', 'ms of CPU a frame', 'iterations/s', 'times the training')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-opt', required=True, metavar='FILE.yml')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 2, 4], help='processes that read')
    parser.add_argument('--batch', type=int, help='clips of an iteration; default: batch_size_per_gpu')
    parser.add_argument('--iterations', type=int, default=60, help='of each round')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--iteration', type=float, metavar='SECONDS', help='what an iteration of the training takes')
    parser.add_argument('overrides', nargs='*', metavar='KEY:KEY=VALUE')
    args = parser.parse_args()
    least = LEAST * max(1, *args.workers)
    if args.iterations < least:
        parser.error(f'--iterations {args.iterations}: what waits in the queues would count; at least {least}')
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    opt = read_options(args.opt)
    apply_overrides(opt, args.overrides, known_keys)
    check_options(opt, is_train=True, source=args.opt)
    train = {**opt['datasets']['train'], 'phase': 'train', 'scale': opt['scale']}
    train['batch_size_per_gpu'] = args.batch or train['batch_size_per_gpu']
    dataset = build_dataset(train)
    sample = dataset[0]
    t, _, h, w = sample['gt'].shape
    frames = train['batch_size_per_gpu'] * t
    print(f'{train["batch_size_per_gpu"]} clips of {t} frames an iteration, {h}×{w} of GT each')
    print('| ' + ' | '.join(COLUMNS) + ' |\n' + '| --- ' * len(COLUMNS) + '|')
    for workers in args.workers:
        results = [one_round(dataset, train, workers, args.iterations) for _ in range(args.rounds)]
        rates, cpu = zip(*results, strict=True)
        rate = median(rates)
        times = f'{rate * args.iteration:.2f}' if args.iteration else ''
        cells = f'{frames * rate:.0f}', f'{frames * max(rates):.0f}', f'{1e3 * median(cpu) / frames:.2f}', f'{rate:.2f}'
        print(f'| {workers} | {" | ".join(cells)} | {times} |', flush=True)


def one_round(dataset, train: dict, workers: int, iterations: int) -> tuple[float, float]:
    """Iterations a second, and seconds of CPU for an iteration."""
    batch = train['batch_size_per_gpu']
    warm = max(1, 2 * workers)
    total = (iterations + warm) * batch
    order = ResumableSampler(dataset, num_replicas=1, rank=0, ratio=total / len(dataset) + 1, batch_size=batch)
    options = {**train, 'num_worker_per_gpu': workers}
    loader = build_dataloader(dataset, options, num_gpu=1, dist=True, sampler=list(islice(order, total)), seed=0)
    used, arrivals = cpu_seconds(), []
    for _ in loader:
        arrivals.append(perf_counter())
    del loader
    rate = iterations / (arrivals[-1] - arrivals[warm - 1])
    return rate, (cpu_seconds() - used) / len(arrivals)


def cpu_seconds() -> float:
    """Of this process and its children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == '__main__':
    main()
