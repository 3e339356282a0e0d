"""Time selective_scan beside the usual formula in plain PyTorch, a Python loop over the tokens.

    OMP_NUM_THREADS=2 python benchmarks/selective_scan.py [--length 12288] [--channels 240] [--rounds 5] [--memory]

The formula is channel-major, makes exp(δA) and δBu of all tokens at once, (b, d, l, n), and then takes one step a token
(Gu & Dao, "Mamba", 2023, Eq. 2). Autograd gives each of its steps a gradient as large as all steps together: time that
grows with the square of the length. Its training step is therefore timed twice: as written at --train-length, and in a
kinder form at every length, which takes the steps apart at once (unbind) so that its gradient is linear in the length.

Both run in turn in one process. Ratios are of the best times and of the medians. --memory adds the peak memory of a
training step, its gradients included, in a fresh process each (Linux).
"""

from __future__ import annotations

# isort: off
import basicsr_ssm  # noqa: F401  (before torch: it sets how threads wait; on busy cores all is far slower without)

# isort: on
import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F

from basicsr_ssm.ops import selective_scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--channels', type=int, default=240)
    parser.add_argument('--length', type=int, default=12288)
    parser.add_argument('--states', type=int, default=16)
    parser.add_argument('--train-length', type=int, default=1024, help='of the formula as written')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--memory', action='store_true')
    parser.add_argument('--peak', choices=FORMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    shape = (args.batch, args.channels, args.length, args.states)
    if args.peak:
        print(peak(FORMS[args.peak], shape))
        return

    print(f'{args.device}, {torch.get_num_threads()} torch threads; times in ms, best and median')
    for b, d, length, n in (shape, (2, 32, 256, 8)):
        print(f'(b, d, l, n) = ({b}, {d}, {length}, {n})')
        compare('forward', ('formula',), (b, d, length, n), args, train=False)
        compare('forward + backward', ('formula, unbind',), (b, d, length, n), args, train=True)
    short = (args.batch, args.channels, args.train_length, args.states)
    print(f'(b, d, l, n) = {short}')
    compare('forward + backward', ('formula', 'formula, unbind'), short, args, train=True)
    if args.memory:
        for form in ('basicsr_ssm', 'formula, unbind'):
            command = [sys.executable, __file__, '--peak', form]
            command += [f'--{name}={getattr(args, name)}' for name in ('batch', 'channels', 'length', 'states')]
            mib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            print(f'peak memory of forward + backward at l = {args.length}, over its inputs: {form:16s} {mib} MiB')


def compare(what, theirs, shape, args, train) -> None:
    tensors = inputs(*shape, args.device, train)
    names = ('basicsr_ssm', *theirs)
    times = {name: [] for name in names}
    results = {}
    for turn in range(args.rounds + 1):
        for name in names:
            start = perf_counter()
            results[name] = run(FORMS[name], tensors, train)
            if args.device != 'cpu':
                torch.cuda.synchronize()
            if turn:  # the first warms up
                times[name].append(1e3 * (perf_counter() - start))
    ours = times['basicsr_ssm']
    print(f'  {what:18s} {"basicsr_ssm":16s} {min(ours):9.1f} {median(ours):9.1f}')
    for name in theirs:
        off = max(
            ((a - b).abs().max() / b.abs().max()).item()
            for a, b in zip(results['basicsr_ssm'], results[name], strict=True)
        )
        best, middle = min(times[name]), median(times[name])
        print(
            f'  {what:18s} {name:16s} {best:9.1f} {middle:9.1f}   {best / min(ours):.1f} and '
            f'{middle / median(ours):.1f} times ours; largest relative difference {off:.0e}'
        )


def run(form, tensors, train) -> list[torch.Tensor]:
    if not train:
        with torch.no_grad():
            return [form(*tensors)]
    y = form(*tensors)
    return [y.detach(), *torch.autograd.grad(y.square().mean(), tensors)]


def peak(form, shape) -> int:
    """MiB that a training step adds to the process."""
    run(form, inputs(1, 4, 8, 2, 'cpu', True), True)  # what the libraries take is not the scan's
    tensors = inputs(*shape, 'cpu', True)
    before = memory('VmRSS')
    run(form, tensors, True)
    return (memory('VmHWM') - before) // 1024


def memory(what) -> int:
    """KiB. Not getrusage, whose peak a process takes over from the one that started it."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def inputs(b, d, length, n, device, train) -> list[torch.Tensor]:
    """As a Mamba block has them at the start of training: A = −1 … −n, steps of 0.001 to 0.1 (Gu & Dao, Sec. 3.6)."""
    g = torch.Generator().manual_seed(0)
    step = torch.exp(torch.empty(d).uniform_(-6.9, -2.3, generator=g))
    tensors = [
        torch.randn(b, length, d, generator=g),
        0.3 * torch.randn(b, length, d, generator=g),
        -torch.arange(1, n + 1.0).repeat(d, 1),
        torch.randn(b, length, n, generator=g),
        torch.randn(b, length, n, generator=g),
        torch.ones(d),
        torch.randn(b, length, d, generator=g),
        torch.log(torch.expm1(step)),
    ]
    return [v.to(device).requires_grad_(train) for v in tensors]


def ours(*tensors):
    return selective_scan(*tensors, delta_softplus=True)


def formula(u, delta, A, B, C, D, z, bias, unbind=False):
    """The recurrence step by step; token-major in and out as ours, the transposes are views."""
    u, delta, B, C, z = (v.mT for v in (u, delta, B, C, z))
    delta = F.softplus(delta + bias[:, None])
    decay = torch.exp(torch.einsum('bdl,dn->bdln', delta, A))
    added = torch.einsum('bdl,bnl,bdl->bdln', delta, B, u)
    state, out = torch.zeros_like(decay[:, :, 0]), []
    if unbind:
        for decay_t, added_t, C_t in zip(decay.unbind(2), added.unbind(2), C.unbind(2), strict=True):
            state = decay_t * state + added_t
            out.append(torch.einsum('bdn,bn->bd', state, C_t))
    else:
        for t in range(u.shape[2]):
            state = decay[:, :, t] * state + added[:, :, t]
            out.append(torch.einsum('bdn,bn->bd', state, C[:, :, t]))
    y = torch.stack(out, 2) + u * D[:, None]
    return (y * F.silu(z)).mT


def unbound_formula(*tensors):
    return formula(*tensors, unbind=True)


FORMS = {'basicsr_ssm': ours, 'formula': formula, 'formula, unbind': unbound_formula}

if __name__ == '__main__':
    main()
