"""What a video of many frames costs in memory: no more than one of a few."""

import gc
import os
import tracemalloc
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from basicsr_ssm.inference.restore import restore_clip

SIZE = 24
FRAME_BYTES = 3 * (2 * SIZE) ** 2  # of a restored frame


def resident() -> int:
    """Bytes of this process in memory, those of PyTorch's tensors among them."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_two_thousand_frames_leave_nothing_behind():
    conv = torch.nn.Conv2d(3, 12, 3, padding=1)

    def net(clip):
        return torch.nn.functional.pixel_shuffle(conv(clip[0]), 2)[None]

    source = (np.full((SIZE, SIZE, 3), i % 256, np.uint8) for i in count())
    restored = restore_clip(net, source, segment=10, overlap=4)
    for _ in islice(restored, 500):  # whatever is set up once
        pass
    tracemalloc.start()
    try:
        before, before_python = resident(), tracemalloc.get_traced_memory()[0]
        given = sum(1 for _ in islice(restored, 1500))
        gc.collect()
        grown, grown_python = resident() - before, tracemalloc.get_traced_memory()[0] - before_python
    finally:
        tracemalloc.stop()
    assert given == 1500
    # one frame kept of each ten would be 150 of them
    assert grown_python < 100 * FRAME_BYTES
    assert grown < 500 * FRAME_BYTES
