"""Which GPUs Triton serves."""

import pytest

from basicsr_ssm.ops import triton_support


@pytest.mark.parametrize('capability, served', [((7, 5), False), ((8, 0), True), ((8, 9), True), ((10, 0), True)])
def test_gpus_too_old(capability, served, monkeypatch):
    monkeypatch.setattr(triton_support, '_capability', lambda index: capability)
    found = triton_support._too_old(0)
    assert found is None if served else found == 'a GPU of compute capability 7.5, 8.0 or later needed'
