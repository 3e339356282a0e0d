import pytest
import torch
import torch.nn.functional as F

from basicsr_ssm.ops import causal_conv1d


def textbook(x, weight, bias, activation):
    y = F.conv1d(x.mT, weight.unsqueeze(1), bias, padding=weight.shape[1] - 1, groups=weight.shape[0])
    y = y[:, :, : x.shape[1]].mT
    return F.silu(y) if activation else y


def inputs(b=2, length=20, d=6, k=3):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(*s, generator=g, dtype=torch.float64) for s in ((b, length, d), (d, k), (d,))]


@pytest.mark.parametrize('activation', [None, 'silu'])
@pytest.mark.parametrize('length', [1, 2, 20])
@pytest.mark.parametrize('k', [1, 3, 4])
def test_equals_the_convolution(activation, length, k):
    x, weight, bias = inputs(length=length, k=k)
    for b in (bias, None):
        out = causal_conv1d(x, weight, b, activation)
        torch.testing.assert_close(out, textbook(x, weight, b, activation), rtol=0, atol=1e-12)


def test_gradients():
    tensors = [v.requires_grad_() for v in inputs(length=5)]
    assert torch.autograd.gradcheck(lambda *v: causal_conv1d(*v, activation='silu'), tensors)


def test_non_contiguous_and_bfloat16():
    x, weight, bias = inputs(length=33)
    view = x.mT.contiguous().mT
    torch.testing.assert_close(causal_conv1d(view, weight, bias), causal_conv1d(x, weight, bias))
    low = causal_conv1d(x.bfloat16(), weight.float(), bias.float())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), textbook(x, weight, bias, None), rtol=0.05, atol=0.05)


def test_bad_arguments():
    x, weight, bias = inputs()
    with pytest.raises(ValueError, match='activation'):
        causal_conv1d(x, weight, bias, 'gelu')
    with pytest.raises(ValueError, match=r'\(b, l, d\)'):
        causal_conv1d(x.mT, weight, bias)
