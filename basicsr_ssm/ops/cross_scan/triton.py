"""The windowed cross scan in Triton, fused with the sampling of its points.

Beside the inputs and results, only C·B of the points (pixels · k · s) is in memory, of a part of the pixels at a time.
"""

from __future__ import annotations

import os

import torch

from basicsr_ssm.ops import triton_support

_MOST_STATES = 32
_MOST_POINTS = 16  # two gradients of each have to fit in a block of channels
# Pixels whose C·B is in memory at once.
_PIXELS_AT_ONCE = 1 << 16
# Rows and channels of a program of the scan, which is one warp: with fewer channels more warps fit a multiprocessor.
_ROWS, _MOST_CHANNELS = 2, 128


def why_not(*args) -> str | None:
    if (reason := triton_support.why_not_at_all()) is not None:
        return reason
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    if not args:
        return None if interpreted or torch.cuda.is_available() else 'no CUDA device'
    frame, positions, _, _, A, _ = args
    devices = {v.device for v in args}
    if not interpreted and any(d.type != 'cuda' for d in devices):
        return f'tensors on {frame.device}, CUDA needed'
    if len(devices) > 1:
        return f'tensors on several devices: {", ".join(sorted(map(str, devices)))}'
    wrong = next((v.dtype for v in args if v.dtype not in triton_support.DTYPES), None)
    if wrong is not None:
        return f'{str(wrong).removeprefix("torch.")}: float32, bfloat16 and float16 only'
    if A.shape[-1] > _MOST_STATES:
        return f'{A.shape[-1]} states, {_MOST_STATES} at most'
    if positions.shape[3] > _MOST_POINTS:
        return f'{positions.shape[3]} points, {_MOST_POINTS} at most'
    if any(v.numel() == 0 for v in args):
        return 'an empty tensor'
    return None


def _block(channels: int) -> int:
    """Channels of a program: as few idle lanes as possible, then as many channels a lane as possible."""
    return min((128, 64, 32), key=lambda block: -(-channels // block) * block)


class Call:
    """Tensors as the kernels want them, and what all kernels are told."""

    def __init__(self, frame, positions, encoding, C, A, D):
        self.frame, self.C = (v if v.stride(-1) == 1 else v.contiguous() for v in (frame, C))
        self.positions, self.encoding, self.D = (v.float().contiguous() for v in (positions, encoding, D))
        self.A = A.float().mT.contiguous()  # channels side by side
        self.images, self.image_rows, self.columns, self.points = positions.shape[:4]
        self.channels, self.states = A.shape
        self.padded = 1 << (self.states - 1).bit_length()
        self.rows = self.images * self.image_rows
        self.block = _block(self.channels)
        self.past = -self.channels % self.block <= self.states
        parts = -(-self.rows * self.columns // _PIXELS_AT_ONCE)
        self.rows_at_once = -(-self.rows // parts)
        _, height, width, _ = frame.shape
        strides = self.frame.stride()
        self.geometry = (self.image_rows, self.columns, height, width, *strides[:2])
        self.constants = dict(
            POINTS=self.points, CHANNELS=self.channels, STATES=self.states, N=self.padded, STEP=strides[2],
            WIDE=height * strides[1] + width * strides[2] >= 2**31,
        )  # fmt: skip

    def parts(self):
        """(first, end) of the rows that are worked on at a time."""
        for first in range(0, self.rows, self.rows_at_once):
            yield first, min(first + self.rows_at_once, self.rows)

    def empty_weights(self):
        pixels = self.rows_at_once * self.columns
        return torch.empty(pixels, self.points, self.padded, dtype=torch.float32, device=self.frame.device)

    def fill_weights(self, weights, first, end):
        from basicsr_ssm.ops.cross_scan.triton_forward import point_weights

        pixels, together = (end - first) * self.columns, 32
        point_weights[(-(-pixels // together),)](
            self.frame, self.positions, self.encoding, self.C, weights,
            first, pixels, *self.geometry, *self.C.stride()[:3],
            PIXELS=together, **self.constants, num_warps=4,
        )  # fmt: skip


def forward(call: Call):
    from basicsr_ssm.ops.cross_scan.triton_forward import scan

    shape = (call.images, call.image_rows, call.columns, call.channels)
    y = torch.empty(shape, dtype=call.frame.dtype, device=call.frame.device)
    weights, block = call.empty_weights(), min(call.block, _MOST_CHANNELS)
    for first, end in call.parts():
        call.fill_weights(weights, first, end)
        rows = min(_ROWS, end - first)
        grid = (call.columns, -(-(end - first) // rows), -(-call.channels // block))
        scan[grid](
            call.frame, call.positions, call.encoding, weights, call.A, call.D, y,
            first, end, *call.geometry,
            BLOCK=block, ROWS=rows, PAST=call.past, **call.constants, num_warps=1,
        )  # fmt: skip
    return y
