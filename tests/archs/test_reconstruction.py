"""How MedVSR's large-kernel blocks lie in memory."""

import pytest
import torch

from basicsr_ssm.archs import reconstruction
from basicsr_ssm.archs.reconstruction import LargeKernelResidualBlocks

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_blocks_work_with_the_channels_last_and_give_the_layout_back(layout, monkeypatch):
    monkeypatch.setattr(reconstruction, 'channels_last_serves', lambda *_: True)
    blocks = LargeKernelResidualBlocks(8, 5, 2)
    seen = []
    for block in blocks:
        block.register_forward_pre_hook(lambda module, x: seen.append(x[0].is_contiguous(memory_format=LAYOUTS[1])))
    x = torch.rand(2, 8, 7, 9).contiguous(memory_format=layout)
    out = blocks(x)
    assert seen == [True, True]
    assert out.is_contiguous(memory_format=layout)
    expected = x
    for block in blocks:
        expected = expected + block.conv2(torch.relu(block.conv1(expected)))
    torch.testing.assert_close(out, expected)


def test_without_blocks():
    x = torch.rand(1, 8, 3, 3)
    assert LargeKernelResidualBlocks(8, 5, 0)(x) is x


@pytest.mark.gpu
@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_the_same_on_a_gpu(layout, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    blocks = LargeKernelResidualBlocks(64, 7, 3).cuda()
    x = torch.rand(1, 64, 45, 60, device='cuda').contiguous(memory_format=layout).requires_grad_()
    results = []
    for forced in ('', 'depthwise_conv2d=reference'):
        monkeypatch.setenv('BASICSR_SSM_BACKEND', forced)
        out = blocks(x)
        assert out.is_contiguous(memory_format=layout)
        results.append((out, *torch.autograd.grad(out.square().mean(), [x, *blocks.parameters()])))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
