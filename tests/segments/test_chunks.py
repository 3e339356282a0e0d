import itertools

import pytest

from basicsr_ssm.segments.chunks import overlapping_chunks

LENGTHS = (1, 2, 3, 5, 7, 8, 9, 13, 30, 31, 64)


@pytest.mark.parametrize('segment', [1, 2, 3, 5, 8, 30])
def test_each_frame_once_in_order_from_the_chunk_that_holds_it_deeper(segment):
    for length, overlap in itertools.product(LENGTHS, range(min(segment, 9))):
        chunks = list(overlapping_chunks(range(length), segment, overlap))
        assert all(chunk.frames == list(range(chunk.first, chunk.first + len(chunk.frames))) for chunk in chunks)
        assert [frame for chunk in chunks for frame in chunk.frames[chunk.keep]] == list(range(length))
        # Every chunk is as long as the others, and neighbours share at least what was asked for.
        assert {len(chunk.frames) for chunk in chunks} == {min(length, segment)}
        for one, other in itertools.pairwise(chunks):
            assert one.first < other.first <= one.first + segment - overlap
            for frame in set(one.frames) & set(other.frames):
                to_start, to_end = frame - other.first, one.frames[-1] - frame
                assert frame not in one.frames[one.keep] or to_end >= to_start
                assert frame not in other.frames[other.keep] or to_start >= to_end


@pytest.mark.parametrize('length', [0, 1, 7, 8])
def test_a_clip_that_fits_is_one_chunk(length):
    chunks = list(overlapping_chunks(range(length), 8, 3))
    assert [(c.frames, c.first, c.keep) for c in chunks] == (
        [(list(range(length)), 0, slice(0, length))] if length else []
    )


def test_an_endless_clip_is_read_only_as_far_as_needed():
    read = []

    def frames():
        for i in itertools.count():
            read.append(i)
            yield i

    given = 0
    for chunk in itertools.islice(overlapping_chunks(frames(), 10, 4), 50):
        given += len(chunk.frames[chunk.keep])
        assert len(read) - chunk.first <= 2 * 10 - 4
    assert given > 290


@pytest.mark.parametrize(('segment', 'overlap'), [(0, 0), (5, 5), (5, -1)])
def test_impossible_settings(segment, overlap):
    with pytest.raises(ValueError, match='overlap'):
        list(overlapping_chunks([1], segment, overlap))
