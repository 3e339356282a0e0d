"""Selective scan in Triton: parallel over channels and over chunks of time.

Forward, three launches: the state after every chunk from zero; these passed on from chunk to chunk; every chunk again
from its true state, with the outputs. Backward, the same for the gradients of the states; see `triton_backward`.
Nothing of size (tokens, channels, states) is ever in memory, and no sum depends on the order in which programs run.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch

from basicsr_ssm.ops import triton_support

_MOST_STATES = 32
_LONGEST_CHUNK = 1024
_GROUP, _FEW = 4, 2  # tokens whose states the backward pass computes at a time, and holds at a time
_MOST_WARPS = 4  # of a program: they read the same B and C, at about the same time
_TILE = 256  # chunks whose states are passed on at a time


def why_not(*args) -> str | None:
    if (reason := triton_support.why_not_at_all()) is not None:
        return reason
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    if not args:
        return None if interpreted or torch.cuda.is_available() else 'no CUDA device'
    tensors, n = [v for v in args if isinstance(v, torch.Tensor)], args[2].shape[-1]
    if not interpreted and not all(v.is_cuda for v in tensors):
        return f'tensors on {tensors[0].device.type}; it needs CUDA'
    if any(v.dtype not in triton_support.DTYPES for v in tensors):
        return 'float32, bfloat16 and float16 only'
    return f'{n} states; at most {_MOST_STATES}' if n > _MOST_STATES else None


@dataclass(frozen=True)
class _Sizes:
    """How a call is cut: channels of a warp, warps and tokens of a program, tokens of a turn of its loop."""

    channels: int
    warps: int
    chunk: int
    unroll: int = 4
    fetch: int = 8  # tokens between asking for an input and loading it


def _sizes(u, n) -> _Sizes:
    batch, length, channels = u.shape
    of_warp = 64 if n <= 16 else 32
    parts = _parts(channels, of_warp)
    # one wave of the 12 warps that fit a multiprocessor, or what comes nearest to it
    wanted = min(length, _parts(batch * length * parts, 12 * triton_support.multiprocessors(u.device)))
    chunk = _up(length, 4) if length <= 16 else min(_up(wanted, 16), _LONGEST_CHUNK)
    return _Sizes(of_warp, _warps(parts), chunk, fetch=8 if chunk > 16 else 0)


def _warps(parts):
    """Of a program, where there are so many parts of the channels, each one warp's."""
    return math.gcd(parts, _MOST_WARPS)


def _parts(size, part):
    """So many parts hold the size; -(-size // part) says nothing to a compiler that traces unknown sizes."""
    return (size + part - 1) // part


def _up(size, part):
    return _parts(size, part) * part


