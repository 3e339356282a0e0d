import sys
from pathlib import Path

import pytest
import torch

import basicsr_ssm  # noqa: F401  (before any test imports BasicSR, which needs its repairs)

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of the tests, medvsr_golden


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='no CUDA device')
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def cudnn_as_it_was():
    """BasicSR's train and test switch cuDNN's trials of algorithms on, whose memory later tests would measure."""
    before = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = before
