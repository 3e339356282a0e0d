"""The causal convolution in Triton, with its bias and its activation: one launch forward, one backward.

Operators of PyTorch, which torch.compile and torch.export see through. Sums are in float32; the gradients of the
parameters are partial sums over runs of tokens, added in a fixed order.
"""

from __future__ import annotations

from basicsr_ssm.ops import triton_support

_MOST_TAPS = 8


def why_not(*args) -> str | None:
    reason = triton_support.why_not(*args)
    if reason is not None or not args:
        return reason
    x, weight = args[:2]
    if weight.shape[1] > _MOST_TAPS:
        return f'{weight.shape[1]} taps, {_MOST_TAPS} at most'
    if x.numel() == 0 or weight.shape[1] == 0:
        return 'an empty tensor'
    if x.shape[0] > 65535:
        return f'{x.shape[0]} sequences, 65535 at most'
    return None


def call(x, weight, bias, activation):
    # registered where it is first used: older releases of PyTorch, which come with an older Triton, cannot
    from basicsr_ssm.ops.causal_conv1d.torch_op import forward

    return forward(x, weight, bias, activation == 'silu')
