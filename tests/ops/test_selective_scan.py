import sys
import types

import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.ops import selective_scan
from basicsr_ssm.ops.dispatch import BackendError

NAMES = ('u', 'delta', 'A', 'B', 'C', 'D', 'z', 'delta_bias')
REFERENCE = sys.modules['basicsr_ssm.ops.selective_scan.reference']


def sequential(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, direction='forward'):
    """The recurrence itself, one token after another."""
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = F.softplus(delta)
    both = direction == 'both'
    y = 0
    for i, reverse in enumerate((False, True) if both else (direction == 'reverse',)):
        rates, skip = (A[i], None if D is None else D[i]) if both else (A, D)
        state = u.new_zeros(u.shape[0], *rates.shape)
        out = [None] * u.shape[1]
        for t in range(u.shape[1])[:: -1 if reverse else 1]:
            state = torch.exp(delta[:, t, :, None] * rates) * state + (delta * u)[:, t, :, None] * B[:, t, None]
            out[t] = (state * C[:, t, None]).sum(-1)
            if skip is not None:
                out[t] = out[t] + skip * u[:, t]
        y = y + torch.stack(out, 1)
    return y if z is None else y * F.silu(z)


def inputs(b=2, length=37, d=6, n=4, direction='forward', without=(), dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    sets = (2,) if direction == 'both' else ()
    tensors = dict(
        u=normal(b, length, d),
        delta=normal(b, length, d) - 1,
        A=-0.1 - 4 * torch.rand(*sets, d, n, generator=g, dtype=torch.float64),
        B=normal(b, length, n),
        C=normal(b, length, n),
        D=normal(*sets, d),
        z=normal(b, length, d),
        delta_bias=0.3 * normal(d),
    )
    return {k: None if k in without else v.to(dtype) for k, v in tensors.items()}


def results(function, tensors, **options):
    """y and the gradients of all tensors under a fixed random weighting of y."""
    tensors = {k: None if v is None else v.detach().requires_grad_() for k, v in tensors.items()}
    y = function(**tensors, **options)
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(y)
    given = [v for v in tensors.values() if v is not None]
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), given)]


def assert_equals_sequential(tensors, rtol=1e-9, atol=1e-9, **options):
    ours, truth = (results(f, tensors, **options) for f in (selective_scan, sequential))
    for name, a, b in zip(['y', *(k for k in NAMES if tensors[k] is not None)], ours, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, msg=lambda m, name=name: f'{name}: {m}')


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
@pytest.mark.parametrize('b', [1, 3])
@pytest.mark.parametrize('length', [1, 2, 7, 64, 100, 257])
def test_equals_the_recurrence(length, b, direction):
    tensors = inputs(b, length, direction=direction)
    assert_equals_sequential(tensors, delta_softplus=True, direction=direction)


@pytest.mark.parametrize('block', [1, 50, 24 * 7, 24 * 3 * 9, 24 * 3 * 40])
@pytest.mark.parametrize('wide', [1, 2**14])
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_any_cut_into_blocks_and_groups(block, wide, direction, monkeypatch):
    # from single tokens of single sequences to all sequences at once; 41 leaves remainders everywhere
    monkeypatch.setattr(REFERENCE, '_block', lambda device: block)
    monkeypatch.setattr(REFERENCE, '_WIDE_STEP', wide)
    assert_equals_sequential(inputs(3, 41, direction=direction), delta_softplus=True, direction=direction)


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_width_of_the_network(device):
    # over one block whatever the number of threads, with a remainder
    tensors = {k: v.to(device) for k, v in inputs(1, 150, d=240, n=16, direction='both').items()}
    assert_equals_sequential(tensors, delta_softplus=True, direction='both')


@pytest.mark.parametrize('without', [('D',), ('z',), ('delta_bias',), ('D', 'z', 'delta_bias')], ids='-'.join)
@pytest.mark.parametrize('softplus', [False, True])
@pytest.mark.parametrize('direction', ['reverse', 'both'])
def test_without_optional_inputs(without, softplus, direction):
    tensors = inputs(length=45, direction=direction, without=without)
    if not softplus:
        tensors['delta'] = tensors['delta'].abs() + 1
    assert_equals_sequential(tensors, delta_softplus=softplus, direction=direction)


