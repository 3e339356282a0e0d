import numpy as np
import pytest
import torch
from synthetic_video import mark_of, marked_frames
from torch.multiprocessing.reductions import StorageWeakRef

from basicsr_ssm.inference.restore import RestoreError, restore_clip


@pytest.mark.parametrize(('h', 'w', 'scale'), [(6, 8, 2), (5, 7, 3), (1, 1, 4)])
def test_values_and_sizes(enlarge, h, w, scale):
    enlarge.scale = scale
    frames = np.random.default_rng(0).integers(0, 256, (5, h, w, 3), dtype=np.uint8)
    restored = np.stack(list(restore_clip(enlarge, frames, segment=3, overlap=1)))
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, frames.repeat(scale, 1).repeat(scale, 2))


def test_small_frames_for_a_network_that_takes_none(enlarge):
    class Demanding(type(enlarge)):
        def forward(self, lq):
            assert min(lq.shape[3:]) >= 64
            return super().forward(lq)

    for h, w in ((20, 100), (100, 20), (3, 5), (64, 64)):
        frames = np.random.default_rng(0).integers(0, 256, (3, h, w, 3), dtype=np.uint8)
        restored = np.stack(list(restore_clip(Demanding(), frames, segment=2, overlap=1)))
        assert np.array_equal(restored, frames.repeat(2, 1).repeat(2, 2))


def test_a_chunk_is_let_go_before_the_next_one(enlarge, monkeypatch):
    stack, made = torch.stack, []

    def noted(frames):
        assert all(earlier.expired() for earlier in made)
        whole = stack(frames)
        made.append(StorageWeakRef(whole.untyped_storage()))
        return whole

    monkeypatch.setattr('basicsr_ssm.inference.restore.torch.stack', noted)
    assert sum(1 for _ in restore_clip(enlarge, marked_frames(12, 8, 8), segment=4, overlap=1)) == 12
    assert len(made) == 4


def test_a_clip_that_fits_is_restored_as_a_whole(recurrent):
    frames = marked_frames(9, 8, 8)
    restored = list(restore_clip(recurrent, frames, segment=9, overlap=3))
    assert recurrent.calls == [9]
    whole = recurrent(torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 255)[0]
    expected = (whole.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.stack(restored), expected)


def test_more_overlap_comes_closer_to_the_whole_clip(recurrent):
    frames = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    whole = np.stack(list(restore_clip(recurrent, frames, segment=40, overlap=0))).astype(float)
    errors = []
    for overlap in (0, 4, 8, 18):
        chunked = np.stack(list(restore_clip(recurrent, frames, segment=20, overlap=overlap)))
        errors.append(abs(chunked - whole).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 20 and errors[-1] <= 1


def test_frames_stay_in_order_and_memory_bounded(enlarge):
    given = 0

    def frames():
        nonlocal given
        for i in range(45):
            given += 1
            yield marked_frames(1, 8, 8)[0] + np.uint8(5 * i)

    for i, frame in enumerate(restore_clip(enlarge, frames(), segment=7, overlap=2)):
        assert given - i <= 2 * 7
        assert mark_of(frame) == i
    assert i == 44
    assert set(enlarge.calls) == {7}


def test_a_value_that_is_not_finite_names_the_frame(enlarge):
    class Broken(type(enlarge)):
        def forward(self, lq):
            out = super().forward(lq)
            out[:, (lq[0, :, 0, 0, 0] * 255).round() == 20, 0, 1, 1] = float('nan')
            return out

    frames = marked_frames(10, 8, 8)
    frames[:, 0, 0, 0] = np.arange(10) + 13
    kept = []
    with pytest.raises(RestoreError, match='frame 107: .*not finite'):
        kept.extend(restore_clip(Broken(), frames, segment=4, overlap=1, first=100))


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory'),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
)
def test_running_out_of_memory_suggests_a_smaller_segment(enlarge, error):
    class Hungry(type(enlarge)):
        def forward(self, lq):
            raise error

    with pytest.raises(RestoreError, match=r'frames 0 to 5 \(6 of 8x10\).*--segment a smaller number than 6'):
        list(restore_clip(Hungry(), marked_frames(9, 10, 8), segment=6, overlap=0))
    with pytest.raises(RestoreError, match='a single frame'):
        list(restore_clip(Hungry(), marked_frames(9, 10, 8), segment=1, overlap=0))


