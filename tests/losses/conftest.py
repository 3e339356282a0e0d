import pytest
import torch


@pytest.fixture(params=[(1, 3, 8, 8), (2, 3, 7, 10), (2, 1, 6, 9), (2, 2, 3, 5, 7), (1, 2, 3, 8, 6)], ids=str)
def pair(request):
    """pred and target in float64: images and clips, odd and even sizes."""
    return torch.rand(2, *request.param, dtype=torch.float64).unbind()
