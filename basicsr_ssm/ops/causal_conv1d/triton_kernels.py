"""The kernels of the causal convolution: lanes over channels, each program a run of tokens.

A program keeps the last tokens that its taps reach in registers, so every number is read once. It asks for the tokens
of a group together, before it stores any: a load does not overtake a store.
"""

import triton
import triton.language as tl

from basicsr_ssm.ops.triton_math import sigmoid


@triton.jit
def _token(at, inside):
    """The channels of a token (BLOCK,) in float32, 0 where it is not inside."""
    return tl.load(at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _weighed(window, first: tl.constexpr, weights, y, K: tl.constexpr):
    """y + sum_i weights[i] · window[first + i]."""
    for i in tl.static_range(K):
        y += weights[i] * window[first + i]
    return y


@triton.jit
def _parameters(weight, bias, c, known, weight_channel, weight_tap, K: tl.constexpr, BIAS: tl.constexpr):
    """The taps of each channel, from the first, and the bias."""
    weights = ()
    for i in tl.static_range(K):
        w = tl.load(weight + c * weight_channel + i * weight_tap, mask=known, other=0.0).to(tl.float32)
        weights = weights + (w,)
    b = tl.zeros_like(weights[0])
    if BIAS:
        b += tl.load(bias + c, mask=known, other=0.0).to(tl.float32)
    return weights, b


@triton.jit
def _before(x, row, start, K: tl.constexpr):
    """The K − 1 tokens before the run, and zeros before the first token; `start` is −1 beyond the last channel."""
    window = ()
    for i in tl.static_range(K - 1):
        window = window + (_token(x - (K - 1 - i) * row, start >= K - 1 - i),)
    return window


@triton.jit
def _slope(dy, window, j: tl.constexpr, weights, b, K: tl.constexpr, SILU: tl.constexpr):
    """The slope of the sum before the activation, from that of the result."""
    if SILU:
        s = _weighed(window, j, weights, b, K)
        gate = sigmoid(s)
        dy = dy * gate * (1.0 + s * (1.0 - gate))
    return dy


@triton.jit
def forward(
    x, weight, bias, y, length, x_batch, x_row, weight_channel, weight_tap,
    CHANNELS: tl.constexpr, K: tl.constexpr, RUN: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr,
    BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """(run, block of channels, batch). RUN: tokens of a program; GROUP: that are read together."""
    first, batch = tl.program_id(0) * RUN, tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    known = c < CHANNELS
    start, end = tl.where(known, first, -1), tl.where(known, length - first, 0)  # tokens count from that of the run
    x += batch * x_batch + first.to(tl.int64) * x_row + c
    y += (batch * length + first) * CHANNELS + c
    weights, b = _parameters(weight, bias, c, known, weight_channel, weight_tap, K, BIAS)
    window = _before(x, x_row, start, K)
    for group in range(RUN // GROUP):
        t = group * GROUP
        for j in tl.static_range(GROUP):
            window = window + (_token(x + (t + j) * x_row, end > t + j),)
        for j in tl.static_range(GROUP):
            s = _weighed(window, j, weights, b, K)
            if SILU:
                s = s * sigmoid(s)
            tl.store(y + (t + j) * CHANNELS, s.to(y.dtype.element_ty), mask=end > t + j)
        window = window[GROUP:]


@triton.jit
def backward(
    x, weight, bias, dy, dx, partial, length, runs, x_batch, x_row, dy_batch, dy_row, weight_channel, weight_tap,
    CHANNELS: tl.constexpr, K: tl.constexpr, RUN: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr,
    BIAS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """As `forward`. With ds the slope of the sum before the activation, of the run and the K − 1 tokens after it:
    dx[t] = sum_j weight[K − 1 − j] · ds[t + j]. `partial` (batch · runs, K + 1, d) gets the run's shares of the
    gradients of the taps and the bias.
    """
    first, batch = tl.program_id(0) * RUN, tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    known = c < CHANNELS
    start, end = tl.where(known, first, -1), tl.where(known, length - first, 0)
    x += batch * x_batch + first.to(tl.int64) * x_row + c
    dy += batch * dy_batch + first.to(tl.int64) * dy_row + c
    dx += (batch * length + first) * CHANNELS + c
    partial += (batch * runs + tl.program_id(0)) * ((K + 1) * CHANNELS) + c
    weights, b = _parameters(weight, bias, c, known, weight_channel, weight_tap, K, BIAS)
    turned, sums, slopes = (), (), ()
    for i in tl.static_range(K):
        turned = turned + (weights[K - 1 - i],)
        sums = sums + (tl.zeros_like(b),)
    for _ in tl.static_range(K - 1):
        slopes = slopes + (tl.zeros_like(b),)
    dbias = tl.zeros_like(b)
    window = _before(x, x_row, start, K)
    for group in range(RUN // GROUP):
        t = group * GROUP
        given = ()
        for j in tl.static_range(GROUP):
            window = window + (_token(x + (t + j) * x_row, end > t + j),)
            given = given + (_token(dy + (t + j) * dy_row, end > t + j),)
        for j in tl.static_range(GROUP):
            ds = _slope(given[j], window, j, weights, b, K, SILU)
            slopes = slopes + (ds,)
            dbias += ds
            more = ()
            for i in tl.static_range(K):
                more = more + (sums[i] + ds * window[j + i],)
            sums = more
            past = t + j - (K - 1)  # whose last slope this is
            v = _weighed(slopes, j, turned, tl.zeros_like(b), K)
            tl.store(dx + past * CHANNELS, v.to(dx.dtype.element_ty), mask=(end > past) & (c * 0 + past >= 0))
        window = window[GROUP:]
        slopes = slopes[GROUP:]
    for j in tl.static_range(K - 1):
        window = window + (_token(x + (RUN + j) * x_row, end > RUN + j),)
        ds = _token(dy + (RUN + j) * dy_row, end > RUN + j)
        slopes = slopes + (_slope(ds, window, j, weights, b, K, SILU),)
    for j in tl.static_range(K - 1):
        past = RUN + j - (K - 1)
        v = _weighed(slopes, j, turned, tl.zeros_like(b), K)
        tl.store(dx + past * CHANNELS, v.to(dx.dtype.element_ty), mask=end > past)
    for i in tl.static_range(K):
        tl.store(partial + i * CHANNELS, sums[i], mask=known)
    tl.store(partial + K * CHANNELS, dbias, mask=known)
