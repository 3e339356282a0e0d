"""The Triton backend of selective_scan: in Triton's interpreter without a GPU, and on one if there is one.

Triton reads TRITON_INTERPRET when it is imported; the interpreted tests therefore run in a process of their own.
"""

import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from triton_interpreter import INTERPRETED, interpreted, run_interpreted

from basicsr_ssm.ops import selective_scan
from basicsr_ssm.ops.dispatch import BackendError

pytest.importorskip('triton', minversion='3.6')
TRITON = importlib.import_module('basicsr_ssm.ops.selective_scan.triton')
NAMES = ('u', 'delta', 'A', 'B', 'C', 'D', 'z', 'delta_bias')


def inputs(b, length, d, n, direction='forward', dtype=torch.float32, without=(), device='cpu'):
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    sets = (2,) if direction == 'both' else ()
    tensors = dict(
        u=normal(b, length, d),
        delta=normal(b, length, d) - 1,
        A=-0.1 - 4 * torch.rand(*sets, d, n, generator=g),
        B=normal(b, length, n),
        C=normal(b, length, n),
        D=normal(*sets, d),
        z=normal(b, length, d),
        delta_bias=0.3 * normal(d),
    )
    return {k: None if k in without else v.to(device, dtype) for k, v in tensors.items()}


def results(tensors, backend, **options):
    """y and the gradients of all tensors under a fixed random weighting of y."""
    given = {k: None if v is None else v.detach().requires_grad_() for k, v in tensors.items()}
    y = selective_scan(**given, backend=backend, **options)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    names = [k for k in NAMES if given[k] is not None]
    return dict(zip(['y', *names], [y, *torch.autograd.grad(y, [given[k] for k in names], weight)], strict=True))


def assert_exact(tensors, tolerance=1e-5, **options):
    """Equal to float64 from the same numbers, by the scale of each tensor."""
    ours = results(tensors, 'triton', **options)
    exact = results({k: None if v is None else v.double() for k, v in tensors.items()}, 'reference', **options)
    for name, got in ours.items():
        assert got.dtype == tensors['u' if name == 'y' else name].dtype
        off, scale = (got.double() - exact[name]).abs().max(), exact[name].abs().max()
        assert off <= tolerance * scale + 1e-30, f'{name}: {off:.1e} of {scale:.1e}'


def test_in_the_interpreter():
    run_interpreted(__file__)


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(TRITON, '_sizes', lambda u, n: TRITON._Sizes(32, 1, 8))


@interpreted
@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
def test_chunks_of_all_directions(direction, short_chunks):
    assert_exact(inputs(1, 12, 5, 4, direction), delta_softplus=True, direction=direction)


@interpreted
@pytest.mark.parametrize('states', [3, 8])
def test_several_warps(states, monkeypatch):
    monkeypatch.setattr(TRITON, '_sizes', lambda u, n: TRITON._Sizes(32, 2, 8))
    assert_exact(inputs(1, 9, 50, states, 'both'), delta_softplus=True, direction='both')


@interpreted
@pytest.mark.parametrize('b, length', [(2, 1), (1, 7)])
def test_short_sequences(b, length):
    assert_exact(inputs(b, length, 3, 5), delta_softplus=True)


@interpreted
@pytest.mark.parametrize('length, chunk', [(1, 4), (9, 12), (13, 16), (30000, 1024)])
def test_a_single_chunk_is_no_longer_than_it_must_be(length, chunk):
    batch = 4096 if length < 20 else 64
    sizes = TRITON._sizes(torch.empty(batch, length, 240, device='meta'), 16)
    assert sizes.chunk == chunk
    assert sizes.chunk >= length or sizes.chunk % TRITON._GROUP == 0


@interpreted
def test_without_optional_inputs(short_chunks):
    tensors = inputs(1, 11, 4, 3, without=('D', 'z', 'delta_bias'))
    tensors['delta'] = tensors['delta'].abs()
    assert_exact(tensors)


@interpreted
def test_activation_checkpointing(short_chunks):
    tensors = {k: v.requires_grad_() for k, v in inputs(1, 9, 3, 2).items()}
    call = partial(selective_scan, delta_softplus=True, backend='triton')
    expected, found = (
        torch.autograd.grad(y.sum(), list(tensors.values()))
        for y in (call(**tensors), checkpoint(call, **tensors, use_reentrant=False))
    )
    for name, want, got in zip(tensors, expected, found, strict=True):
        assert torch.equal(got, want), name


@interpreted
@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_low_precision(dtype, tolerance, short_chunks):
    assert_exact(inputs(1, 11, 4, 4, dtype=dtype), tolerance, delta_softplus=True)


@interpreted
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_more_tiles_of_chunks_than_one(direction, short_chunks, monkeypatch):
    monkeypatch.setattr(TRITON, '_TILE', 2)
    tensors = inputs(1, 35, 2, 2, direction, without=('z',))
    with torch.no_grad():
        y = selective_scan(**tensors, delta_softplus=True, direction=direction, backend='triton')
        exact = {k: v if v is None else v.double() for k, v in tensors.items()}
        exact = selective_scan(**exact, delta_softplus=True, direction=direction, backend='reference')
    assert (y - exact).abs().max() <= 1e-5 * exact.abs().max()


