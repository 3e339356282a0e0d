"""The Triton backend of the depthwise convolutions: in Triton's interpreter without a GPU, and on one if there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib

import pytest
import torch
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import depthwise_conv2d, depthwise_conv3d
from basicsr_ssm.ops.depthwise_conv import channels_last_serves
from basicsr_ssm.ops.dispatch import BackendError

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.depthwise_conv.triton')


def inputs(shape, size=(3, 3, 3), bias=True, dtype=torch.float32, device='cpu'):
    """x as the second half of twice the channels, and parameters in float32."""
    g = torch.Generator().manual_seed(0)
    *places, c = shape
    wide = torch.randn(*places, 2 * c, generator=g).to(device, dtype)
    parameters = [torch.randn(*s, generator=g).to(device) for s in ((c, 1, *size), (c,))[: 1 + bias]]
    return [v.requires_grad_() for v in (wide[..., c:], *parameters)]


def compare(tensors, tolerance=1e-6, call=None):
    """Output and gradients relative to those of float64; `tolerance` for what comes back in the dtype of x."""
    reference = depthwise_conv3d if tensors[0].dim() == 5 else depthwise_conv2d
    call = call or (TRITON.conv3d if tensors[0].dim() == 5 else TRITON.conv2d)
    y = call(*tensors, *[None] * (3 - len(tensors)))
    assert y.is_contiguous()
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device, y.dtype)
    exact = [v.detach().double().requires_grad_() for v in tensors]
    truth = reference(*exact, backend='reference')
    ours = (y, *torch.autograd.grad(y, tensors, g))
    theirs = (truth, *torch.autograd.grad(truth, exact, g.double()))
    for name, got, wanted, like in zip(('y', 'x', 'weight', 'bias'), ours, theirs, (y, *tensors), strict=False):
        assert got.dtype == like.dtype and got.shape == like.shape
        error = (got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30)
        assert error <= (2e-6 if like.dtype == torch.float32 else tolerance), f'{name}: {error:.1e}'


def test_in_the_interpreter():
    run_interpreted(__file__, '-k', 'interpreter_')


@pytest.fixture
def short_strips(monkeypatch):
    """Strips that end within small frames."""
    module = importlib.import_module('basicsr_ssm.ops.depthwise_conv.torch_op')
    monkeypatch.setattr(module, '_STRIPS', (2,))
    return module


CLIPS = [
    dict(shape=(1, 2, 3, 3, 6)),
    dict(shape=(2, 1, 1, 1, 1)),
    dict(shape=(1, 3, 2, 1, 3), bias=False),
    dict(shape=(1, 5, 1, 2, 2), size=(3, 1, 3)),  # one frame at a time
    dict(shape=(1, 7, 1, 2, 2), size=(3, 1, 1)),  # two frames at a time, the last alone
    dict(shape=(1, 2, 17, 1, 2), size=(1, 1, 3)),  # several groups of rows
    dict(shape=(1, 2, 2, 2, 4), size=(5, 1, 3)),
    dict(shape=(1, 1, 2, 2, 60)),
]
IMAGES = [
    dict(shape=(1, 3, 3, 4), size=(7, 7)),
    dict(shape=(2, 1, 1, 3), size=(7, 7)),
    dict(shape=(1, 2, 3, 120), size=(3, 3), bias=False),  # several blocks of channels
    dict(shape=(1, 3, 2, 2), size=(5, 11)),  # more taps than a lane has room for twice
]


@interpreted
@pytest.mark.parametrize('sizes', CLIPS + IMAGES, ids=str)
def test_interpreter_equals_float64(sizes, short_strips):
    compare(inputs(**sizes))


@interpreted
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str)
def test_interpreter_low_precision(dtype, tolerance):
    tensors = inputs((1, 2, 3, 4, 6), (1, 1, 3), dtype=dtype)
    compare(tensors, tolerance)
    compare([v.detach().to(dtype).requires_grad_() for v in tensors], tolerance)


@interpreted
def test_interpreter_under_autocast():
    x, weight, bias = inputs((1, 1, 2, 3, 2), (1, 1, 3))
    with torch.autocast('cpu', torch.bfloat16):
        for v in (x, x.bfloat16()):
            y = TRITON.conv3d(v, weight, bias)
            assert y.dtype == torch.bfloat16
            torch.testing.assert_close(y, TRITON.conv3d(x.bfloat16(), weight, bias))
        assert TRITON.conv3d(x.half(), weight, bias).dtype == torch.float16
        torch.autograd.grad(y.sum(), (x, weight, bias))


@interpreted
def test_interpreter_takes_any_layout():
    x, weight, bias = inputs((1, 2, 3, 4), (1, 3))
    leaf = [weight.detach().mT.contiguous().mT.requires_grad_(), torch.stack([bias, bias], 1)[:, 0].detach()]
    leaf[1].requires_grad_()
    channels_last = x.detach().permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    turned = x.detach().mT.contiguous().mT
    expanded = x.detach()[:, :1].expand(-1, 3, -1, -1)
    odd = torch.randn(1, 2, 3, 5)[..., :4]
    for v in (channels_last.permute(0, 2, 3, 1), turned, expanded, odd, x.detach().transpose(1, 2)):
        compare([v.requires_grad_(), *leaf])


@interpreted
def test_interpreter_copies_no_views(short_strips, monkeypatch):
    x, weight, bias = inputs((1, 2, 2, 3, 4))
    seen = []
    original = short_strips._channels_last
    monkeypatch.setattr(short_strips, '_channels_last', lambda v: seen.append(v) or original(v))
    y = TRITON.conv3d(x, weight, bias)
    torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    assert len(seen) == 4
    assert all(original(v) is v for v in seen)


@interpreted
def test_interpreter_is_an_operator_of_pytorch(short_strips):
    x, weight, bias = inputs((1, 1, 1, 2, 2), (1, 1, 3))
    torch.library.opcheck(short_strips.convolve, (x, weight, bias, False))
    torch.library.opcheck(short_strips.convolve, (x.detach(), weight.detach(), None, True))
    torch.library.opcheck(short_strips.filter_slopes, (torch.ones_like(x).detach(), x.detach(), [1, 1, 3]))


@interpreted
def test_interpreter_turned_filters_have_gradients(short_strips):
    x, weight = inputs((1, 2, 2, 3, 2), (3, 1, 3), bias=False)
    compare([x, weight], call=lambda x, w, b: short_strips.convolve(x, w.flip(2, 3, 4), b, True))


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_what_it_does_not_serve(device):
    x, weight, bias = inputs((1, 2, 3, 4), (13, 1), device=device)
    with pytest.raises(BackendError, match='13×1 taps|CUDA'):
        depthwise_conv2d(x, weight, bias, backend='triton')
    assert not channels_last_serves(x, weight, bias)
    with pytest.raises(BackendError, match='float64|CUDA'):
        depthwise_conv2d(x.double(), weight[:, :, :1], bias, backend='triton')


GPU_CLIPS = [
    dict(shape=(1, 6, 180, 320, 120)),
    dict(shape=(2, 3, 64, 64, 120)),
    dict(shape=(1, 5, 37, 53, 60), bias=False),
    dict(shape=(2, 2, 30, 40, 60)),
    dict(shape=(1, 2, 31, 33, 240)),
    dict(shape=(3, 4, 9, 11, 33), size=(5, 3, 3)),
    *CLIPS,
]
GPU_IMAGES = [
    dict(shape=(1, 144, 180, 64), size=(7, 7)),
    dict(shape=(1, 512, 512, 64), size=(7, 7)),
    dict(shape=(2, 65, 67, 96), size=(9, 9)),
    dict(shape=(2, 65, 67, 64), size=(3, 3)),
    dict(shape=(1, 30, 31, 32), size=(11, 11)),
    *IMAGES,
]


@pytest.mark.gpu
@pytest.mark.parametrize('sizes', GPU_CLIPS + GPU_IMAGES, ids=str)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 2e-6), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)])
def test_gpu_equals_float64(sizes, dtype, tolerance, request):
    call = depthwise_conv3d if len(sizes['shape']) == 5 else depthwise_conv2d
    compare(inputs(**sizes, dtype=dtype, device='cuda'), tolerance, lambda *v: call(*v, backend='triton'))


@pytest.mark.gpu
def test_gpu_is_the_first_choice():
    x, weight, bias = inputs((1, 8, 8, 64), (7, 7), device='cuda')
    assert channels_last_serves(x, weight, bias)
    x, weight, bias = inputs((1, 2, 8, 8, 60), device='cuda')
    assert torch.equal(depthwise_conv3d(x, weight, bias), depthwise_conv3d(x, weight, bias, 'triton'))


@pytest.mark.gpu
def test_gpu_gradients_are_the_same_each_time():
    tensors = inputs((2, 4, 100, 120, 120), device='cuda')
    y = depthwise_conv3d(*tensors, backend='triton')
    first, second = (torch.autograd.grad(y, tensors, torch.ones_like(y), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.gpu
def test_gpu_compiles():
    tensors = inputs((1, 2, 20, 24, 64), device='cuda')

    def twice(*v):
        return 2 * depthwise_conv3d(*v, backend='triton')

    got, wanted = torch.compile(twice, fullgraph=True)(*tensors), twice(*tensors)
    torch.testing.assert_close(got, wanted)
    grads = (torch.autograd.grad(v.square().sum(), tensors) for v in (got, wanted))
    torch.testing.assert_close(*grads)


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [(1, 10, 1080, 1920, 120), (19, 1, 1080, 1920, 60)], ids=str)
def test_gpu_more_than_31_bits_of_numbers(shape):
    if torch.cuda.get_device_properties(0).total_memory < 60e9:
        pytest.skip('60 GB of GPU memory needed')
    x = torch.randn(shape, device='cuda', dtype=torch.bfloat16).requires_grad_()
    assert x.numel() > 2**31
    _, weight, bias = inputs((1, 1, 1, 1, shape[-1]), device='cuda')
    y = depthwise_conv3d(x, weight, bias, backend='triton')
    n, t = shape[0] - 1, shape[1] - 1  # the end, which lies beyond
    corner = x.detach()[n:, max(0, t - 2) :, 900:, 1700:].float()
    exact = depthwise_conv3d(corner, weight, bias, backend='triton')
    torch.testing.assert_close(y[n:, t:, 901:, 1701:].float(), exact[:, -1:, 1:, 1:], rtol=1e-2, atol=1e-2)
    dy = torch.zeros_like(y)
    dy[n, t, 1000:, 1800:] = 1
    dx, dweight, dbias = torch.autograd.grad(y, (x, weight, bias), dy)
    assert dbias.eq(80 * 120).all()
    past = x.detach()[n, t, 1000:, 1800:].double().sum((0, 1))  # of the middle tap
    torch.testing.assert_close(dweight[:, 0, 1, 1, 1].double(), past, rtol=1e-3, atol=0.1)
    torch.testing.assert_close(dx[n, t, 1050, 1850], weight[:, 0, 1].sum((1, 2)).bfloat16(), rtol=1e-2, atol=5e-2)
    assert dx[0, 0, :900].eq(0).all()


@pytest.mark.gpu
def test_gpu_steps_of_32_bits():
    if torch.cuda.get_device_properties(0).total_memory < 20e9:
        pytest.skip('20 GB of GPU memory needed')
    storage = torch.zeros(2**32 + 2**16, device='cuda', dtype=torch.bfloat16)
    x = storage.as_strided((2, 2, 3, 4, 60), (2**32 - 16, 720, 240, 60, 1))
    x.copy_(torch.randn(x.shape))
    _, weight, bias = inputs((1, 1, 1, 1, 60), device='cuda')
    got, wanted = (depthwise_conv3d(v, weight, bias, backend='triton') for v in (x, x.contiguous()))
    assert torch.equal(got, wanted)