@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_same_output_without_gradients(direction):
    tensors = inputs(length=100, direction=direction)
    with torch.no_grad():
        y = selective_scan(**tensors, delta_softplus=True, direction=direction)
    torch.testing.assert_close(y, results(selective_scan, tensors, delta_softplus=True, direction=direction)[0])


def test_gradients_of_some_inputs_only():
    tensors = inputs()
    expected = results(sequential, tensors, delta_softplus=True)
    u = tensors['u'].clone().requires_grad_()
    y = selective_scan(**(tensors | {'u': u}), delta_softplus=True)
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (y * weight).sum().backward()
    torch.testing.assert_close(u.grad, expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
def test_non_contiguous_inputs(direction):
    tensors = inputs(3, 50, direction=direction)
    expected = results(sequential, tensors, delta_softplus=True, direction=direction)

    def channel_major(v):
        return v.permute(2, 0, 1).contiguous().permute(1, 2, 0)

    strided = tensors | {k: channel_major(tensors[k]) for k in ('u', 'delta')}
    strided['B'], strided['C'] = torch.cat([tensors['B'], tensors['C']], 2).chunk(2, 2)
    strided['z'] = torch.stack([tensors['z'], tensors['z']], -1)[..., 0]
    strided['A'] = tensors['A'].mT.contiguous().mT
    assert not any(strided[k].is_contiguous() for k in ('u', 'delta', 'A', 'B', 'C', 'z'))
    ours = results(selective_scan, strided, delta_softplus=True, direction=direction)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert ours[0].is_contiguous()


def test_expanded_incoming_gradient():
    tensors = {k: v.requires_grad_() for k, v in inputs(length=70).items()}
    ours, truth = (
        torch.autograd.grad(f(**tensors).sum(), list(tensors.values())) for f in (selective_scan, sequential)
    )
    for a, b in zip(ours, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_low_precision_inputs_keep_a_float32_state(dtype, tolerance, direction):
    """Rounding of the result only: the truth is computed from the rounded inputs."""
    tensors = inputs(length=257, direction=direction, dtype=dtype)
    exact = {k: v.double() for k, v in tensors.items()}
    ours = results(selective_scan, tensors, delta_softplus=True, direction=direction)
    truth = results(sequential, exact, delta_softplus=True, direction=direction)
    for got, expected in zip(ours, truth, strict=True):
        assert got.dtype == dtype
        # bfloat16 weights differ between the two by their own rounding, hence the scale of the tensor
        assert (got.double() - expected).abs().max() <= 2 * tolerance * expected.abs().max()


def test_mixed_dtypes_give_the_dtype_of_u():
    tensors = inputs(dtype=torch.float32)
    tensors['u'] = tensors['u'].bfloat16()
    ours = results(selective_scan, tensors, delta_softplus=True)
    assert [v.dtype for v in ours[:3]] == [torch.bfloat16, torch.bfloat16, torch.float32]


def test_under_autocast_the_state_stays_float32():
    tensors = inputs(length=128, dtype=torch.float32)
    expected = results(selective_scan, tensors, delta_softplus=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        ours = results(selective_scan, tensors, delta_softplus=True)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def flipped(tensors):
    return {k: v.flip(1) if k in ('u', 'delta', 'B', 'C', 'z') else v for k, v in tensors.items()}


def test_reverse_is_flip_forward_flip():
    tensors = inputs(length=100)
    ours = results(lambda **v: selective_scan(**v, direction='reverse'), tensors, delta_softplus=True)
    theirs = results(lambda **v: selective_scan(**flipped(v)).flip(1), tensors, delta_softplus=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_both_is_the_sum_of_forward_and_reverse():
    def two_calls(A, D, z, **rest):
        y = selective_scan(A=A[0], D=D[0], **rest) + selective_scan(A=A[1], D=D[1], direction='reverse', **rest)
        return y * F.silu(z)

    tensors = inputs(length=100, direction='both')
    ours = results(lambda **v: selective_scan(**v, direction='both'), tensors, delta_softplus=True)
    theirs = results(two_calls, tensors, delta_softplus=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('direction, kept', [('forward', slice(0, 60)), ('reverse', slice(61, None))])
def test_a_token_changes_no_output_before_it(direction, kept):
    tensors = inputs(length=100)
    changed = {k: v.clone() for k, v in tensors.items()}
    for k in ('u', 'delta', 'B', 'C', 'z'):
        changed[k][:, 60] += 1
    a, b = (selective_scan(**v, delta_softplus=True, direction=direction) for v in (tensors, changed))
    torch.testing.assert_close(a[:, kept], b[:, kept], rtol=0, atol=0)
    rest = torch.ones(100, dtype=torch.bool)
    rest[kept] = False
    assert ((a - b).abs().amax((0, 2)) > 0)[rest].all()


@pytest.mark.parametrize('size', [1e4, 300.0, 1e-6, 0.0])
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_large_and_tiny_steps(size, direction):
    """Decays of 0 and products that underflow, or none at all: in float32, no overflow, no NaN, the digits kept."""
    tensors = inputs(length=150, direction=direction, dtype=torch.float32, without=('delta_bias',))
    tensors['delta'] = tensors['delta'].abs() * size
    ours = results(selective_scan, tensors, direction=direction)
    exact = {k: None if v is None else v.double() for k, v in tensors.items()}
    for got, expected in zip(ours, results(sequential, exact, direction=direction), strict=True):
        assert got.isfinite().all()
        assert (got.double() - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_gradient_of_a_decay_that_forgets_all_is_small_and_not_noise():
    # d y/d A goes through exp(−40): as a difference of two states it would be lost in their rounding
    tensors = inputs(b=1, length=20, dtype=torch.float32, without=('delta_bias', 'z'))
    tensors['delta'] = torch.full_like(tensors['delta'], 10.0)
    tensors['A'] = torch.full_like(tensors['A'], -4.0)
    exact = {k: None if v is None else v.double() for k, v in tensors.items()}
    got, expected = (results(f, v)[3] for f, v in ((selective_scan, tensors), (sequential, exact)))
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
def test_gradcheck(direction, monkeypatch):
    monkeypatch.setattr(REFERENCE, '_block', lambda device: 6 * 5)  # blocks of 5 tokens
    tensors = inputs(b=1, length=11, d=3, n=2, direction=direction)
    names = list(tensors)
    assert torch.autograd.gradcheck(
        lambda *v: selective_scan(**dict(zip(names, v, strict=True)), delta_softplus=True, direction=direction),
        [v.requires_grad_() for v in tensors.values()],
    )


def test_second_derivatives_are_refused():
    tensors = {k: v.requires_grad_() for k, v in inputs(length=5).items()}
    (grad,) = torch.autograd.grad(selective_scan(**tensors).square().sum(), tensors['u'], create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_training_keeps_a_fraction_of_the_states(monkeypatch):
    monkeypatch.setattr(REFERENCE, '_block', lambda device: 2**17)
    length, d, n = 1024, 64, 16
    tensors = {k: v.requires_grad_() for k, v in inputs(1, length, d, n, dtype=torch.float32).items()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda v: kept.append(v) or v, lambda v: v):
        selective_scan(**tensors, delta_softplus=True)
    carried = sum(v.numel() for v in kept if v.shape[-2:] == (n, d) and v.dim() == 3)
    assert 0 < carried <= length * d * n / 64


def test_the_number_of_threads_may_change_before_the_backward_pass():
    tensors = {k: v.requires_grad_() for k, v in inputs(1, 200, d=240, n=16).items()}
    given, threads = list(tensors.values()), torch.get_num_threads()
    grads = []
    try:
        for there, back in ((1, 1), (1, 2), (2, 1)):
            torch.set_num_threads(there)
            y = selective_scan(**tensors, delta_softplus=True)
            torch.set_num_threads(back)
            grads.append(torch.autograd.grad(y.sum(), given))
    finally:
        torch.set_num_threads(threads)
    for other in grads[1:]:
        for a, b in zip(grads[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('name', ['delta', 'A', 'B', 'C', 'D', 'z', 'delta_bias'])
@pytest.mark.parametrize('direction', ['forward', 'both'])
def test_shapes_that_do_not_fit_are_named(name, direction):
    tensors = inputs(direction=direction)
    bad = tensors[name]
    for wrong in (bad[..., :-1] if name != 'A' else bad[..., :-1, :], bad[None]):
        with pytest.raises(ValueError, match=f'selective_scan: {name} '):
            selective_scan(**(tensors | {name: wrong}), direction=direction)


def test_both_wants_two_sets():
    tensors = inputs()
    with pytest.raises(ValueError, match=r'A \(2, 6, .n.\) expected'):
        selective_scan(**tensors, direction='both')


def test_other_wrong_inputs():
    tensors = inputs()
    with pytest.raises(ValueError, match="direction 'backward'"):
        selective_scan(**tensors, direction='backward')
    with pytest.raises(ValueError, match=r'u \(b, l, d\)'):
        selective_scan(**(tensors | {'u': tensors['u'][0]}))
    with pytest.raises(ValueError, match=r'u \(b, l, d\)'):
        selective_scan(**(tensors | {'u': tensors['u'][:, :0]}))


def test_activation_checkpointing():
    torch.manual_seed(0)
    u, delta, B, C = (torch.randn(1, 50, k, requires_grad=True) for k in (3, 3, 2, 2))
    A = -torch.rand(3, 2)
    expected = torch.autograd.grad(selective_scan(u, delta, A, B, C).sum(), (u, B))
    y = torch.utils.checkpoint.checkpoint(selective_scan, u, delta, A, B, C, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), (u, B)), expected)


def test_the_vendor_is_asked_in_its_own_layout(monkeypatch):
    """mamba-ssm's call, (b, d, l) and forward only, played by the reference: both directions and the gate come out."""
    from basicsr_ssm.ops.selective_scan import vendor

    def selective_scan_fn(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
        assert z is None and all(v.is_contiguous() or v.stride(2) == -1 for v in (u, B))
        tokens = [v.mT for v in (u, delta, B, C)]
        y = selective_scan(*tokens[:2], A, *tokens[2:], D, None, delta_bias, delta_softplus, backend='reference')
        return y.mT

    module = types.ModuleType('mamba_ssm.ops.selective_scan_interface')
    module.selective_scan_fn = selective_scan_fn
    for name in ('mamba_ssm', 'mamba_ssm.ops'):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    g = torch.Generator().manual_seed(0)
    u, delta, B, C, z, bias = (
        torch.randn(v, generator=g) for v in ((2, 7, 3), (2, 7, 3), (2, 7, 4), (2, 7, 4), (2, 7, 3), (3,))
    )
    A, D = -torch.rand(2, 3, 4, generator=g), torch.randn(2, 3, generator=g)
    for direction, sets in (('forward', slice(0, 1)), ('reverse', slice(0, 1)), ('both', slice(0, 2))):
        given = (A[0], B, C, D[0]) if direction != 'both' else (A, B, C, D)
        expected = selective_scan(u, delta, *given, z, bias, True, direction)
        got = vendor.scan(u, delta, A[sets], B, C, D[sets], z, bias, True, direction)
        torch.testing.assert_close(got, expected)


def test_the_vendor_serves_only_where_it_is_asked():
    tensors = [torch.zeros(v) for v in ((1, 2, 3), (1, 2, 3), (3, 4), (1, 2, 4), (1, 2, 4))]
    with pytest.raises(BackendError, match='mamba-ssm'):
        selective_scan(*tensors, backend='mamba-ssm')


@pytest.mark.gpu
@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
def test_the_vendor_agrees_on_a_gpu(direction):
    from basicsr_ssm.ops.selective_scan import vendor

    if vendor.why_not() is not None:
        pytest.skip(vendor.why_not())
    sets = (2,) if direction == 'both' else ()
    shapes = (2, 70, 24), (2, 70, 24), (*sets, 24, 16), (2, 70, 16), (2, 70, 16), (*sets, 24), (2, 70, 24), (24,)
    u, delta, A, *others = (torch.randn(v, device='cuda') for v in shapes)
    args = (u, delta, -A.abs(), *others, True, direction)
    y, exact = (selective_scan(*args, backend=backend) for backend in ('mamba-ssm', 'reference'))
    torch.testing.assert_close(y, exact, rtol=1e-4, atol=1e-4)
