import itertools
import weakref

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basicsr_ssm.archs import MedVSR
from basicsr_ssm.segments.tiles import ALIGNMENT, LEAST_TILE, in_tiles, smaller_tile, tiles_of, usual_tile_overlap


class Reaching(torch.nn.Module):
    """Enlarges the largest value within ``reach`` pixels, which no order of summation can change."""

    def __init__(self, reach, scale=2):
        super().__init__()
        self.reach, self.scale = reach, scale
        self.shapes = []

    def forward(self, clip):
        self.shapes.append(tuple(clip.shape[-2:]))
        size = 2 * self.reach + 1
        out = F.max_pool2d(clip.flatten(0, -4), size, stride=1, padding=self.reach)
        return out.unflatten(0, clip.shape[:-3]).repeat_interleave(self.scale, -2).repeat_interleave(self.scale, -1)


@pytest.mark.parametrize(('size', 'overlap'), [(64, 16), (64, 0), (64, 32), (80, 17), (100, 30), (256, 64)])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (64, 65), (70, 300), (144, 181), (1080, 1920)])
def test_each_pixel_once_from_the_tile_that_holds_it_deepest(height, width, size, overlap):
    tiles = tiles_of(height, width, size, overlap)
    kept = np.zeros((height, width), int)
    for tile in tiles:
        kept[tile.kept_rows, tile.kept_columns] += 1
    assert kept.min() == kept.max() == 1
    # One shape, starts in step with windows, and no pixel beyond the frame.
    assert len({(t.rows.stop - t.rows.start, t.columns.stop - t.columns.start) for t in tiles}) == 1
    for side, spans in (
        (height, [(t.rows, t.kept_rows) for t in tiles]),
        (width, [(t.columns, t.kept_columns) for t in tiles]),
    ):
        spans = sorted({(s.start, s.stop, k.start, k.stop) for s, k in spans})
        assert spans[0][0] == 0 and spans[-1][1] == side and all(start % ALIGNMENT == 0 for start, *_ in spans)
        assert spans[0][1] in range(min(side, size - ALIGNMENT + 1), size + 1)
        for one, other in itertools.pairwise(spans):
            assert one[1] - other[0] >= overlap and one[3] == other[2]
            assert abs((one[1] - one[3]) - (other[2] - other[0])) <= 1  # as deep in the one as in the other


@pytest.mark.parametrize('reach', [0, 3, 16])
@pytest.mark.parametrize(('height', 'width'), [(70, 64), (150, 90), (97, 209)])
def test_what_a_network_sees_within_half_the_overlap_is_exactly_the_same(height, width, reach):
    clip = torch.rand(1, 2, 3, height, width)
    net = Reaching(reach)
    whole = net(clip)
    net.shapes.clear()
    assert torch.equal(in_tiles(net, clip, 64, 32), whole)
    assert len(net.shapes) > 1 and len(set(net.shapes)) == 1
    assert max(net.shapes[0]) <= 64


def test_a_network_that_sees_farther_differs_at_seams_only():
    clip = torch.rand(1, 1, 1, 64, 112)
    net = Reaching(20)
    wrong = (in_tiles(net, clip, 64, 16) != net(clip)).flatten(0, 3).any(0)
    kept = [tile.kept_columns for tile in tiles_of(64, 112, 64, 16)]
    assert [k.start for k in kept] == [0, 56]
    columns = torch.nonzero(wrong).flatten() // 2
    assert len(columns) and columns.min() >= 56 - (20 - 8) and columns.max() < 56 + (20 - 8)


def test_frames_that_fit_are_not_cut():
    net = Reaching(3)
    clip = torch.rand(1, 2, 3, 64, 60)
    assert torch.equal(in_tiles(net, clip, 64), net(clip)) and set(net.shapes) == {(64, 60)}
    in_tiles(net, torch.rand(1, 1, 1, 300, 200), 0)
    assert net.shapes[-1] == (300, 200)


@pytest.mark.parametrize(('size', 'overlap'), [(64, -1), (64, 33), (16, 0)])
def test_impossible_settings(size, overlap):
    with pytest.raises(ValueError, match='overlap must be'):
        tiles_of(100, 100, size, overlap)


def test_halves_end_at_the_least_tile():
    sizes = [0]
    while (size := smaller_tile(1080, 1920, sizes[-1])) is not None:
        sizes.append(size)
    assert sizes == [0, 960, 480, 240, 128, 64]
    assert smaller_tile(100, 100, 500) == LEAST_TILE  # half of the frame, not of a tile that is larger
    assert smaller_tile(64, 40, 0) is None
    assert smaller_tile(65, 40, 0) == smaller_tile(500, 500, 96) == LEAST_TILE  # not half, which is too small
    assert all(usual_tile_overlap(size) <= size - 2 * ALIGNMENT for size in range(LEAST_TILE, 600))


def test_a_tile_is_let_go_before_the_next_one():
    made = []

    def restore(part):
        assert all(earlier() is None for earlier in made)
        enlarged = part.repeat_interleave(2, -1).repeat_interleave(2, -2)
        made.append(weakref.ref(enlarged))
        return enlarged

    assert in_tiles(restore, torch.rand(2, 3, 200, 150), 96).shape == (2, 3, 400, 300)
    assert len(made) > 2


def test_medvsr_in_tiles_is_the_whole_where_the_overlap_reaches_across_a_window():
    """An untrained network without motion: its convolutions reach a few pixels, a window spreads that over 16."""
    net = MedVSR(mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, rec_ks=3, scale=2).eval()
    clip = F.interpolate(torch.rand(2, 3, 8, 20), scale_factor=8, mode='bicubic')[None].clamp(0, 1)
    with torch.inference_mode():
        whole = net(clip)
        errors = [float((in_tiles(net, clip, 80, overlap) - whole).abs().max()) for overlap in (0, 48)]
    assert errors[0] > 0.05 and errors[1] < 1e-6
