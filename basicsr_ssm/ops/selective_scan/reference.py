"""Selective scan in plain PyTorch: blocks of tokens that fit the cache, each scanned in two levels.

A step over one token is too little work for one call, so a block's tokens form groups of equal length. All groups step
through their positions at once, from zero states; then the last states of the groups are carried from one to the next;
then each token gets what its group was handed, times the product of the decays since. Decays are only ever multiplied
with each other: nothing can overflow and nothing is divided.

The states (l, b, n, d) never exist at once. Kept for the backward pass is the state before every block; each block is
then scanned anew, and its gradient is the same scan the other way.

Inside, tokens come first: u (l, b, d), B (l, b, n), A (directions, n, d); a block of states is contiguous then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

# Numbers in a block of states. On one core, two such blocks fit the second-level cache; with more threads each call has
# to wake them, which only longer calls are worth. Elsewhere calls are dear and memory is near.
_BLOCK_ONE_THREAD, _BLOCK_THREADS, _BLOCK_ELSEWHERE = 2**17, 2**19, 2**25
# numbers in a step over one token from which on grouping costs more than it saves
_WIDE_STEP = 2**14


def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, direction):
    """A and D with the directions first, (1, d, n) or (2, d, n); else as `selective_scan`."""
    tensors, reverses = _inside(u, delta, A, B, C, D, z, delta_bias, direction)
    with torch.autocast(u.device.type, enabled=False):
        if torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors):
            y = _SelectiveScan.apply(*tensors, delta_softplus, reverses)
        else:
            plan = _Plan(tensors[0], tensors[5], buffers=2)
            y = _forward(plan, *tensors, delta_softplus, reverses)
    return y.transpose(0, 1).to(u.dtype)


def _inside(u, delta, A, B, C, D, z, bias, direction):
    """u, delta, B, C, z, A, D and the bias as they are inside, and which scans run in reverse."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    tokens = [None if v is None else v.to(dtype).transpose(0, 1) for v in (u, delta, B, C, z)]
    D, bias = (None if v is None else v.to(dtype) for v in (D, bias))
    reverses = {'forward': (False,), 'reverse': (True,), 'both': (False, True)}[direction]
    return (*tokens, A.to(dtype).mT.contiguous(), D, bias), reverses


def gradients(dy, u, delta, A, B, C, D, z, delta_bias, delta_softplus, direction):
    """Gradients of the eight tensors, without autograd, which does not reach into operators."""
    tensors, reverses = _inside(u, delta, A, B, C, D, z, delta_bias, direction)
    kept = _Kept()
    _SelectiveScan.forward(kept, *tensors, delta_softplus, reverses)
    *tokens, dA, dD, dbias = _SelectiveScan.backward(kept, dy.to(tensors[0].dtype).transpose(0, 1))[:8]
    du, ddelta, dB, dC, dz = (None if v is None else v.transpose(0, 1) for v in tokens)
    return du, ddelta, dA.mT, dB, dC, dD, dz, dbias


class _Kept:
    """What autograd hands from the forward to the backward pass."""

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, delta, B, C, z, A, D, bias, softplus, reverses):
        plan = _Plan(u, A, buffers=2)
        carried, ungated = [], None if z is None else _like(u)
        y = _forward(plan, u, delta, B, C, z, A, D, bias, softplus, reverses, carried, ungated)
        ctx.softplus, ctx.reverses = softplus, reverses
        ctx.numbers = plan.numbers  # the number of threads may change before the backward pass
        ctx.save_for_backward(u, delta, B, C, z, A, D, bias, ungated, *carried)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        with torch.autocast(grad.device.type, enabled=False):
            saved = ctx.saved_tensors  # once: activation checkpointing makes them anew at each look
            (u, *_, A, _, _, _), carried = saved[:9], saved[9:]
            plan = _Plan(u, A, buffers=4, numbers=ctx.numbers)
            return *_backward(plan, grad, *saved[:9], ctx.softplus, ctx.reverses, carried), None, None


def _forward(plan, u, delta, B, C, z, A, D, bias, softplus, reverses, carried=None, ungated=None):
    """y. Appends the state before each block to `carried`, and writes what the gate multiplies to `ungated`."""
    y = _like(u)
    for i, reverse, stretches in plan.stretches(reverses, u, delta, B, C, z, y, ungated):
        state = 0
        for u_, delta_, B_, C_, z_, y_, ungated_ in stretches:
            step = _step(delta_, bias, softplus)
            out = u.new_empty(u_.shape)
            for room, step_t, x_t, B_t, C_t, out_t in plan.blocks(reverse, step, step * u_, B_, C_, out):
                room.fill(step_t, x_t, A[i], B_t, state)
                if carried is not None:
                    carried.append(room.before.clone())
                state = room.scan()
                _over_states(C_t, room.states, out_t)

            if D is not None:
                out.addcmul_(D[i], u_)
            if i:
                out += y_
            if z is not None and i == len(reverses) - 1:
                if ungated is not None:
                    ungated_.copy_(out)
                out *= F.silu(z_)
            y_.copy_(out)
    return y


