import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.report import report_command
from basicsr_ssm.tables.report.frames import Chosen, choose, picture
from basicsr_ssm.tables.report.gather import Compared, Method
from basicsr_ssm.tables.report.page import as_html
from basicsr_ssm.tables.results.results import Results


def compared(values, bicubic=None, lower=()):
    """One model with these values of 'm' by clip and frame, and bicubic."""

    def method(name, by_clip, results):
        by_frame = {clip: {'m': list(its)} for clip, its in by_clip.items()}
        return Method(name, {clip: {'m': float(np.mean(its))} for clip, its in by_clip.items()}, by_frame, results)

    methods = [method('bicubic', bicubic, None)] if bicubic else []
    methods.append(method('net', values, Results('net', None, {}, {}, {}, {})))
    return Compared('set', ['m'], set(lower), methods, sorted(values), None)


def noise(h, w):
    return np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8)


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def test_gain_where_less_is_better(monkeypatch):
    monkeypatch.setattr(Results, 'pictures', lambda *a: [])
    values, bicubic = {'a': [1.0, 5.0, 2.0]}, {'a': [3.0, 3.0, 3.0]}
    chosen = choose(compared(values, bicubic, lower='m'), None)
    assert chosen == [
        Chosen('a', 0, 'largest gain of net'),
        Chosen('a', 1, 'middle frame, smallest gain of net'),
    ]


def test_without_bicubic_values_themselves_rank(monkeypatch):
    monkeypatch.setattr(Results, 'pictures', lambda *a: [])
    values = {'a': [4.0, 1.0, float('inf')], 'b': [2.0, 2.0, 2.0], 'c': [3.0, 9.0]}
    assert choose(compared(values), None) == [
        Chosen('a', 1, 'worst M of net'),
        Chosen('b', 1, 'middle frame'),
        Chosen('c', 1, 'best M of net'),
    ]


def test_clips_of_other_lengths_have_no_gain(monkeypatch):
    """A test of the middle frame alone, for one."""
    monkeypatch.setattr(Results, 'pictures', lambda *a: [])
    chosen = choose(compared({'a': [4.0], 'b': [2.0, 3.0, 4.0]}, {'a': [4.0, 1.0, 2.0], 'b': [2.0, 2.0, 2.0]}), None)
    assert [(one.clip, one.frame) for one in chosen] == [('b', 0), ('b', 1), ('b', 2)]


def test_large_frames_are_cropped_alike_to_where_the_detail_is():
    truth = np.full((90, 200, 3), 128, np.uint8)
    truth[40:60, 110:140] = noise(20, 30)
    truth[:20, :8] = noise(20, 8)  # as text at the margin
    versions = {'net': truth // 2, 'ground truth': truth}
    whole = picture(compared({'a': [1.0]}), Chosen('a', 0, ''), versions, 200)
    np.testing.assert_array_equal(decoded(whole.versions['ground truth']), truth)
    assert (whole.size, whole.whole, whole.corner) == ((90, 200), (90, 200), (0, 0))
    assert 40 <= whole.detail[0] < 60 and 110 <= whole.detail[1] < 140
    part = picture(compared({'a': [1.0]}), Chosen('a', 0, ''), versions, 64)
    y, x = part.corner
    assert part.size == (64, 64) and part.whole == (90, 200) and y <= 26 and 76 <= x <= 110
    for name, image in versions.items():
        np.testing.assert_array_equal(decoded(part.versions[name]), image[y : y + 64, x : x + 64])
    assert part.values == {'net': {'m': 1.0}}


def test_frames_shrink_until_the_page_fits():
    sets = [compared({'a': [1.0]})]
    frames = [[(Chosen('a', 0, ''), {'net': noise(300, 400)})]]
    page, side = report_command._page_that_fits(sets, frames, 1)
    assert side == 1024 and b'of 400' not in page
    page, side = report_command._page_that_fits(sets, frames, 0.2)
    assert side == 192 and len(page) <= 200_000 and '192×192 of 400×300 pixels'.encode() in page
    with pytest.raises(
        UserError, match=r'0.0\d* MB|0.\d MB with frames cropped to 64 pixels, more than --max-size 0.02'
    ):
        report_command._page_that_fits(sets, frames, 0.02)


@pytest.mark.parametrize('h, w, width', [(600, 16, 16), (16, 600, 600), (200, 90, 450), (64, 96, 768)])
def test_small_frames_are_enlarged_to_no_more_than_a_screen(h, w, width):
    shown = picture(compared({'a': [1.0]}), Chosen('a', 0, ''), {'net': noise(h, w)}, 1024)
    assert f'--width:{width}px;--ratio:{w}/{h}' in as_html([(compared({'a': [1.0]}), [shown])])


def test_lines_of_many_models_differ():
    one = compared({'a': [1.0, 2.0]})
    names = [f'net{i}' for i in range(20)]
    one.methods[:] = [replace(one.methods[0], name=name) for name in names]
    text = as_html([(one, [])])
    looks = [
        re.findall(f'<{tag} [^>]*?(stroke=[^>]*)/>', text.split('</style>')[1])
        for tag in ('polyline', 'path d="M0 2H26"')
    ]
    assert len(set(looks[0])) == 20 and looks[0] == looks[1]
    assert looks[0][0] == 'stroke="#0072b2"' and looks[0][7] == 'stroke="#0072b2" stroke-dasharray="7 3"'
