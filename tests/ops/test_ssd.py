import pytest
import torch

from basicsr_ssm.ops import ssd


def sequential(x, dt, A, B, C, D=None):
    """The recurrence itself, one token after another."""
    b, length, heads, size = x.shape
    per_group = heads // B.shape[2]
    B, C = B.repeat_interleave(per_group, 2), C.repeat_interleave(per_group, 2)
    state = x.new_zeros(b, heads, size, B.shape[3])
    out = []
    for t in range(length):
        state = torch.exp(dt[:, t] * A)[..., None, None] * state
        state = state + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        y = (state * C[:, t, :, None]).sum(-1)
        out.append(y if D is None else y + D[:, None] * x[:, t])
    return torch.stack(out, 1)


def inputs(b=2, length=37, heads=4, size=16, groups=1, state=16, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return [
        v.to(dtype)
        for v in (
            normal(b, length, heads, size),
            torch.rand(b, length, heads, generator=g, dtype=torch.float64) * 0.4,
            -1 - 15 * torch.rand(heads, generator=g, dtype=torch.float64),
            normal(b, length, groups, state),
            normal(b, length, groups, state),
            normal(heads),
        )
    ]


@pytest.mark.parametrize(
    'shape',
    [
        dict(length=256, heads=4),  # a window of MedVSR's CSSB
        dict(length=256, heads=2, b=3),  # of its reconstruction
        dict(length=1),
        dict(length=63, b=1),
        dict(length=64),
        dict(length=65),
        dict(length=200, groups=2, size=8, state=5),
        dict(heads=1, size=1, state=1),
    ],
    ids=str,
)
def test_equals_the_recurrence(shape):
    tensors = inputs(**shape)
    torch.testing.assert_close(ssd(*tensors), sequential(*tensors), rtol=0, atol=1e-11)


@pytest.mark.parametrize('chunk_size', [1, 7, 16, 500])
def test_chunk_size_changes_only_rounding(chunk_size):
    tensors = inputs(length=50)
    torch.testing.assert_close(ssd(*tensors, chunk_size=chunk_size), sequential(*tensors), rtol=0, atol=1e-11)


def test_without_skip_and_non_contiguous():
    x, dt, A, B, C, _ = inputs(length=40)
    expected = sequential(x, dt, A, B, C)
    x = x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    B = torch.stack([B, B], -1)[..., 0]
    torch.testing.assert_close(ssd(x, dt, A, B, C), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize('dtype, atol', [(torch.float32, 2e-5), (torch.bfloat16, 0.15), (torch.float16, 0.03)])
def test_low_precision_inputs_keep_a_float32_state(dtype, atol):
    tensors = inputs(length=256, dtype=dtype)
    out = ssd(*tensors)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), sequential(*(v.double() for v in tensors)), rtol=0.01, atol=atol)


def test_strong_decay_over_a_long_chunk_keeps_its_digits():
    # running sums reach −3,000, where float32 has steps of 2e-4
    x, _, _, B, C, D = inputs(length=256)
    dt, A = torch.full((2, 256, 4), 0.75, dtype=torch.float64), torch.full((4,), -16.0, dtype=torch.float64)
    expected = sequential(x, dt, A, B, C, D)
    out = ssd(*(v.float() for v in (x, dt, A, B, C, D)), chunk_size=256)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


def test_under_autocast_the_state_stays_float32():
    tensors = inputs(length=128, dtype=torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = ssd(*tensors)
    torch.testing.assert_close(out, ssd(*tensors), rtol=0, atol=0)


def test_gradients():
    tensors = [v.requires_grad_() for v in inputs(b=1, length=11, heads=2, size=3, state=2)]
    assert torch.autograd.gradcheck(lambda *v: ssd(*v, chunk_size=4), tensors)


def test_gradients_equal_those_of_the_recurrence():
    tensors = [v.requires_grad_() for v in inputs(length=70)]
    weight = torch.randn(2, 70, 4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((ssd(*tensors) * weight).sum(), tensors)
    truth = torch.autograd.grad((sequential(*tensors) * weight).sum(), tensors)
    for a, b in zip(ours, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_is_causal():
    tensors = inputs(length=30)
    later = [v.clone() for v in tensors]
    for v in (later[0], later[1], later[3], later[4]):
        v[:, 20:] = 0.1
    torch.testing.assert_close(ssd(*tensors)[:, :20], ssd(*later)[:, :20], rtol=0, atol=1e-12)


def test_shapes_that_do_not_fit():
    x, dt, A, B, C, D = inputs()
    with pytest.raises(ValueError, match='dt'):
        ssd(x, dt[:, 1:], A, B, C, D)
    with pytest.raises(ValueError, match='B and C'):
        ssd(x, dt, A, B[:, 1:], C, D)
    with pytest.raises(ValueError, match=r'D \(.+\) expected, got \(1,\)'):
        ssd(x, dt, A, B, C, D[:1])
    with pytest.raises(ValueError, match='divisor'):
        ssd(x, dt, A, B.repeat(1, 1, 3, 1), C.repeat(1, 1, 3, 1), D)