def _backward(plan, grad, u, delta, B, C, z, A, D, bias, ungated, softplus, reverses, carried):
    """Gradients of u, delta, B, C, z, A, D and bias; None for those that are None."""
    tokens = [None if v is None else _like(v).zero_() for v in (u, delta, B, C, z)]
    dA, dD, dbias = (None if v is None else torch.zeros_like(v) for v in (A, D, bias))
    carried = iter(reversed(carried))
    tensors = (u, delta, B, C, z, grad, ungated, *tokens)
    for i, reverse, stretches in reversed(list(plan.stretches(reverses, *tensors))):
        handed = 0
        for u_, delta_, B_, C_, z_, dy, ungated_, du, ddelta, dB, dC, dz in reversed(stretches):
            if z is not None:
                gate = torch.sigmoid(z_)
                if i == 0:
                    torch.mul(dy * ungated_, gate * (1 + z_ * (1 - gate)), out=dz)
                dy = dy * (z_ * gate)
            step = _step(delta_, bias, softplus)
            dx, dstep = u.new_empty(u_.shape), u.new_empty(u_.shape)
            blocks = plan.blocks(reverse, step, step * u_, dy, B_, C_, dB, dC, dx, dstep)
            for room, step_t, x_t, dy_t, B_t, C_t, dB_t, dC_t, dx_t, dstep_t in reversed(blocks):
                room.fill(step_t, x_t, A[i], B_t, next(carried))
                room.scan()
                dC_t += _over_channels(room.states, dy_t)
                handed = room.scan_slopes(C_t, dy_t, handed)
                dB_t += _over_channels(room.slopes, x_t)
                _over_states(B_t, room.slopes, dx_t)
                # of the exponents δ_t·A
                slopes = torch.mul(room.decay, room.previous, out=room.product).mul_(room.slopes)
                dA[i] += torch.mul(slopes, step_t[:, :, None], out=room.states).sum((0, 1))
                torch.sum(slopes.mul_(A[i]), 2, out=dstep_t)

            dstep.addcmul_(dx, u_)
            dx *= step
            if D is not None:
                dD[i] += (dy * u_).sum((0, 1))
                dx.addcmul_(dy, D[i])
            du += dx
            if softplus:
                dstep *= torch.sigmoid(delta_ if bias is None else delta_ + bias)
            if bias is not None:
                dbias += dstep.sum((0, 1))
            ddelta += dstep
    return *tokens, dA, dD, dbias


class _Room:
    """Room for a block, buffers (l + 2, b, n, d): a row before the tokens and one after; and the calls of its scans.

    decay is exp(δ_t·A), states h_t, slopes the gradient of h_t. `before` is the row from which the scan sets out.
    """

    def __init__(self, buffers, q, reverse):
        decay, h, *more = buffers
        self.decay, self.states = decay[1:-1], h[1:-1]
        first, last, before, after = (-2, 1, -1, 0) if reverse else (1, -2, 0, -1)
        self.before, self.last = h[before], h[last]
        self.product = more[0][1:-1] if more else self.decay
        self.calls = _scan(self.decay, h, self.product, q, reverse)
        if more:
            # g_t = C_t·dy_t + exp(δ_{t+1}·A)·g_{t+1}: the same scan the other way, its decays those of one token on.
            # What comes from the next block has been decayed there.
            g = more[1]
            self.slopes, self.handed, self.undecayed = g[1:-1], g[after], decay[after]
            self.first = decay[first], g[first]
            self.previous = h[2:] if reverse else h[:-2]
            self.calls_back = _scan(decay[:-2] if reverse else decay[2:], g, self.product, q, not reverse)

    def fill(self, step, x, A, B, state):
        self.before[:] = state  # first of all: it may lie in the rows that are filled below
        torch.mul(step[:, :, None], A, out=self.decay)
        self.decay.exp_()
        torch.mul(B[..., None], x[:, :, None], out=self.states)

    def scan(self):
        for call in self.calls:
            call()
        return self.last

    def scan_slopes(self, C, dy, handed):
        torch.mul(C[..., None], dy[:, :, None], out=self.slopes)
        self.handed[:] = handed
        self.undecayed.fill_(1)
        for call in self.calls_back:
            call()
        return torch.mul(*self.first)


