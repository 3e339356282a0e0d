"""The Triton backend of the windowed SSD: in Triton's interpreter without a GPU, and on one if there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib
from functools import partial

import medvsr_golden as golden
import pytest
import torch
from torch.utils.checkpoint import checkpoint
from triton_interpreter import interpreted, run_interpreted
from windowed_ssd_inputs import ACTIVATIONS, FORMS, inputs, results

from basicsr_ssm.archs import MedVSR

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.windowed_ssd.triton')


def triton(form, *tensors):
    return getattr(TRITON, form)(*tensors, 1e-5)


def assert_exact(form, tensors, tolerance=1e-5):
    """Equal to float64 from the same numbers, by the norm of each tensor."""
    ours = results(partial(triton, form), tensors)
    exact = results(FORMS[form], {name: v.double() for name, v in tensors.items()})
    for name, got in ours.items():
        assert got.dtype == tensors['projected' if name == 'result' else name].dtype
        off, size = (got.double() - exact[name]).norm(), exact[name].norm()
        assert off <= tolerance * size + 1e-9, f'{name}: {off / size:.1e}'


def mixed(tensors, dtype):
    """Activations in dtype and parameters in float32, as under autocast."""
    return {name: v.to(dtype if name in ACTIVATIONS else torch.float32) for name, v in tensors.items()}


def test_in_the_interpreter():
    run_interpreted(__file__, '-k', 'interpreter_')


@interpreted
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    'sizes',
    [
        dict(batch=1, length=16, heads=1),
        dict(batch=3, length=49, heads=2),  # tokens that fill no chunk
        dict(batch=1, length=36, heads=3),  # heads that fill no power of two
        dict(batch=1, length=256, heads=1),
        dict(batch=1, length=144, heads=2),  # chunks that are not a whole number of those worked on at a time
        dict(batch=2, length=1, heads=1),
    ],
    ids=str,
)
def test_interpreter_equals_float64(form, sizes):
    assert_exact(form, {name: v.float() for name, v in inputs(form, **sizes).items()})


@interpreted
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 4e-3), (torch.float16, 5e-4)], ids=str)
def test_interpreter_low_precision(form, dtype, tolerance):
    assert_exact(form, mixed(inputs(form, length=64), dtype), tolerance)
    assert_exact(form, {name: v.to(dtype) for name, v in inputs(form).items()}, tolerance)


@interpreted
@pytest.mark.parametrize('form', FORMS)
def test_interpreter_takes_any_layout(form):
    tensors = {name: v.float() for name, v in inputs(form).items()}
    tensors = {name: v.mT.contiguous().mT if v.dim() > 1 else v for name, v in tensors.items()}
    wide = torch.zeros(2, 20, tensors['projected'].shape[2] + 5)
    wide[:, 2:18, 3:-2] = tensors['projected']
    assert_exact(form, tensors)
    assert_exact(form, {**tensors, 'projected': wide[:, 2:18, 3:-2]})


@interpreted
@pytest.mark.parametrize('form', FORMS)
def test_interpreter_strong_decay_keeps_its_digits(form):
    tensors = {name: v.float() for name, v in inputs(form, batch=1, length=64).items()}
    tensors['dt_bias'] = torch.tensor([2.0, -3.0])
    tensors['A_log'] = torch.tensor([16.0, 1.0]).log()
    assert_exact(form, tensors)


@interpreted
@pytest.mark.parametrize('form', FORMS)
def test_interpreter_activation_checkpointing(form):
    call = partial(triton, form)
    tensors = {name: v.float() for name, v in inputs(form, batch=1, length=16, heads=1).items()}
    expected = results(call, tensors)
    for name, got in results(partial(checkpoint, call, use_reentrant=False), tensors).items():
        assert torch.equal(got, expected[name]), name


@interpreted
@pytest.mark.parametrize('form', FORMS)
def test_interpreter_as_an_operator_of_pytorch(form, monkeypatch):
    module = importlib.import_module('basicsr_ssm.ops.windowed_ssd.torch_op')
    calls = []
    monkeypatch.setattr(module, 'windowed_ssd', lambda *args: calls.append(args))
    triton(form, *(v.float().requires_grad_() for v in inputs(form, batch=1, length=16, heads=1).values()))
    monkeypatch.undo()
    torch.library.opcheck(module.windowed_ssd, calls[0])


@pytest.fixture
def exact_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', False)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


def on_gpu(tensors):
    return {name: v.cuda() for name, v in tensors.items()}


@pytest.mark.gpu
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('batch, length', [(1, 16), (3, 64), (3, 256), (2, 100)])
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 5e-3)])
def test_gpu_equals_float64(form, batch, length, dtype, tolerance):
    heads = 4 if form == 'cross' else 2
    assert_exact(form, on_gpu(mixed(inputs(form, batch, length, heads), dtype)), tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize('form', FORMS)
def test_gpu_gradients_are_the_same_each_time(form):
    tensors = on_gpu({name: v.float() for name, v in inputs(form, batch=40, length=256).items()})
    first, second = (results(partial(triton, form), tensors) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
@pytest.mark.parametrize('form', FORMS)
def test_gpu_long_windows_go_to_the_reference(form):
    tensors = on_gpu({name: v.float() for name, v in inputs(form, length=289).items()})
    assert TRITON.why_not(*tensors.values(), 1e-5) == '289 tokens a window, 256 at most'
    FORMS[form](*tensors.values())


@pytest.mark.gpu
@pytest.mark.parametrize('name', golden.NAMES)
def test_gpu_golden(name, exact_float32, monkeypatch):
    monkeypatch.setenv('BASICSR_SSM_BACKEND', 'cross_window_ssd=triton,inner_window_ssd=triton')
    config, clip, *stored = golden.load(name)
    net = golden.fill_network(MedVSR(**config)).cuda()
    with torch.no_grad():
        assert golden.worst_error(net(clip.float().cuda()), *stored) <= 2e-5
