"""What TF32 loses, and how it is made good."""

import pytest
import torch

pytest.importorskip('triton')

from basicsr_ssm.ops import triton_product


def in_tf32(x):
    """As a matrix unit takes it: without its last 13 digits."""
    return (x.view(torch.int32) & -8192).view(torch.float32)


@pytest.mark.parametrize('numbers', ['normal', 'uniform', 'of many orders of magnitude'])
def test_what_is_lost_is_made_good_on_average(numbers):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 2**20, generator=generator)
    if numbers == 'uniform':
        x, y = torch.rand(2, 2**20, generator=generator)
    elif numbers == 'of many orders of magnitude':
        x, y = torch.exp(10 * x), torch.exp(10 * y)
    ratio = (in_tf32(x).double() * in_tf32(y) / (x.double() * y))[(x != 0) & (y != 0)].mean().item()
    assert ratio < 1 - 6e-4
    assert ratio * triton_product._MADE_GOOD.value == pytest.approx(1, abs=4e-5)