def _scan(decay, h, product, q, reverse) -> list[Callable]:
    """The calls that do h_t += decay_t·h_{t−1} in place, for a whole block in groups of q tokens.

    decay and product, which is written and may be decay itself, are (m·q, …); h is (1 + m·q + 1, …): the state handed
    to the block lies before the tokens, or after them when the scan is reverse. A block's views cost as much as its
    sums, so they are made once for all blocks of a kind.
    """
    calls = []
    rows, decay, product = (v.unflatten(0, (-1, q)).flatten(2) for v in (h[1:-1], decay, product))
    h = h.flatten(1)
    order = slice(None, None, -1) if reverse else slice(None)
    positions = range(q)[order]
    if product.data_ptr() != decay.data_ptr():
        calls.append(partial(product[:, positions[0]].copy_, decay[:, positions[0]]))
    for before, now in pairwise(positions):
        calls.append(partial(rows[:, now].addcmul_, decay[:, now], rows[:, before]))
        calls.append(partial(torch.mul, decay[:, now], product[:, before], out=product[:, now]))
    edge = h[-1 if reverse else 0]
    ends, wholes = (v[:, positions[-1]].unbind()[order] for v in (rows, product))
    for end, whole in zip(ends, wholes, strict=True):
        calls.append(partial(end.addcmul_, whole, edge))
        edge = end
    if q > 1:
        given = h[q + 1 :: q] if reverse else h[: -q - 1 : q]
        rest = slice(1, None) if reverse else slice(None, -1)
        calls.append(partial(rows[:, rest].addcmul_, product[:, rest], given[:, None]))
    return calls


def _step(delta, bias, softplus):
    delta = delta if bias is None else delta + bias
    return F.softplus(delta) if softplus else delta


def _over_states(v, h, out):
    """Σ_n v·h of v (l, b, n) and h (l, b, n, d), to out (l, b, d)."""
    torch.bmm(v.reshape(-1, 1, v.shape[2]), h.flatten(0, 1), out=out.view(-1, 1, out.shape[2]))


def _over_channels(h, v):
    """(l, b, n): Σ_d h·v of h (l, b, n, d) and v (l, b, d)."""
    # v on the left: a third of the time of h·v on a CPU
    return torch.bmm(v.reshape(-1, 1, v.shape[2]), h.flatten(0, 1).mT).view(h.shape[:3])


def _like(v):
    """An empty (l, b, …) that lies in memory as (b, l, …)."""
    return torch.empty_like(v.transpose(0, 1), memory_format=torch.contiguous_format).transpose(0, 1)


class _Plan:
    """How a call is cut, and the memory its blocks take turns in.

    All tokens of some sequences; of those, stretches of tokens, for what has no states; of those, the blocks.
    """

    def __init__(self, u, A, buffers, numbers=None):
        length, self.batch, channels = u.shape
        self.shape, self.rooms = A.shape[1:], {}
        self.numbers = numbers or _block(u.device)
        room = max(1, self.numbers // A[0].numel())
        self.rows = min(self.batch, room)
        width = self.rows * A[0].numel()
        tokens = min(length, room // self.rows)
        self.q = 1 if width >= _WIDE_STEP else max(1, math.isqrt(tokens // 2))
        self.tokens = tokens // self.q * self.q
        self.stretch = max(1, self.numbers // (self.rows * channels * self.tokens)) * self.tokens
        self.buffers = u.new_empty(buffers, (self.tokens + 2) * width)

    def stretches(self, reverses, *tensors):
        """Yields direction, whether it is reverse, and its stretches in order: tuples of parts of the tensors."""
        for row in range(0, self.batch, self.rows):
            at = slice(row, row + self.rows)
            stretches = _together(*(None if v is None else v[:, at].split(self.stretch) for v in tensors))
            for i, reverse in enumerate(reverses):
                yield i, reverse, stretches[:: -1 if reverse else 1]

    def blocks(self, reverse, *tensors):
        """The blocks of a stretch in order: (room, *parts of the tensors)."""
        length, rows = tensors[0].shape[:2]
        sizes = [self.tokens] * (length // self.tokens)
        last = length % self.tokens
        sizes += [v for v in (last - last % self.q, last % self.q) if v]  # those that make no group go one by one
        rooms = [self._room(v, rows, self.q if v % self.q == 0 else 1, reverse) for v in sizes]
        return _together(rooms, *(v.split(sizes) for v in tensors))[:: -1 if reverse else 1]

    def _room(self, tokens, rows, q, reverse):
        key = (tokens, rows, reverse)
        if key not in self.rooms:
            shape = (tokens + 2, rows, *self.shape)
            self.rooms[key] = _Room([v[: math.prod(shape)].view(shape) for v in self.buffers], q, reverse)
        return self.rooms[key]


def _block(device) -> int:
    if device.type != 'cpu':
        return _BLOCK_ELSEWHERE
    return _BLOCK_ONE_THREAD if torch.get_num_threads() == 1 else _BLOCK_THREADS


def _together(*lists):
    count = len(lists[0])
    return list(zip(*([None] * count if v is None else v for v in lists), strict=True))
