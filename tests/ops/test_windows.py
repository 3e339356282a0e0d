"""Windows as tokens and back."""

import pytest
import torch

from basicsr_ssm.ops.layout import has_channels_together
from basicsr_ssm.ops.windows import to_map, to_tokens, windows_of


def test_order_and_padding():
    x = torch.arange(1.0, 16).view(1, 1, 3, 5)
    assert windows_of(x, 2) == (2, 3)
    expected = [[1, 2, 6, 7], [3, 4, 8, 9], [5, 0, 10, 0], [11, 12, 0, 0], [13, 14, 0, 0], [15, 0, 0, 0]]
    assert to_tokens(x, 2)[..., 0].tolist() == expected


@pytest.mark.parametrize('together', [False, True])
@pytest.mark.parametrize('size', [1, 2, 3, 8])
def test_there_and_back(size, together):
    x = torch.randn(2, 3, 6, 7)
    x = x.contiguous(memory_format=torch.channels_last) if together else x
    back = to_map(to_tokens(x, size), size, x)
    assert torch.equal(back, x) and has_channels_together(back) == together
