"""torch.compile and torch.export take every operator of the reference path whole, with gradients."""

import dataclasses

import pytest
import torch

from basicsr_ssm import ops
from basicsr_ssm.ops import dispatch, triton_support

pytestmark = pytest.mark.skipif(not hasattr(torch.library, 'custom_op'), reason='no operators of ours in this PyTorch')


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()  # cases share functions, and one is compiled a few times only


def normal(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def scan(direction):
    u, delta, B, C, z, D, A = normal((1, 9, 3), (1, 9, 3), (1, 9, 2), (1, 9, 2), (1, 9, 3), (3,), (3, 2))
    if direction == 'both':
        A, D = torch.stack([A, A]), torch.stack([D, D])

    def call(u, delta, A, B, C, D, z):
        return ops.selective_scan(u, delta, -A.abs(), B, C, D, z, delta_softplus=True, direction=direction)

    return call, [u, delta, A, B, C, D, z]


def window_scan():
    frame, positions, encoding, C, A, D = normal((1, 4, 5, 8), (1, 2, 3, 4, 2), (4, 8), (1, 2, 3, 2), (3, 2), (3,))

    def call(frame, positions, encoding, C, A, D):
        return ops.window_cross_scan(frame, positions, encoding, C, -A.exp(), D)

    return call, [frame, positions * 3 + 0.3, encoding, C, A, D]


def inner_window():
    shapes = (2, 16, 65), (48, 3), (48,), (1,), (1,), (1,), (32,), (32,)
    return ops.inner_window_ssd, normal(*shapes)


def cross_window():
    shapes = (2, 16, 49), (2, 16, 16), (32, 3), (32,), (16, 3), (16,), (16, 3, 3), (1,), (1,), (1,), (16,)
    return ops.cross_window_ssd, normal(*shapes)


def conv1d():
    return lambda x, w, b: ops.causal_conv1d(x, w, b, activation='silu'), normal((2, 7, 5), (5, 3), (5,))


def depthwise():
    return ops.depthwise_conv3d, normal((1, 2, 3, 4, 5), (5, 1, 3, 3, 3), (5,))


def depthwise2d():
    return ops.depthwise_conv2d, normal((2, 3, 4, 5), (5, 1, 7, 7), (5,))


def conv2d():
    def call(x, y, weight, bias, residual):
        return ops.conv2d([x, y], weight, bias, 'leaky_relu', residual=residual, shuffle=2)

    return call, normal((2, 3, 4, 5), (2, 2, 4, 5), (8, 5, 3, 3), (8,), (2, 2, 8, 10))


def warp():
    return ops.flow_warp, normal((1, 3, 5, 6), (1, 2, 5, 6))


def deform():
    feature, raw, flow, weight, bias = normal((1, 4, 5, 6), (1, 54, 5, 6), (1, 2, 5, 6), (3, 4, 3, 3), (3,))
    return lambda *v: ops.flow_guided_deform_conv(*v, 5.0), [feature, raw, flow, weight, bias]


def norm():
    return ops.layer_norm, normal((2, 3, 5), (5,), (5,))


def norm_of_windows():
    return lambda x, w, b: ops.window_norm(x, 4, w, b), normal((1, 16, 5, 6), (16,), (16,))


def mlp():
    shapes = (1, 16, 5, 6), (4, 16, 16), (16, 16), (16,), (16,), (32, 16), (32,), (16, 32), (16,)
    return lambda *v: ops.residual_mlp(*v, window=4), normal(*shapes)


CASES = {
    **{f'scan {d}': (lambda d=d: scan(d)) for d in ('forward', 'reverse', 'both')},
    'window scan': window_scan,
    'inner window': inner_window,
    'cross window': cross_window,
    'conv1d': conv1d,
    'depthwise': depthwise,
    'depthwise 2d': depthwise2d,
    'conv2d': conv2d,
    'deform': deform,
    'norm': norm,
    'norm of windows': norm_of_windows,
    'mlp': mlp,
    'warp': warp,
}


@pytest.mark.parametrize('case', CASES)
def test_compiled_whole(case):
    call, tensors = CASES[case]()
    tensors = [v.requires_grad_() for v in tensors]
    expected = call(*tensors)
    got = torch.compile(call, backend='aot_eager', fullgraph=True)(*tensors)
    torch.testing.assert_close(got, expected)
    weight = torch.randn_like(expected)
    grads = (torch.autograd.grad(v, tensors, weight) for v in (got, expected))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('recorded', [False, True])
@pytest.mark.parametrize('case', CASES)
def test_whether_triton_serves_a_call_is_asked_in_a_way_that_is_followed(case, recorded, monkeypatch):
    """As on a GPU, where all conditions are asked, and not that for a GPU alone; in the end it serves nothing."""
    monkeypatch.setattr(triton_support, 'why_not', lambda *args: None)
    for operator in dispatch.operators():
        if (triton := operator.backends.get('triton')) is not None:
            after = dataclasses.replace(triton, why_not=lambda *a, ask=triton.why_not, **k: ask(*a, **k) or 'on a CPU')
            monkeypatch.setitem(operator.backends, 'triton', after)
    call, tensors = CASES[case]()
    tensors = [v.requires_grad_(recorded) for v in tensors]
    torch.testing.assert_close(torch.compile(call, backend='eager', fullgraph=True)(*tensors), call(*tensors))


@pytest.mark.parametrize('case', CASES)
def test_exported(case):
    call, tensors = CASES[case]()

    class Module(torch.nn.Module):
        def forward(self, *tensors):
            return call(*tensors)

    exported = torch.export.export(Module(), tuple(tensors))
    torch.testing.assert_close(exported.module()(*tensors), call(*tensors))
