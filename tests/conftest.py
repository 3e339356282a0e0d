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
