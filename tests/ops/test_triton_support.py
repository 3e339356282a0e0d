"""Which GPUs Triton serves."""

import pytest

from basicsr_ssm.ops import triton_support


@pytest.mark.parametrize('capability, served', [((7, 5), False), ((8, 0), True), ((8, 9), True), ((10, 0), True)])
def test_gpus_too_old(capability, served, monkeypatch):
    monkeypatch.setattr(triton_support, '_capability', lambda index: capability)
    found = triton_support._too_old(0)
    assert found is None if served else found == 'a GPU of compute capability 7.5, 8.0 or later needed'


@pytest.mark.parametrize('capabilities, served', [([(7, 5)], False), ([(7, 5), (9, 0)], True), ([(8, 0)], True)])
def test_no_call_at_all_is_served_where_all_gpus_are_too_old(capabilities, served, monkeypatch):
    monkeypatch.setattr(triton_support, 'why_not_at_all', lambda: None)
    monkeypatch.setattr(triton_support.torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(triton_support.torch.cuda, 'device_count', lambda: len(capabilities))
    monkeypatch.setattr(triton_support, '_capability', lambda index: capabilities[index])
    found = triton_support.why_not()
    assert found is None if served else 'compute capability 7.5' in found