@interpreted
@pytest.mark.parametrize('keep', [False, True])
def test_as_an_operator_of_pytorch(keep, short_chunks):
    from basicsr_ssm.ops.selective_scan.torch_op import selective_scan as operator

    tensors = inputs(1, 9, 3, 2, 'both').values()
    args = (*(v.requires_grad_(keep) for v in tensors), True, 'both', 'triton', keep)
    torch.library.opcheck(operator, args, test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'))


@interpreted
def test_decays_of_nothing(short_chunks):
    tensors = inputs(1, 11, 4, 4)
    tensors['delta'][:, ::3] *= 60
    assert_exact(tensors, delta_softplus=True)


@interpreted
def test_a_state_that_overflows_is_infinite(short_chunks):
    tensors = {k: v.abs() for k, v in inputs(1, 5, 3, 4, without=('z', 'delta_bias')).items() if v is not None}
    tensors |= {'A': -tensors['A'], 'u': 1e20 * tensors['u'], 'B': 1e20 + tensors['B']}
    assert (selective_scan(**tensors, backend='triton') == torch.inf).all()


@pytest.mark.skipif(INTERPRETED, reason='the interpreter takes tensors of any device')
def test_the_cpu_is_left_to_the_reference():
    tensors = inputs(1, 5, 3, 2)
    with pytest.raises(BackendError, match='it needs CUDA|NVIDIA'):
        selective_scan(**tensors, backend='triton')
    assert selective_scan(**tensors).shape == (1, 5, 3)


@interpreted
def test_what_it_does_not_serve():
    with pytest.raises(BackendError, match='float32, bfloat16 and float16 only'):
        selective_scan(**{k: v.double() for k, v in inputs(1, 5, 3, 2).items()}, backend='triton')
    with pytest.raises(BackendError, match='33 states; at most 32'):
        selective_scan(**inputs(1, 5, 3, 33), backend='triton')


@pytest.mark.skipif(INTERPRETED, reason='once is enough')
def test_importing_the_package_imports_no_triton():
    code = 'import sys, basicsr_ssm.ops; sys.exit("basicsr_ssm.ops.selective_scan.triton_forward" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.gpu
@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
@pytest.mark.parametrize(
    'shape',
    [(1, 12288, 240, 16), (8, 1000, 96, 16), (3, 1, 40, 16), (513, 7, 120, 16), (1, 4500, 33, 5), (1, 200, 48, 32)],
)  # fmt: skip
def test_equals_float64(shape, direction):
    assert_exact(inputs(*shape, direction, device='cuda'), delta_softplus=True, direction=direction)


@pytest.mark.gpu
@pytest.mark.parametrize('direction', ['forward', 'both'])
@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_low_precision_on_a_gpu(dtype, tolerance, direction):
    tensors = inputs(2, 3000, 96, 16, direction, dtype, device='cuda')
    assert_exact(tensors, tolerance, delta_softplus=True, direction=direction)


@pytest.mark.gpu
@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
def test_non_contiguous_inputs(direction):
    tensors = inputs(2, 700, 48, 16, direction, device='cuda')
    expected = results(tensors, 'triton', delta_softplus=True, direction=direction)
    strided = dict(tensors)
    strided['u'], strided['z'] = torch.cat([tensors['u'], tensors['z']], 2).chunk(2, 2)
    strided['B'], strided['C'] = torch.cat([tensors['B'], tensors['C']], 2).chunk(2, 2)
    strided['delta'] = tensors['delta'].permute(2, 0, 1).contiguous().permute(1, 2, 0)
    ours = results(strided, 'triton', delta_softplus=True, direction=direction)
    for name in expected:
        torch.testing.assert_close(ours[name], expected[name], rtol=0, atol=0)


@pytest.mark.gpu
def test_two_runs_give_the_same_bits():
    tensors = inputs(2, 5000, 96, 16, device='cuda')
    first, second = (results(tensors, 'triton', delta_softplus=True) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.gpu
@pytest.mark.parametrize('size', [1e4, 300.0, 1e-6, 0.0])
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_large_and_tiny_steps(size, direction):
    tensors = inputs(2, 150, 40, 16, direction, without=('delta_bias',), device='cuda')
    tensors['delta'] = tensors['delta'].abs() * size
    assert all(v.isfinite().all() for v in results(tensors, 'triton', direction=direction).values())
    assert_exact(tensors, direction=direction)


@pytest.mark.gpu
def test_gradient_of_a_decay_that_forgets_all_is_small_and_not_noise():
    tensors = inputs(1, 20, 6, 4, without=('delta_bias', 'z'), device='cuda')
    tensors['delta'] = torch.full_like(tensors['delta'], 10.0)
    tensors['A'] = torch.full_like(tensors['A'], -4.0)
    got = results(tensors, 'triton')['A']
    exact = results({k: None if v is None else v.double() for k, v in tensors.items()}, 'reference')['A']
    torch.testing.assert_close(got.double(), exact, rtol=1e-3, atol=0)
