import math

import pytest
import torch
import torch.nn.functional as F
from windowed_ssd_inputs import FORMS, inputs

from basicsr_ssm.ops.dispatch import BackendError


def conv_silu(x, weight, bias):
    return F.silu(F.conv1d(x.mT, weight[:, None], bias, padding=2, groups=len(bias))[..., : x.shape[1]].mT)


def recurrence(u, dt, B, C, dt_bias, A_log, D):
    dt, A = F.softplus(dt + dt_bias), -A_log.exp()
    u = u.unflatten(2, (-1, 16))
    state, out = u.new_zeros(u.shape[0], len(A), 16, 16), []
    for t in range(u.shape[1]):
        state = torch.exp(dt[:, t] * A)[..., None, None] * state
        state = state + (dt[:, t, :, None] * u[:, t])[..., None] * B[:, t, None, None, :]
        out.append((state * C[:, t, None, None, :]).sum(-1) + D[:, None] * u[:, t])
    return torch.stack(out, 1).flatten(2)


def cross(projected, readout, weight, bias, readout_weight, readout_bias, pe, dt_bias, A_log, D, gain):
    d, window = len(gain), math.isqrt(projected.shape[1])
    z, u, B, dt = projected.split([d, d, 16, len(D)], 2)
    u, B = conv_silu(torch.cat([u, B], 2), weight, bias).split([d, 16], 2)
    C = conv_silu(readout, readout_weight, readout_bias).mT.unflatten(2, (window, window))
    C = F.conv2d(C, pe[:, None], padding=1, groups=16).flatten(2).mT
    v = recurrence(u, dt, B, C, dt_bias, A_log, D) * F.silu(z)
    return v / (v.square().mean(2, keepdim=True) + 1e-5).sqrt() * gain


def inner(projected, weight, bias, dt_bias, A_log, D, gain, shift):
    d = len(gain) // 2
    z, scanned, dt = projected.split([d, d + 32, len(D)], 2)
    u, B, C = conv_silu(scanned, weight, bias).split([d, 16, 16], 2)
    return F.layer_norm(torch.cat([recurrence(u, dt, B, C, dt_bias, A_log, D), z], 2), (2 * d,), gain, shift)


FORMULAS = {'cross': cross, 'inner': inner}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    'sizes', [dict(length=49, heads=4), dict(batch=1, length=1, heads=1), dict(length=289)], ids=str
)
def test_equals_the_formula(form, sizes):
    tensors = inputs(form, **sizes)
    expected = FORMULAS[form](*tensors.values())
    torch.testing.assert_close(FORMS[form](*tensors.values()), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize('form', FORMS)
def test_gradients(form):
    tensors = [v.requires_grad_() for v in inputs(form, batch=1, length=4, heads=1).values()]
    assert torch.autograd.gradcheck(FORMS[form], tensors, fast_mode=True)


@pytest.mark.parametrize('form', FORMS)
def test_low_precision_is_rounded_once(form):
    tensors = {name: v.bfloat16() for name, v in inputs(form).items()}
    out = FORMS[form](*tensors.values())
    assert out.dtype == torch.bfloat16
    exact = FORMS[form](*(v.double() for v in tensors.values()))
    torch.testing.assert_close(out.double(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize('form', FORMS)
def test_autocast_changes_nothing(form):
    tensors = [v.float() for v in inputs(form).values()]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = FORMS[form](*tensors)
    torch.testing.assert_close(out, FORMS[form](*tensors), rtol=0, atol=0)


@pytest.mark.parametrize('form', FORMS)
def test_shapes_that_do_not_fit(form):
    tensors = inputs(form)
    for name in tensors:
        if not name.startswith('norm'):
            wrong = {**tensors, name: tensors[name][..., 1:]}
            with pytest.raises(ValueError, match=f'{form}_window_ssd: {name} .* expected'):
                FORMS[form](*wrong.values())
    with pytest.raises(ValueError, match='multiple of 16'):
        FORMS[form](*{**tensors, 'norm_weight': tensors['norm_weight'][:-4]}.values())
    with pytest.raises(ValueError, match=r'\(b, l, c\)'):
        FORMS[form](*{**tensors, 'projected': tensors['projected'][:0]}.values())


def test_a_window_is_square():
    with pytest.raises(ValueError, match='15 tokens are no square'):
        FORMS['cross'](*inputs('cross', length=15).values())


@pytest.mark.parametrize('form', FORMS)
def test_a_cpu_is_not_served_by_triton(form):
    with pytest.raises(BackendError, match='triton'):
        FORMS[form](*inputs(form).values(), backend='triton')
