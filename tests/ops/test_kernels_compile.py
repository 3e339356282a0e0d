"""Every kernel compiles for a GPU, which no interpreter can tell: forward and backward, on shapes of the networks."""

import os

import pytest
import torch
from machine_code import unwritten_registers
from offline_compiler import compile_launches

pytest.importorskip('triton', minversion='3.6')
pytestmark = pytest.mark.skipif(os.environ.get('TRITON_INTERPRET') == '1', reason='of compiled Triton')


@pytest.fixture
def compiled(monkeypatch):
    return compile_launches(monkeypatch)


def tensors(dtype, *shapes):
    """Activations (three dimensions or more) in dtype, parameters in float32, as under autocast."""
    return [torch.zeros(v, dtype=dtype if len(v) > 2 else torch.float32, requires_grad=True) for v in shapes]


def selective_scan(dtype):
    from basicsr_ssm.ops.selective_scan.torch_op import scan

    tokens, states = (1, 3000, 240), (1, 3000, 16)
    u, delta, B, C, z, D, bias, A = tensors(dtype, tokens, tokens, states, states, tokens, (2, 240), (240,), (480, 16))
    scan(u, delta, A.view(2, 240, 16), B, C, D, z, bias, True, 'both', 'triton').sum().backward()


def window_cross_scan(dtype):
    from basicsr_ssm.ops.cross_scan.torch_op import window_cross_scan as call

    positions = torch.zeros(1, 16, 16, 9, 2, requires_grad=True)
    frame, encoding, C, A, D = tensors(dtype, (1, 16, 16, 256), (9, 256), (1, 16, 16, 16), (120, 16), (120,))
    call(frame, positions, encoding, C, A, D).sum().backward()


def cross_window_ssd(dtype):  # of one window, for which several chunks are worked on at a time; `inner` has more
    from basicsr_ssm.ops.windowed_ssd.triton import cross

    projected, readout, *others = tensors(
        dtype, (1, 256, 148), (1, 256, 16), (80, 3), (80,), (16, 3), (16,), (144,), (4,), (4,), (4,), (64,)
    )
    others[4] = others[4].view(16, 3, 3)
    cross(projected, readout, *others, 1e-5).sum().backward()


def inner_window_ssd(dtype):
    from basicsr_ssm.ops.windowed_ssd.triton import inner

    args = tensors(dtype, (2, 256, 98), (64, 3), (64,), (2,), (2,), (2,), (64,), (64,))
    inner(*args, 1e-5).sum().backward()


def causal_conv1d(dtype):
    from basicsr_ssm.ops.causal_conv1d.triton import call

    x, weight, bias = tensors(dtype, (1, 3000, 480), (240, 4), (240,))
    call(x[..., :240], weight, bias, 'silu').sum().backward()


def depthwise_conv(dtype):
    from basicsr_ssm.ops.depthwise_conv.triton import conv2d, conv3d

    x, weight, bias = tensors(dtype, (1, 3, 18, 32, 120), (60 * 27,), (60,))
    conv3d(x[..., :60], weight.view(60, 1, 3, 3, 3), bias).sum().backward()
    x, weight, bias = tensors(dtype, (1, 36, 45, 64), (64 * 49,), (64,))
    conv2d(x, weight.view(64, 1, 7, 7), bias).sum().backward()


def conv2d(dtype):
    from basicsr_ssm.ops.conv2d.torch_op import convolve as call

    def maps(channels, *size):
        return torch.zeros(1, channels, *size, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def weight(out, channels, side):
        return torch.zeros(out, channels, side, side, dtype=dtype)

    feature, bias, flow = maps(64, 36, 45), torch.zeros(64), torch.zeros(1, 2, 36, 45)
    call([feature], weight(64, 64, 3), bias, 1.0, feature, 1)
    call([feature] * 3 + [flow] * 2, weight(64, 196, 3), bias, 0.1, None, 1)
    call([feature], weight(64, 64, 1), bias, 0.0, None, 1)
    call([feature], weight(256, 64, 3), torch.zeros(256), 0.1, None, 2)
    call([maps(120, 18, 32)], weight(3, 120, 3), torch.zeros(3), 1.0, torch.zeros(1, 3, 18, 32), 1)
    frame = torch.zeros(1, 3, 36, 45)
    call([frame, frame, flow], weight(32, 8, 7), torch.zeros(32), 0.0, None, 1)
    call([maps(32, 36, 45)], weight(64, 32, 7), bias, 0.0, None, 1)
    call([maps(16, 36, 45)], weight(2, 16, 7), torch.zeros(2), 1.0, flow, 1)


def flow_guided_deform_conv(dtype):
    from basicsr_ssm.ops.flow_guided_deform_conv.triton import call

    flow = torch.zeros(1, 2, 36, 45, requires_grad=True)
    feature, raw, weight, bias = tensors(dtype, (1, 64, 36, 45), (1, 432, 36, 45), (64 * 128 * 9,), (64,))
    call(feature, raw, flow, weight.view(64, 128, 3, 3), bias, 10.0).sum().backward()


def layer_norm(dtype):
    from basicsr_ssm.ops.layer_norm.torch_op import layer_norm as call

    call(*tensors(dtype, (2, 500, 120), (120,), (120,)), 1e-5).sum().backward()


def residual_mlp(dtype):
    from basicsr_ssm.ops.residual_mlp.torch_op import residual_mlp as call

    for hidden in (128, 256):
        x, mixed = tensors(dtype, (108, 256, 64), (108, 256, 64))
        weights = [torch.zeros(v, dtype=dtype) for v in ((64, 64), (hidden, 64), (64, hidden))]
        feature = torch.zeros(1, 36, 45, 64, dtype=dtype).permute(0, 3, 1, 2)
        with torch.no_grad():
            parameters = *weights, *tensors(dtype, (64,), (64,), (hidden,), (64,)), 1e-5
            call(x, mixed, *parameters, 0)
            call(feature, mixed[:9], *parameters, 16)


def window_norm(dtype):
    from basicsr_ssm.ops.window_norm.torch_op import window_norm as call

    for channels in (60, 64):
        feature = torch.zeros(1, 36, 45, channels, dtype=dtype).permute(0, 3, 1, 2)
        call(feature, 16, torch.zeros(channels), torch.zeros(channels), 1e-5)


def flow_warp(dtype):
    from basicsr_ssm.ops.flow_warp.torch_op import flow_warp as call

    flow = torch.zeros(1, 2, 36, 45, requires_grad=True)
    for channels in (2, 64):
        (x,) = tensors(dtype, (1, channels, 36, 45))
        call(x.contiguous(memory_format=torch.channels_last), flow, channels == 2).sum().backward()


CALLS = (
    selective_scan, window_cross_scan, cross_window_ssd, inner_window_ssd, causal_conv1d, depthwise_conv,
    conv2d, flow_guided_deform_conv, flow_warp, layer_norm, residual_mlp, window_norm,
)  # fmt: skip


def check(compiled):
    assert len(compiled) >= 2
    for name, code in compiled:
        assert code and not unwritten_registers(code), name


@pytest.mark.parametrize('call', CALLS, ids=lambda v: v.__name__)
def test_compiles(call, compiled):
    call(torch.float32)
    check(compiled)


@pytest.mark.parametrize(
    'call',
    [causal_conv1d, conv2d, flow_guided_deform_conv, flow_warp, layer_norm, residual_mlp, window_norm],
    ids=lambda v: v.__name__,
)
def test_compiles_for_bfloat16(call, compiled):
    """Of those that do something else then, or compile in no time."""
    call(torch.bfloat16)
    check(compiled)
