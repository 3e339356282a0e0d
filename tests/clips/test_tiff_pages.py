import struct

import cv2
import numpy as np
import pytest

from basicsr_ssm.clips.folder_source import read_image
from basicsr_ssm.clips.frame_source import DamagedSourceError
from basicsr_ssm.clips.tiff_pages import count_pages

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)
# size 8 x 8, 8 bits, not compressed, black is 0, one strip of 64 rows at byte 16
PAGE = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 16), (278, 3, 64), (279, 4, 64)]


def tiff(*pages, order='<', big=False, back_to=None):
    """A file whose image file directories hold these (tag, type, value); the last leads back to one of them."""
    mark = {'<': b'II', '>': b'MM'}[order]
    offset, count, size = ('Q', 'Q', 20) if big else ('I', 'H', 12)
    lengths = [struct.calcsize(f'={count}{offset}') + size * len(page) for page in pages]
    starts = [16 + 64 + sum(lengths[:i]) for i in range(len(pages))]
    starts.append(0 if back_to is None else starts[back_to])
    head = struct.pack(f'{order}HHHQ', 43, 8, 0, starts[0]) if big else struct.pack(f'{order}HI', 42, starts[0])
    content = (mark + head).ljust(16, b'\0') + GRAY.tobytes()
    for page, following in zip(pages, starts[1:], strict=True):
        content += struct.pack(order + count, len(page))
        for tag, kind, value in sorted(page):
            packed = struct.pack(order + {3: 'H', 4: 'I'}[kind], value).ljust(struct.calcsize(f'={offset}'), b'\0')
            content += struct.pack(f'{order}HH{offset}', tag, kind, 1) + packed
        content += struct.pack(order + offset, following)
    return content


KINDS = pytest.mark.parametrize('order, big', [('<', False), ('>', False), ('<', True), ('>', True)])


@KINDS
@pytest.mark.parametrize('kind', [3, 4])
def test_thumbnails_and_masks_are_no_pages(tmp_path, order, big, kind):
    path = tmp_path / '1.tif'
    for value in (1, 4, 5):
        content = tiff(PAGE, [*PAGE, (254, kind, value)], order=order, big=big)
        assert count_pages(content) == 1
        path.write_bytes(content)
        assert np.array_equal(read_image(path, 0)[..., 0], GRAY)
    for value in (0, 2):  # nothing, or a page of many
        content = tiff(PAGE, [*PAGE, (254, kind, value)], [*PAGE, (254, kind, 1)], PAGE, order=order, big=big)
        assert count_pages(content) == 3
        path.write_bytes(content)
        with pytest.raises(DamagedSourceError, match=r'1\.tif, frame 4: holds 3 pages, where one image is expected'):
            read_image(path, 4)


@KINDS
def test_chains_that_lead_back_or_nowhere_end(order, big):
    assert count_pages(tiff(PAGE, PAGE, order=order, big=big, back_to=0)) == 2
    assert count_pages(tiff(PAGE, order=order, big=big, back_to=0)) == 1
    whole = tiff(PAGE, PAGE, order=order, big=big)
    counts = [count_pages(whole[:length]) for length in range(len(whole) + 1)]
    assert counts == sorted(counts) and counts[-2:] == [1, 2]
    head = whole[: 8 if big else 4]
    assert count_pages(head + b'\xff' * 100) == 0


def test_other_files_have_none():
    assert count_pages(b'') == count_pages(b'II') == 0
    assert count_pages(cv2.imencode('.png', GRAY)[1].tobytes()) == 0
    assert count_pages(cv2.imencode('.tif', GRAY)[1].tobytes()) == 1