class Limited(torch.nn.Module):
    """Has memory for so many pixels of all frames together."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels
        self.shapes = []

    def forward(self, lq):
        self.shapes.append((lq.shape[1], *lq.shape[3:]))
        if lq[0, :, 0].numel() > self.pixels:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return lq.repeat_interleave(2, 3).repeat_interleave(2, 4)


def test_tiles_are_put_together(enlarge):
    frames = np.random.default_rng(0).integers(0, 256, (5, 100, 170, 3), dtype=np.uint8)
    net = Limited(3 * 80 * 80)
    restored = np.stack(list(restore_clip(net, frames, segment=3, overlap=1, tile=80)))
    assert np.array_equal(restored, frames.repeat(2, 1).repeat(2, 2))
    assert set(net.shapes) == {(3, 68, 74)}


def test_where_memory_does_not_suffice_tiles_become_smaller_and_stay_so(caplog):
    frames = np.random.default_rng(0).integers(0, 256, (7, 150, 260, 3), dtype=np.uint8)
    net = Limited(3 * 80 * 80)
    restored = np.stack(list(restore_clip(net, frames, segment=3, overlap=1, smaller_tiles=True)))
    assert np.array_equal(restored, frames.repeat(2, 1).repeat(2, 2))
    sizes = [shape[1:] for shape in net.shapes]
    assert sizes[:2] == [(150, 260), (134, 132)] and set(sizes[2:]) == {(70, 68)}
    assert [record.getMessage() for record in caplog.records] == [
        'cpu ran out of memory on frames 0 to 2 (3 of 260x150); going on with tiles of 144 pixels',
        'cpu ran out of memory on frames 0 to 2 (3 of 260x150 in tiles of 144); going on with tiles of 80 pixels',
    ]


def test_the_smallest_tiles_are_the_end_of_that():
    with pytest.raises(RestoreError, match=r'3 of 200x90 in tiles of 64\); give --segment a smaller number than 3$'):
        list(restore_clip(Limited(100), marked_frames(4, 90, 200), segment=3, overlap=1, smaller_tiles=True))


def test_a_tile_that_was_asked_for_is_not_made_smaller():
    net = Limited(100)
    with pytest.raises(RestoreError, match='smaller number than 3 or give --tile 64'):
        list(restore_clip(net, marked_frames(4, 90, 200), segment=3, overlap=1, tile=128))
    assert len(net.shapes) == 1
    with pytest.raises(RestoreError, match='frames 0 to 0 .1 of 200x90.; give --tile 112'):
        list(restore_clip(net, marked_frames(4, 90, 200), segment=1, overlap=0))


def test_another_error_of_the_network_stays_what_it_is(enlarge):
    class Faulty(type(enlarge)):
        def forward(self, lq):
            raise RuntimeError('shapes do not match')

    with pytest.raises(RuntimeError, match='shapes do not match'):
        list(restore_clip(Faulty(), marked_frames(2, 8, 8)))


def test_a_network_that_is_no_video_super_resolution_is_named():
    class Single(torch.nn.Module):
        def forward(self, lq):
            return lq[:, 0]

    with pytest.raises(RestoreError, match=r'Single made \(1, 3, 64, 64\) of \(1, 2, 3, 64, 64\)'):
        list(restore_clip(Single(), marked_frames(2, 8, 8)))


def test_bf16_is_used_and_close(enlarge):
    class Convolve(type(enlarge)):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 1)
            torch.nn.init.dirac_(self.conv.weight)
            torch.nn.init.zeros_(self.conv.bias)

        def forward(self, lq):
            out = self.conv(lq[0])
            self.seen = out.dtype
            return super().forward(out[None])

    net = Convolve()
    frames = marked_frames(3, 8, 8)
    restored = np.stack(list(restore_clip(net, frames, dtype=torch.bfloat16)))
    assert net.seen == torch.bfloat16
    assert abs(restored[:, ::2, ::2].astype(int) - frames).max() <= 1


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_same(recurrent):
    frames = marked_frames(20, 8, 8)
    cpu = list(restore_clip(recurrent, frames, segment=8, overlap=4))
    gpu = list(restore_clip(recurrent.cuda(), frames, segment=8, overlap=4, device='cuda'))
    assert abs(np.stack(cpu).astype(int) - np.stack(gpu)).max() <= 1
