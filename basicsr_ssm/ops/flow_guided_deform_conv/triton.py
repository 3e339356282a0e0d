"""The flow-guided deformable convolution in Triton: offsets, samples and matrix products in one launch each way.

Operators of PyTorch, which torch.compile and torch.export see through. No sample is ever in memory. Beside its inputs
and results a call needs the feature in planes (see `triton_steps`), and backward also the slopes of these in float32
and partial sums of those of flow and weight.
"""

from __future__ import annotations

from basicsr_ssm.ops import triton_support

_MOST_OUT, _MOST_SIZE = 64, 16  # what the registers hold


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    feature, raw, _, weight = args[:4]
    size = weight.shape[1] // (raw.shape[1] // (3 * weight.shape[2] ** 2))
    if size & (size - 1) or size > _MOST_SIZE or feature.shape[1] % size:
        return f"{size} channels a group: a power of two up to {_MOST_SIZE} and a divisor of the feature's needed"
    if weight.shape[0] > _MOST_OUT:
        return f'{weight.shape[0]} channels out, {_MOST_OUT} at most'
    if any(v.numel() == 0 for v in args[:4]):
        return 'an empty tensor'
    if feature.shape[2] * feature.shape[3] * size >= 2**31:
        return 'an image too large for 32-bit offsets'
    return None


def call(feature, raw, flow, weight, bias, max_residue):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.flow_guided_deform_conv.torch_op import forward

    return forward(feature, raw, flow, weight, bias, max_residue)