class Call:
    """The tensors as the kernels want them, and what the kernels are told."""

    def __init__(self, u, delta, A, B, C, D, z, bias, softplus, direction):
        self.u, self.delta, self.B, self.C, self.z = map(_rows, (u, delta, B, C, z))
        self.A, self.D, self.bias = (None if v is None else v.float().contiguous() for v in (A, D, bias))
        self.softplus, self.both = softplus, direction == 'both'
        self.reverses = {'forward': (0,), 'reverse': (1,), 'both': (0, 1)}[direction]
        self.batch, self.length, self.channels = u.shape
        self.n = A.shape[-1]
        self.sizes = _sizes(u, self.n)
        self.chunks = _parts(self.length, self.sizes.chunk)
        self.width = _up(self.channels, self.sizes.channels)
        self.block = self.sizes.channels * self.sizes.warps
        self.blocks = self.width // self.block
        self.states_shape = len(self.reverses) * self.batch, self.chunks, self.n, self.width
        self.options = dict(N=self.n, CHUNK=self.sizes.chunk, SOFTPLUS=softplus, BIAS=bias is not None)
        self.options |= dict(FETCH=self.sizes.fetch, num_warps=self.sizes.warps)

    def empty(self, *shape):
        return torch.empty(shape, dtype=torch.float32, device=self.u.device)

    def carried(self, x, B, adjoint):
        """The states after all chunks, (directions · b, chunks, n, d), or with dy and C their gradients before them."""
        from basicsr_ssm.ops.selective_scan.triton_forward import chunk_states, pass_states

        scans, states = self.states_shape[0], self.empty(*self.states_shape)
        if self.chunks == 1:
            return states  # which nobody reads
        sums = self.empty(scans, self.chunks, self.width)
        where = dict(BOTH=self.both, ADJOINT=adjoint)
        chunk_states[(self.blocks * scans, self.chunks)](
            self.delta, x, B, self.A, self.bias, states, sums,
            self.batch, self.length, self.channels, self.chunks, self.blocks, self.reverses[0],
            *_strides(self.delta, x, B),
            BLOCK=self.block, UNROLL=self.sizes.unroll, ALIGNED=_aligned(B), **where, **self.options,
        )  # fmt: skip
        tile = min(_TILE, max(32, 1 << (self.chunks - 1).bit_length()))
        pass_states[(self.width // 8 * scans, self.n)](
            states, sums, self.A, self.batch, self.channels, self.chunks, self.width, self.reverses[0],
            N=self.n, BLOCK=8, TILE=tile, TILES=_parts(self.chunks, tile), num_warps=4, **where,
        )  # fmt: skip
        return states

    def of_direction(self, i, states):
        return self.A[i], None if self.D is None else self.D[i], states[i * self.batch :]


def _rows(v):
    """v, or a copy: the numbers of a token side by side, and offsets within a chunk that fit 32 bits."""
    if v is None or (v.stride(2) == 1 and v.stride(1) < 2**20):
        return v
    return v.contiguous()


def _aligned(*tensors):
    """Whether four numbers of a token can be read at once."""
    return all(v.data_ptr() % (4 * v.element_size()) == 0 and all(s % 4 == 0 for s in v.stride()[:2]) for v in tensors)


def _strides(*tensors):
    return [w for v in tensors for w in ((0, 0) if v is None else v.stride()[:2])]


def forward(c: Call, keep: bool):
    """y; to keep for the backward pass: the states after the chunks, and what the gate multiplies."""
    from basicsr_ssm.ops.selective_scan.triton_forward import chunk_outputs

    states = c.carried(c.u, c.B, adjoint=False)
    y = torch.empty(c.u.shape, dtype=c.u.dtype, device=c.u.device)
    ungated = torch.empty_like(y) if keep and c.z is not None else None
    sofar = y if c.u.dtype == torch.float32 or not c.both else torch.empty_like(y, dtype=torch.float32)
    for i, reverse in enumerate(c.reverses):
        last = i == len(c.reverses) - 1
        A, D, before = c.of_direction(i, states)
        chunk_outputs[(c.blocks * c.batch, c.chunks)](
            c.delta, c.u, c.B, c.C, c.z, A, D, c.bias, before, sofar, ungated, y if last else sofar,
            c.length, c.channels, c.chunks, c.blocks, reverse, *_strides(c.delta, c.u, c.B, c.C, c.z),
            BLOCK=c.block, SKIP=D is not None, GATE=last and c.z is not None, ADD=i > 0,
            KEEP=last and ungated is not None, UNROLL=c.sizes.unroll, ALIGNED=_aligned(c.B, c.C), **c.options,
        )  # fmt: skip
    return y, states, ungated


def backward(c: Call, dy, states, ungated):
    """Gradients of u, delta, A, B, C, D, z and the bias."""
    from basicsr_ssm.ops.selective_scan import triton_backward as kernels

    dy, dz = _rows(dy), None
    if c.z is not None:
        dz, given, dy = torch.empty_like(ungated, dtype=c.z.dtype), dy, c.empty(*dy.shape)
        kernels.gate_slopes[(_parts(dy.numel(), 1024),)](
            given, c.z, ungated, dy, dz, c.length, c.channels, dy.numel(), *_strides(given, c.z), BLOCK=1024
        )
    slopes = c.carried(dy, c.C, adjoint=True)

    directions, groups = len(c.reverses), _parts(c.sizes.chunk, _GROUP)
    kept = c.empty(c.batch, c.chunks, groups, c.n, c.width)
    parts = c.width // 32
    warps = _warps(parts)
    blocks = parts // warps
    dtype = torch.float32 if c.both else c.u.dtype
    du, ddelta = (torch.empty(c.u.shape, dtype=dtype, device=c.u.device) for _ in range(2))
    dB, dC = (c.empty(c.batch, directions * parts, c.length, c.n) for _ in range(2))
    dA = c.empty(directions, c.batch, c.chunks, c.n, c.width)
    dD, dbias = (None if v is None else c.empty(directions, c.batch, c.chunks, c.width) for v in (c.D, c.bias))
    for i, reverse in enumerate(c.reverses):
        A, D, before = c.of_direction(i, states)
        kernels.group_states[(c.blocks * c.batch, c.chunks)](
            c.delta, c.u, c.B, A, c.bias, before, kept,
            c.length, c.channels, c.chunks, c.blocks, reverse, groups,
            *_strides(c.delta, c.u, c.B),
            BLOCK=c.block, GROUP=_GROUP, ALIGNED=_aligned(c.B), **c.options,
        )  # fmt: skip
        kernels.chunk_slopes[(blocks * c.batch, c.chunks)](
            c.delta, c.u, c.B, c.C, dy, A, D, c.bias, kept, slopes[i * c.batch :], du, ddelta,
            dB[:, i * parts :], dC[:, i * parts :], dA[i], None if dD is None else dD[i],
            None if dbias is None else dbias[i],
            c.length, c.channels, c.chunks, blocks, reverse, groups, directions * parts,
            *_strides(c.delta, c.u, c.B, c.C, dy),
            P=max(4, 1 << (c.n - 1).bit_length()), GROUP=_GROUP, FEW=_FEW, ALIGNED=_aligned(c.B, c.C),
            SKIP=D is not None, ADD=i > 0, WARPS=warps, **c.options | dict(num_warps=warps),
        )  # fmt: skip
    dB, dC = (v.sum(1) for v in (dB, dC))
    dA = dA.sum((1, 2))[..., : c.channels].mT
    dD = None if dD is None else dD.sum((1, 2))[:, : c.channels]
    dbias = None if dbias is None else dbias.sum((0, 1, 2))[: c.channels]
    return du, ddelta, dA, dB, dC, dD, dz, dbias
