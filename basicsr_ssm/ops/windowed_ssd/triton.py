"""The windowed SSD in Triton: stages of many small programs, three forward and six backward."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable

from basicsr_ssm.ops import triton_support

_MOST_TOKENS, _MOST_HEADS = 256, 8
_CHUNK = 16  # tokens
_WARPS = dict(begin=4, pass_states=4, finish=4, gate_gradient=4, scan_gradient=4, conv_gradient=4)


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    projected, heads = args[0], args[-4].shape[0]  # of the arguments of either form
    if projected.shape[1] > _MOST_TOKENS:
        return f'{projected.shape[1]} tokens a window, {_MOST_TOKENS} at most'
    if heads > _MOST_HEADS:
        return f'{heads} heads, {_MOST_HEADS} at most'
    return None


def cross(projected, readout, conv_weight, conv_bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain, eps):
    parameters = (conv_weight, conv_bias, dt_bias, A_log, D, gain, readout_weight, readout_bias, pe)
    return _call(projected, readout, parameters, eps)


def inner(projected, conv_weight, conv_bias, dt_bias, A_log, D, gain, shift, eps):
    return _call(projected, None, (conv_weight, conv_bias, dt_bias, A_log, D, gain, shift), eps)


def _call(projected, readout, parameters, eps):
    tensors = (*map(_rows, (projected, readout)), *(v.contiguous() for v in parameters))
    if torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors):
        return _WindowedSSD.apply(eps, *tensors)
    return _forward(eps, *tensors)


def _rows(v):
    """v, or a copy, with the numbers of a token side by side."""
    return v if v is None or v.stride(2) == 1 else v.contiguous()


class _WindowedSSD(torch.autograd.Function):
    @staticmethod
    def forward(ctx, eps, *tensors):
        ctx.eps = eps
        ctx.save_for_backward(*tensors)
        return _forward(eps, *tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return None, *_backward(ctx.eps, grad, *ctx.saved_tensors)


@dataclass
class _Stages:
    """The launches of one call: its tensors, its scratch memory, and the sizes that the kernels are compiled for."""

    projected: torch.Tensor
    readout: torch.Tensor | None
    parameters: tuple[torch.Tensor, ...]  # conv_weight, conv_bias, dt_bias, A_log, D, gain, …
    eps: float
    backward: bool

    def __post_init__(self):
        self.batch, length, _ = self.projected.shape
        self.heads = self.parameters[2].shape[0]
        self.d, self.cross = self.heads * 16, self.readout is not None
        self.padded = 1 << (self.heads - 1).bit_length()
        tokens = max(_CHUNK, 1 << (length - 1).bit_length())
        self.chunks = tokens // _CHUNK
        self.states = length * (self.d + 48) + 2 * self.padded * tokens  # where they begin in the scratch memory
        self.states_size = self.chunks * self.padded * 256
        numbers = self.states + self.states_size
        if self.backward:
            numbers += self.states_size + length * self.d
        self.scratch = self.projected.new_empty(self.batch, numbers, dtype=torch.float32)
        self.shape = dict(SCRATCH=numbers, LENGTH=length, TOKENS=tokens)
        self.heads_shape = dict(CHUNK=_CHUNK, HEADS=self.heads, PADDED=self.padded, CROSS=self.cross)
        self.precise = dict(EXACT=self.projected.dtype == torch.float32)  # TF32 has the digits of the shorter types
        self.row = self.projected.stride(1)
        self.readout_row, self.readout_batch = (
            (self.readout.stride(1), self.readout.stride(0)) if self.cross else (0, 0)
        )
        self.window = dict(WINDOW=math.isqrt(length) if self.cross else 0)
        self.readout_weight, self.readout_bias, self.pe = self.parameters[6:] if self.cross else (None, None, None)
        self.shift = None if self.cross else self.parameters[6]

    def launch(self, kernel, second, *args, **sizes):
        options = dict(num_warps=_WARPS[kernel.__name__], num_stages=1)
        kernel[(self.batch, second)](*args, **self.shape, **sizes, **options)

    def begin(self):
        from basicsr_ssm.ops.windowed_ssd.triton_steps import begin

        conv_weight, conv_bias, dt_bias, A_log = self.parameters[:4]
        self.launch(
            begin, self.chunks, self.projected, self.readout, self.scratch,
            conv_weight, conv_bias, self.readout_weight, self.readout_bias, dt_bias, A_log,
            self.projected.stride(0), self.readout_batch, ROW=self.row, READOUT_ROW=self.readout_row,
            **self.heads_shape, **self.precise,
        )  # fmt: skip
        self.pass_states(self.states, False)

    def pass_states(self, where, reverse):
        from basicsr_ssm.ops.windowed_ssd.triton_steps import pass_states

        sizes = dict(CHUNK=_CHUNK, D=self.d, PADDED=self.padded, REVERSE=reverse)
        self.launch(pass_states, self.padded, self.scratch, where, **sizes)


def _forward(eps, projected, readout, *parameters):
    from basicsr_ssm.ops.windowed_ssd.triton_forward import finish

    D, gain = parameters[4:6]
    out = projected.new_empty(*projected.shape[:2], gain.shape[0])
    with torch.cuda.device_of(projected):
        s = _Stages(projected, readout, parameters, eps, False)
        s.begin()
        s.launch(
            finish, s.chunks, projected, out, s.scratch, s.pe, D, gain, s.shift, projected.stride(0),
            ROW=s.row, EPS=eps, **s.heads_shape, **s.window, **s.precise,
        )  # fmt: skip
    return out


def _backward(eps, grad, projected, readout, *parameters):
    """Gradients of projected, readout and the parameters."""
    from basicsr_ssm.ops.windowed_ssd.triton_backward import conv_gradient, gate_gradient, scan_gradient

    conv_weight, conv_bias, dt_bias, A_log, D, gain = parameters[:6]
    to_projected = projected.new_empty(projected.shape)
    to_readout = None if readout is None else readout.new_empty(readout.shape)
    by_token = (dt_bias, A_log, D, gain) if readout is not None else (dt_bias, A_log, D, gain, parameters[6])
    by_channel = (conv_weight, conv_bias, *(parameters[6:] if readout is not None else ()))
    with torch.cuda.device_of(projected):
        s = _Stages(projected, readout, parameters, eps, True)
        token_shares, channel_shares = (
            projected.new_empty(rows, sum(_sizes(group)), dtype=torch.float32)
            for rows, group in ((s.batch * s.chunks, by_token), (s.batch, by_channel))
        )
        rows = dict(ROW=s.row, SUMS=projected.shape[2])
        s.begin()
        s.launch(
            gate_gradient, s.chunks, projected, grad.contiguous(), to_projected, s.scratch, token_shares, s.pe, D, gain,
            projected.stride(0),
            EPS=eps, SHARES=token_shares.shape[1], **rows, **s.heads_shape, **s.window, **s.precise,
        )  # fmt: skip
        s.pass_states(s.states + s.states_size, True)
        s.launch(
            scan_gradient, s.chunks, projected, to_projected, s.scratch, token_shares, dt_bias, A_log, D,
            projected.stride(0), SHARES=token_shares.shape[1], **rows, **s.heads_shape, **s.precise,
        )  # fmt: skip
        s.launch(
            conv_gradient, s.heads + 2, projected, readout, to_projected, to_readout, s.scratch, channel_shares,
            conv_weight, conv_bias, s.readout_weight, s.readout_bias, s.pe, projected.stride(0), s.readout_batch,
            READOUT_ROW=s.readout_row, D=s.d, CROSS=s.cross, SHARES=channel_shares.shape[1], **rows, **s.window,
        )  # fmt: skip
    by_token, by_channel = (
        [share.view(v.shape).to(v.dtype) for share, v in zip(shares.sum(0).split(_sizes(group)), group, strict=True)]
        for shares, group in ((token_shares, by_token), (channel_shares, by_channel))
    )
    return to_projected, to_readout, *by_channel[:2], *by_token, *by_channel[2:]


def _sizes(tensors):
    return [v.numel() for v in tensors]
