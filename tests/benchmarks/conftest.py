import importlib
import logging
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from basicsr_ssm.archs.medvsr_arch import MedVSR


@pytest.fixture
def load_benchmark(monkeypatch):
    """Imports a program of benchmarks/ by its name; after the test it is forgotten, and loggers are as they were."""
    folder = Path(__file__).parents[2] / 'benchmarks'
    logger = logging.getLogger('basicsr')
    level = logger.level

    def load(name):
        if not (folder / f'{name}.py').is_file():
            pytest.skip('installed without the benchmarks')
        monkeypatch.syspath_prepend(str(folder))
        return importlib.import_module(name)

    yield load
    logger.setLevel(level)
    theirs = {path.stem for path in folder.glob('*')}
    for name in [name for name in sys.modules if name.split('.')[0] in theirs]:
        del sys.modules[name]


@pytest.fixture
def medvsr_file(tmp_path):
    """Checkpoint of a small MedVSR."""
    small = dict(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2)
    torch.save({'params': MedVSR(**small).state_dict(), 'network_g': {'type': 'MedVSR', **small}}, tmp_path / 'net.pth')
    return tmp_path / 'net.pth'


@pytest.fixture
def clip_folder(tmp_path):
    """Two frames of 70×66, of which whole LQ pixels are 68×64."""
    (tmp_path / 'clip').mkdir()
    for i, frame in enumerate(np.random.default_rng(0).integers(0, 256, (2, 70, 66, 3), np.uint8)):
        cv2.imwrite(str(tmp_path / 'clip' / f'{i:03d}.png'), frame)
    return tmp_path / 'clip'
