import weakref

import pytest
import torch

from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.memory_plan import GIB, RESERVE, MemoryModel, measured_on_gpu, plan, worth_copies

MIB = 2**20


def needs(frames, height, width):
    """A network with 100 MiB of weights, 4 kB a pixel to work with and 1 kB for each pixel of each frame."""
    return 100 * MIB + height * width * (4096 + 1024 * frames)


def test_a_network_of_the_form_is_found_exactly():
    model = MemoryModel.measured(lambda frames, side: needs(frames, side, side), 50)
    assert model == MemoryModel(100 * MIB, 4096, 1024)
    assert model.bytes_for(40, 1080, 1920) == needs(40, 1080, 1920)


def test_work_on_one_frame_or_results_of_all_whichever_is_more():
    """Exact for as many frames as were tried, on the safe side for fewer."""

    def peak(frames, side):
        return side**2 * max(10000 + 1000 * frames, 1500 * frames)

    model = MemoryModel.measured(peak, 50)
    assert model.bytes_for(50, 512, 512) == pytest.approx(peak(50, 512))
    assert all(peak(t, 512) <= model.bytes_for(t, 512, 512) * 1.000001 <= 1.3 * peak(t, 512) for t in range(2, 50))


def test_one_frame_at_a_time():
    model = MemoryModel.measured(lambda frames, side: needs(frames, side, side), 1)
    assert model.bytes_for(1, 512, 512) == needs(1, 512, 512)


def test_a_trial_that_needs_less_for_more_gives_no_credit():
    model = MemoryModel.measured(lambda frames, side: 1000 * MIB - frames * side, 50)
    assert min(model.fixed, model.each_pixel, model.each_frame_and_pixel) == 0
    assert model.bytes_for(3, 64, 64) >= 999 * MIB


@pytest.mark.parametrize(('height', 'width'), [(144, 180), (512, 512), (1080, 1920)])
@pytest.mark.parametrize('limit', [0.5, 2, 24, 200])
def test_the_longest_segment_then_the_largest_tile(height, width, limit):
    model = MemoryModel.measured(lambda frames, side: needs(frames, side, side), 50)
    segment, tile = plan(model, limit * GIB, height, width, range(50, 0, -1))

    def fits(segment, tile):
        tile = tile or max(height, width)
        return needs(segment, min(tile, height), min(tile, width)) <= (1 - RESERVE) * limit * GIB

    assert fits(segment, tile)
    assert segment == 50 or not fits(segment + 1, 64)
    assert tile == 0 or not fits(segment, tile + 16 if tile + 16 < max(height, width) else 0)


def test_what_the_user_fixed_stays():
    model = MemoryModel(0, 0, 1024)
    assert plan(model, GIB, 1080, 1920, [50], None)[0] == 50
    assert plan(model, GIB, 1080, 1920, range(50, 0, -1), 512) == (3, 512)
    assert plan(model, GIB, 256, 256, range(10, 0, -1), 0) == (10, 0)


@pytest.mark.parametrize(
    ('segments', 'tile', 'message'),
    [
        (
            range(50, 0, -1),
            None,
            r'--max-memory 0\.05: for 1 frame of 1920x1080 at a time in tiles of 64 .* 0\.13 GiB',
        ),
        ([50], 0, r'for 50 frames of 1920x1080 at a time in whole frames the network needs about 118\.76 GiB'),
    ],
)
def test_what_does_not_fit_says_what_is_needed(segments, tile, message):
    model = MemoryModel.measured(lambda frames, side: needs(frames, side, side), 50)
    with pytest.raises(UserError, match=message):
        plan(model, 0.05 * GIB, 1080, 1920, segments, tile)


def test_copies_are_worth_longer_segments_and_much_larger_tiles():
    size = 512, 512
    assert worth_copies((50, 96), (50, 0), *size)
    assert worth_copies((20, 0), (50, 96), *size)
    assert not worth_copies((50, 96), (20, 0), *size)
    assert not worth_copies((50, 0), (50, 0), *size)
    assert not worth_copies((50, 320), (50, 336), *size)
    assert not worth_copies((1, 0), (1, 64), 64, 64)


@pytest.fixture
def pretended_gpu(monkeypatch):
    """torch.cuda as far as it is asked here: 80 GiB, and memory that a network says it takes."""
    caps = []
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: type('', (), {'total_memory': 80 * GIB}))

    def set_fraction(share, device=None):
        assert isinstance(share, float) and (device is None or isinstance(device, int))  # no device without index
        caps.append(share)

    monkeypatch.setattr(torch.cuda, 'set_per_process_memory_fraction', set_fraction)
    for name in ('empty_cache', 'reset_peak_memory_stats', 'synchronize'):
        monkeypatch.setattr(torch.cuda, name, lambda *args: None)
    return caps


def test_trials_on_a_gpu(pretended_gpu, monkeypatch):
    shapes = []
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: needs(shapes[-1][1], *shapes[-1][3:]))
    model = measured_on_gpu(lambda clip: shapes.append(clip.shape), torch.device('cpu'), torch.float32, 20 * GIB, 50)
    assert model == MemoryModel(100 * MIB, 4096, 1024)
    assert pretended_gpu == [0.25]
    assert [tuple(shape[1::2]) for shape in shapes] == [(1, 128), (2, 96), (50, 96), (50, 128)]


def test_trials_with_features_on_the_cpu_hold_one_result_at_a_time(pretended_gpu, monkeypatch):
    class Network:
        cpu_cache_length, held, shapes = 0, [], []

        def frames(self, clip):
            self.shapes.append(clip.shape)
            for i in range(clip.shape[1]):
                frame = torch.empty(3)
                self.held.append(weakref.ref(frame))
                assert sum(v() is not None for v in self.held) <= 2, i
                yield frame
                del frame

    net = Network()
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: needs(1, *net.shapes[-1][3:]))
    model = measured_on_gpu(net, torch.device('cpu'), torch.float32, 20 * GIB, 50)
    assert model == MemoryModel(100 * MIB, 5120, 0)
    assert [tuple(shape[1::2]) for shape in net.shapes] == [(1, 128), (2, 96), (50, 96), (50, 128)]


def test_trials_that_do_not_fit(pretended_gpu):
    def net(clip):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(UserError, match=r'--max-memory 0\.1: .*trial on 50 frames of 128x128; give --segment'):
        measured_on_gpu(net, torch.device('cpu'), torch.float32, 0.1 * GIB, 50)


@pytest.mark.gpu
def test_a_convolution_stays_within_its_plan():
    net = torch.nn.Sequential(torch.nn.Flatten(0, 1), torch.nn.Conv2d(3, 64, 3, padding=1)).cuda()
    limit = 2 * GIB
    try:
        model = measured_on_gpu(net, torch.device('cuda'), torch.float32, limit, 50)
        segment, tile = plan(model, limit, 1080, 1920, range(50, 0, -1))
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            net(torch.rand(1, segment, 3, tile, tile, device='cuda'))
        assert (1 - 3 * RESERVE) * limit < torch.cuda.max_memory_allocated() <= limit
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
