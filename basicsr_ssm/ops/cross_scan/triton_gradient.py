"""The gradients of the windowed cross scan in Triton, and how they become deterministic."""

from __future__ import annotations

import torch

from basicsr_ssm.ops.cross_scan.triton_backward import point_weights_gradient, scan_gradient
from basicsr_ssm.ops.triton_support import multiprocessors

# Pixels of a program of point_weights_gradient. A program is one warp here, which waits for no other.
_TOGETHER = 8
# Warps of the scan's gradient that a multiprocessor has at a time, and how often it shall be filled.
_WARPS, _WAVES = 8, 2
_PIXELS = 8, 64  # fewest and most of a program


def gradients(call, dy):
    """Gradients of frame, positions, encoding, C, A and D, in float32.

    Samples overlap, so their gradients are added to the frame's by atomic additions, in any order. Where deterministic
    algorithms are asked for, these are of integers: the largest number is found first, and all are scaled so that their
    sum stays below 2^62. The numbers keep at least 40 bits below the largest one.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return _gradients(call, dy)
    scale = _exact_scale(call, _gradients(call, dy, measure=True))
    return _gradients(call, dy, scale=scale)


def _pixels_of_a_program(pixels, device):
    """So many that all programs together fill the device a whole number of times."""
    if device.type != 'cuda':
        return min(_PIXELS[0], pixels)
    warps = _WARPS * multiprocessors(device)
    return min(max(-(-pixels // (warps * _WAVES)), _PIXELS[0]), _PIXELS[1])


def _exact_scale(call, largest):
    terms = call.rows * call.columns * call.points
    _, exponent = torch.frexp(largest)
    exponent = (62 - terms.bit_length() - exponent).clamp(-126, 126)
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    return torch.where(largest.isfinite(), scale, torch.nan)


def _gradients(call, dy, measure=False, scale=None):
    device, dy = call.frame.device, dy.contiguous()
    channels, states, points, n = call.channels, call.states, call.points, call.padded
    block = call.block
    blocks = -(-channels // block)
    pixels_at_once = call.rows_at_once * call.columns
    per_program = _pixels_of_a_program(pixels_at_once * blocks, device)
    grid = (-(-pixels_at_once // per_program), blocks)
    programs, point_programs = grid[0] * blocks, -(-pixels_at_once // _TOGETHER)

    def zeros(*shape, dtype=torch.float32):
        return torch.zeros(shape, dtype=dtype, device=device)

    fixed = scale is not None
    dframe = zeros(*((1,) if measure else call.frame.shape), dtype=torch.int64 if fixed else torch.float32)
    dpositions, dC = torch.empty_like(call.positions), torch.empty(*call.C.shape, dtype=torch.float32, device=device)
    parts = torch.empty(blocks, pixels_at_once, points, 2, device=device)
    dweights = torch.empty(blocks, pixels_at_once, points, n, device=device)
    sums, dA, dD = zeros(programs, points, 2, block), zeros(programs, n, block), zeros(programs, block)
    point_sums = zeros(point_programs, points, n)
    largest = zeros(programs), zeros(point_programs)
    weights = call.empty_weights()
    for first, end in call.parts():
        call.fill_weights(weights, first, end)
        pixels = (end - first) * call.columns
        scan_gradient[grid](
            call.frame, call.positions, call.encoding, weights, call.A, call.D, dy,
            dframe, parts, dweights, sums, dA, dD, scale, largest[0], first, pixels, *call.geometry,
            PIXELS=per_program, BLOCK=block, PAST=call.past,
            FIXED=fixed, MEASURE=measure, **call.constants, num_warps=1,
        )  # fmt: skip
        point_weights_gradient[(-(-pixels // _TOGETHER),)](
            call.frame, call.positions, call.encoding, call.C, dweights, parts,
            dframe, dpositions, point_sums, dC, scale, largest[1],
            first, pixels, *call.geometry, *call.C.stride()[:3],
            PIXELS=_TOGETHER, BLOCKS=blocks, FIXED=fixed, MEASURE=measure, **call.constants, num_warps=1,
        )  # fmt: skip
    if measure:
        return torch.cat(largest).max()
    if fixed:
        dframe = (dframe.double() / scale).float()

    def channel_sums(sums):
        """(programs, …, block), programs in the order of their blocks → (…, channels)."""
        sums = sums.unflatten(0, (blocks, -1)).sum(1)
        return sums.movedim(0, -2).flatten(-2)[..., :channels]

    dencoding = [channel_sums(sums).flatten(1), point_sums.sum(0)[:, :states]]
    return dframe, dpositions, torch.cat(dencoding, 1), dC, channel_sums(dA)[:states].mT, channel_sums(dD)
