import pytest
import torch

from basicsr_ssm.ops import autocast
from basicsr_ssm.ops.autocast import autocast_dtype


@pytest.fixture(params=['by device', 'torch 2.3'])
def release(request, monkeypatch):
    if request.param == 'torch 2.3':
        monkeypatch.setattr(autocast, '_BY_DEVICE', False)
    elif not autocast._BY_DEVICE:
        pytest.skip('torch 2.4 needed')


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_dtype(release, dtype):
    assert autocast_dtype('cpu') is None and autocast_dtype('cuda') is None
    with torch.autocast('cpu', dtype):
        assert autocast_dtype('cpu') == dtype and autocast_dtype('cuda') is None
        with torch.autocast('cpu', enabled=False):
            assert autocast_dtype('cpu') is None
