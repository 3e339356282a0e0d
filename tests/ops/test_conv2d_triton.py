"""The Triton backend of the convolution: in Triton's interpreter without a GPU, and on one if there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib

import pytest
import torch
from triton_interpreter import interpreted, run_interpreted

from basicsr_ssm.ops import conv2d
from basicsr_ssm.ops.dispatch import BackendError

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.conv2d.triton')
LAST = torch.channels_last


def call(inputs, weight, bias=None, activation=None, slope=0.1, residual=None, shuffle=1):
    return TRITON.call(inputs, weight, bias, activation, slope, residual, shuffle)


def arguments(shape, channels, out, side=3, bias=True, residual=False, shuffle=1, dtype=torch.float32, device='cpu'):
    """Inputs with the channels last and those of few in planes, all but the first as parts of larger ones."""
    g = torch.Generator().manual_seed(0)
    n, h, w = shape

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    inputs = []
    for i, c in enumerate(channels):
        layout = LAST if c >= 4 else torch.contiguous_format
        wide = normal(n, c + (16 if i else 0), h, w).to(device, dtype if c >= 4 else torch.float32)
        inputs.append(wide.contiguous(memory_format=layout)[:, -c:])
    weight = normal(out, sum(channels), side, side).to(device, dtype).contiguous(memory_format=LAST)
    result = n, out // shuffle**2, h * shuffle, w * shuffle
    return dict(
        inputs=inputs,
        weight=weight,
        bias=normal(out).to(device) if bias else None,
        residual=normal(*result).to(device, dtype).contiguous(memory_format=LAST) if residual else None,
        shuffle=shuffle,
    )


def compare(given, tolerance=1e-6, call=call, **options):
    """Relative to float64 with the inputs rounded to the dtype of the weight."""
    dtype, device = given['weight'].dtype, given['weight'].device.type
    with torch.no_grad(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
        found = call(**given, **options)
    exact = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    exact['inputs'] = [v.to(dtype).double() for v in given['inputs']]
    wanted = conv2d(**exact, **options, backend='reference')
    residual = given.get('residual')
    assert found.dtype == (dtype if residual is None else torch.promote_types(dtype, residual.dtype))
    assert found.shape == wanted.shape and found.is_contiguous(memory_format=LAST)
    error = ((found.double() - wanted).norm() / wanted.norm()).item()
    assert error <= tolerance, f'{error:.1e}'


def test_in_the_interpreter():
    run_interpreted(__file__, '-k', 'interpreter_')


SMALL = [
    dict(shape=(1, 5, 17), channels=[16], out=16),
    dict(shape=(2, 1, 1), channels=[3], out=5, bias=False),
    dict(shape=(2, 17, 1), channels=[20], out=3, residual=True),  # several rows of tiles
    dict(shape=(1, 3, 5), channels=[16, 16, 2, 2], out=16),
    dict(shape=(1, 2, 3), channels=[16, 16, 17, 16, 1], out=16, residual=True),  # two in a loop, then others
    dict(shape=(1, 2, 3), channels=[64, 70], out=16, side=1),
    dict(shape=(2, 3, 43), channels=[16], out=16, side=1, residual=True),  # all images in one line, several tiles
    dict(shape=(2, 3, 5), channels=[4, 36], out=150, side=1),  # blocks of outputs
    dict(shape=(1, 2, 2), channels=[2], out=4, side=5),
    dict(shape=(1, 2, 2), channels=[3], out=4, side=5),
    dict(shape=(1, 4, 3), channels=[16, 1], out=3, side=7),
    dict(shape=(1, 4, 3), channels=[16, 2], out=3, side=7),
    dict(shape=(2, 9, 5), channels=[3, 3, 2], out=32, side=7),  # too many taps for one step
    dict(shape=(1, 9, 18), channels=[16], out=2, side=7, residual=True),  # several tiles
    dict(shape=(1, 3, 4), channels=[16], out=12, shuffle=2, residual=True),
    dict(shape=(2, 2, 3), channels=[16], out=144, side=1, shuffle=3),
    dict(shape=(1, 2, 2), channels=[1] * 10, out=2),  # more inputs than the kernel takes
]


@interpreted
@pytest.mark.parametrize('sizes', SMALL, ids=str)
def test_interpreter_equals_float64(sizes):
    compare(arguments(**sizes))


@interpreted
@pytest.mark.parametrize('sizes', [SMALL[2], SMALL[6]], ids=str)
def test_interpreter_small_tiles(sizes, monkeypatch):
    """Of images that would leave a GPU idle."""
    module = importlib.import_module('basicsr_ssm.ops.conv2d.torch_op')
    monkeypatch.setattr(module, 'multiprocessors', lambda device: 132)
    compare(arguments(**sizes))


@interpreted
@pytest.mark.parametrize('activation, slope', [('relu', 0.1), ('leaky_relu', 0.1), ('leaky_relu', -0.5)])
@pytest.mark.parametrize('residual', [False, True])
def test_interpreter_activations(activation, slope, residual):
    compare(arguments((1, 3, 5), [16, 2], 8, residual=residual), activation=activation, slope=slope)


@interpreted
def test_interpreter_activations_of_what_is_not_finite():
    values = torch.tensor([float('inf'), float('-inf'), float('nan'), -1.0])
    x, weight = values.view(1, 1, 1, 4), torch.ones(1, 1, 1, 1)
    for activation in (None, 'relu', 'leaky_relu'):
        found = call([x], weight, activation=activation)
        torch.testing.assert_close(found, conv2d(x, weight, activation=activation), rtol=0, atol=0, equal_nan=True)


@interpreted
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 4e-3), (torch.float16, 5e-4)], ids=str)
def test_interpreter_low_precision(dtype, tolerance):
    compare(arguments((1, 3, 5), [16, 2], 8, residual=True, dtype=dtype), tolerance, activation='relu')
    given = arguments((1, 3, 5), [16], 8, residual=True, dtype=dtype)
    compare(given | dict(residual=given['residual'].float()), 1e-6, activation='relu')  # then nothing is rounded


@interpreted
def test_interpreter_end_of_a_flow_network():
    """A flow in float32 and planes is added to what the last convolution finds."""
    flow = torch.randn(2, 2, 5, 18, generator=torch.Generator().manual_seed(1))
    compare(arguments((2, 5, 18), [16], 2, side=7, dtype=torch.bfloat16) | dict(residual=flow), 1e-6)


@interpreted
def test_interpreter_level_of_a_flow_network():
    """Two frames, one of another dtype or layout, and a flow, which is added to what the last convolution finds."""
    dtype = torch.bfloat16
    given = arguments((2, 5, 18), [3, 3, 2], 32, side=7, dtype=dtype)
    a, b, flow = (v.to(dtype).float() for v in given['inputs'])  # the interpreter cuts what a GPU rounds
    given['inputs'] = [a, b.to(dtype).contiguous(memory_format=LAST), flow.contiguous(memory_format=LAST)]
    compare(given, 4e-3, activation='relu')
    last = arguments((2, 5, 18), [16], 2, side=7, dtype=dtype)
    compare(last | dict(residual=flow), 1e-6)


@interpreted
def test_interpreter_takes_any_layout():
    given = arguments((2, 3, 4), [16, 20, 2], 8, residual=True)
    planes = {k: v.contiguous() if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    planes['inputs'] = [v.contiguous() for v in given['inputs']]
    compare(planes)
    x, y, flow = given['inputs']
    given['inputs'] = [x[:, :1].expand(-1, 16, -1, -1), y.mT.contiguous().mT, flow.contiguous(memory_format=LAST)]
    compare(given | dict(residual=given['residual'].mT.contiguous().mT))


@interpreted
def test_interpreter_copies_no_parts(monkeypatch):
    module = importlib.import_module('basicsr_ssm.ops.conv2d.torch_op')
    given, seen = arguments((1, 3, 4), [16, 16, 2], 8, residual=True), []
    original = module._near
    monkeypatch.setattr(module, '_near', lambda v, *apart: seen.append(original(v, *apart) is v) or v)
    compare(given)
    assert seen == [True] * 4


@interpreted
def test_interpreter_notices_changed_weights():
    given = arguments((1, 3, 4), [16], 8)
    for weight in (given['weight'], given['weight'].contiguous()):
        for _ in range(2):
            compare(given | dict(weight=weight))
            weight.mul_(-2)


@interpreted
def test_interpreter_is_an_operator_of_pytorch():
    module = importlib.import_module('basicsr_ssm.ops.conv2d.torch_op')
    given = arguments((1, 2, 3), [16, 2], 8, residual=True)
    torch.library.opcheck(module.convolve, (given['inputs'], given['weight'], given['bias'], 0.1, given['residual'], 1))
    torch.library.opcheck(module.convolve, (given['inputs'], given['weight'].half(), None, 1.0, None, 2))


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_what_it_does_not_serve(device, monkeypatch):
    given = arguments((1, 2, 3), [16], 8, dtype=torch.float16, device=device)

    def asked(message, **changes):
        with pytest.raises(BackendError, match=f'{message}|CUDA'):
            conv2d(**{**given, **changes}, backend='triton')

    asked('a gradient is recorded', weight=given['weight'].clone().requires_grad_())
    asked('without autocast', inputs=[v.float() for v in given['inputs']])
    asked('9×9 taps', weight=given['weight'].new_zeros(8, 16, 9, 9))
    few = [given['inputs'][0][:, :3], given['inputs'][0][:, :13]]
    asked('5×5 taps of an input of 13 channels', inputs=few, weight=given['weight'].new_zeros(8, 16, 5, 5))
    asked('an empty tensor', inputs=[given['inputs'][0][:, :, :0]])
    asked('float64', bias=given['bias'].double())
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    asked('without TF32', inputs=[v.float() for v in given['inputs']], weight=given['weight'].float())


NETWORK = [
    dict(shape=(1, 144, 180), channels=[64], out=64),
    dict(shape=(1, 144, 180), channels=[64], out=64, residual=True),
    dict(shape=(1, 144, 180), channels=[64] * 5, out=64),
    dict(shape=(1, 144, 180), channels=[64, 64, 64, 2, 2], out=64),
    dict(shape=(1, 144, 180), channels=[64], out=432),
    dict(shape=(1, 144, 180), channels=[64], out=256, shuffle=2),
    dict(shape=(1, 144, 180), channels=[64], out=64, side=1, residual=True),
    dict(shape=(2, 61, 67), channels=[3], out=64),
    dict(shape=(1, 288, 360), channels=[64], out=3, residual=True),
    dict(shape=(3, 61, 67), channels=[120, 33], out=120),
    dict(shape=(4, 144, 192), channels=[3, 3, 2], out=32, side=7),
    dict(shape=(1, 45, 60), channels=[8], out=32, side=7),
    dict(shape=(4, 144, 192), channels=[32], out=64, side=7),
    dict(shape=(2, 5, 6), channels=[64], out=32, side=7),
    dict(shape=(4, 144, 192), channels=[32], out=16, side=7),
    dict(shape=(4, 144, 192), channels=[16], out=2, side=7, residual=True),
]


def on_gpu(**given):
    return conv2d(**given, backend='triton')


@pytest.mark.gpu
@pytest.mark.parametrize('sizes', NETWORK + SMALL, ids=str)
@pytest.mark.parametrize(
    'dtype, tolerance', [(torch.float32, 2e-3), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)], ids=str
)
def test_gpu_equals_float64(sizes, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    compare(arguments(**sizes, dtype=dtype, device='cuda'), tolerance, on_gpu, activation='leaky_relu')


@pytest.mark.gpu
@pytest.mark.parametrize('channels', [[64], [3], [64, 2]], ids=str)
def test_gpu_tf32_loses_nothing_on_average(channels, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    given = arguments((1, 96, 128), channels, 64, bias=False, device='cuda')
    given |= dict(inputs=[v.abs() for v in given['inputs']], weight=given['weight'].abs())
    exact = given | dict(inputs=[v.double() for v in given['inputs']], weight=given['weight'].double())
    with torch.no_grad():
        ratio = (on_gpu(**given).double() / conv2d(**exact, backend='reference')).mean().item()
    assert abs(ratio - 1) < 1e-4  # not made good it is 7e-4


@pytest.mark.gpu
def test_gpu_is_the_first_choice_where_no_gradient_is_recorded():
    given = arguments((1, 16, 16), [64], 64, dtype=torch.bfloat16, device='cuda') | dict(bias=None)
    assert torch.equal(conv2d(**given), on_gpu(**given))
    weight = given['weight'].requires_grad_()
    found = conv2d(**given)
    (slope,) = torch.autograd.grad(found.float().sum(), weight)
    assert slope.any()
    with torch.no_grad():
        torch.testing.assert_close(conv2d(**given), found, rtol=2e-2, atol=0.2)


@pytest.mark.gpu
@pytest.mark.parametrize('layout', [LAST, torch.contiguous_format], ids=str)
def test_gpu_in_a_graph(layout):
    """Weights that change in place are noticed, in whichever layout."""
    given = arguments((1, 40, 50), [64, 2], 64, residual=True, dtype=torch.bfloat16, device='cuda')
    given['weight'] = given['weight'].contiguous(memory_format=layout)
    with torch.no_grad(), torch.autocast('cuda', torch.bfloat16, cache_enabled=False):
        on_gpu(**given)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = on_gpu(**given)
        for _ in range(2):
            graph.replay()
            assert torch.equal(found, on_gpu(**given))
            given['weight'].mul_(-0.5)
            given['inputs'][0].add_(1)


@pytest.mark.gpu
def test_gpu_compiles():
    given = arguments((1, 20, 24), [64, 2], 64, dtype=torch.float16, device='cuda')
    inputs = [v.half() for v in given['inputs']]

    @torch.no_grad()
    def twice(weight, *inputs):
        return 2 * conv2d(inputs, weight, activation='relu', backend='triton')

    compiled = torch.compile(twice, fullgraph=True)
    torch.testing.assert_close(compiled(given['weight'], *inputs), twice(given['weight'], *inputs))


@pytest.mark.gpu
def test_gpu_more_than_31_bits_of_numbers():
    if torch.cuda.get_device_properties(0).total_memory < 40e9:
        pytest.skip('40 GB of GPU memory needed')
    given = arguments((1, 8, 8), [64], 64, dtype=torch.bfloat16, device='cuda')
    corner = given['inputs'][0]
    x = torch.zeros(5, 64, 2160, 3840, device='cuda', dtype=torch.bfloat16).contiguous(memory_format=LAST)
    x[4, :, -8:, -8:] = corner[0]
    found = on_gpu(**given | dict(inputs=[x]))
    wanted = on_gpu(**given)
    assert torch.equal(found[4:, :, -7:, -7:], wanted[:, :, 1:, 1:])
    assert found[3].float().sub(given['bias'].bfloat16().float()[:, None, None]).abs().max() < 0.02
