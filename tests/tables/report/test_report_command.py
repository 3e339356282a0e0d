"""The page, read without a browser."""

import errno
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from basicsr.utils import tensor2img
from report_page import Page, edit, report
from report_results import CLIPS
from tiny_training import N_FRAMES, made_up_clip

from basicsr_ssm.tables.comparison import bicubic_per_frame, upsampled


def both():
    return ['results/one', 'results/two']


def test_page_needs_no_other_file_and_escapes_names(results):
    text = report(*both())
    page = Page(text)
    assert page.fetched and all(url.startswith('data:image/png;base64,') for url in page.fetched)
    rest = re.sub(r'data:image/png;base64,[\w+/=]*', '', text)
    for address in ('http:', 'https:', '"//', 'url(', '@import', 'import(', 'fetch('):
        assert address not in rest, address
    assert CLIPS[1] not in text and CLIPS[1] in page.text and 'set <1>' in page.text
    assert list(results.parent.glob('out/.*')) == []


def test_images_are_the_exact_pixels(results):
    page = Page(report(*both(), '--frames', f'{CLIPS[1]}:2'))
    lq, gt = made_up_clip(1001)
    saved = [
        cv2.imread(str(results / name / 'visualization/set <1>' / CLIPS[1] / f'00000002_{name}.png'))
        for name in ('one', 'two')
    ]
    expected = {'bicubic': upsampled(lq[2], 2), 'one': saved[0], 'two': saved[1], 'ground truth': tensor2img([gt[2]])}
    assert list(page.images) == [f'{name}: {CLIPS[1]}, frame 2' for name in expected]
    for shown, image in zip(page.images.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(shown, image)


def test_table(results):
    rows = {row[0]: row[1:] for row in Page(report(*both())).rows}
    assert rows['bicubic'] == ['one', 'two', 'bicubic', 'one', 'two']
    metrics = {name: json.loads((results / name / 'metrics.json').read_text())['set <1>'] for name in ('one', 'two')}
    for clip in [*CLIPS, 'mean']:
        bicubic = float(rows[clip][0])
        for i, name in enumerate(('one', 'two')):
            value, gain = rows[clip][1 + i].split()
            assert value == f'{metrics[name][clip]["psnr"]:.2f}'
            assert float(gain.replace('−', '-')) == pytest.approx(float(value) - bicubic, abs=0.011)
            assert rows[clip][4 + i].split()[0] == f'{metrics[name][clip]["ssim"]:.4f}'


def test_best_is_bold(results):
    path = results / 'two/metrics.json'
    metrics = json.loads(path.read_text())
    metrics['set <1>'][CLIPS[0]] = {'psnr': 'inf', 'ssim': 0.99}
    metrics['set <1>'][CLIPS[2]] = {'psnr': 1.0, 'ssim': 'nan'}
    path.write_text(json.dumps(metrics))
    text = report(*both())
    bold = [part.split('</b>')[0] for part in text.split('</tbody>')[0].split('<b>')[1:]]
    assert bold[2:4] == ['∞', '0.9900'] and len(bold) == 6 and '>–</td>' in text  # the clips are sorted


def test_default_frames_are_the_middle_and_the_extremes_of_gain(results):
    text = report(*both())
    by_frame = json.loads((results / 'two/metrics_per_frame.json').read_text())['set <1>']
    metrics = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
    gains = {}
    for i, clip in enumerate(CLIPS):
        lq, gt = made_up_clip(1000 + i)
        bicubic = bicubic_per_frame([{'folder': clip, 'lq': lq, 'gt': gt}], metrics, 2)[clip]['psnr']
        gains |= {(clip, f): by_frame[clip]['psnr'][f] - bicubic[f] for f in range(N_FRAMES)}
    reasons = {(sorted(CLIPS)[1], 1): ['middle frame']}
    for word, extreme in (('largest', max), ('smallest', min)):
        reasons.setdefault(extreme(gains, key=gains.get), []).append(f'{word} gain of two')
    shown = ''.join(Page(text).text)
    for (clip, frame), why in reasons.items():
        assert f'{clip} frame {frame}, {", ".join(why)}' in shown
    assert text.count('<article') == len(reasons)


def test_frames_of_ones_own(results, capsys):
    page = Page(report('results/one', '--frames', 'clip:1:0', 'a b:2'))
    assert list(dict.fromkeys(alt.split(': ', 1)[1] for alt in page.images)) == ['a b, frame 2', 'clip:1, frame 0']
    assert 'largest gain of one' in ''.join(Page(report('results/one', '--frames', 'clip:1')).text)
    capsys.readouterr()
    report('results/one', '--frames', 'clib:0', status=2)
    assert '--frames clib:0: no clip clib; there are, among 3: clip:1' in capsys.readouterr().err
    report('results/one', '--frames', 'a b:3', status=2)
    assert '--frames a b:3: a b has 3 frames, from 0 to 2' in capsys.readouterr().err


def test_curves_have_every_value(results):
    text = report(*both())
    by_frame = json.loads((results / 'one/metrics_per_frame.json').read_text())['set <1>']
    seen = []

    class Curves(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if dict(attrs).get('class') == 'curve':
                seen.append(json.loads(dict(attrs)['data-values']))

    Curves().feed(text)
    clips = sorted(CLIPS)
    assert [values['one'] for values in seen[:3]] == [[f'{v:.2f}' for v in by_frame[clip]['psnr']] for clip in clips]
    assert [values['one'] for values in seen[3:]] == [[f'{v:.4f}' for v in by_frame[clip]['ssim']] for clip in clips]
    assert all(list(values) == ['bicubic', 'one', 'two'] for values in seen)


# ---------------------------------------------------------------- gaps, and what is damaged


def test_clips_of_some_models_are_shown_with_gaps(results, capsys):
    for name in ('metrics.json', 'metrics_per_frame.json'):
        edit(results / 'two' / name, lambda content: content['set <1>'].pop('a b'))
    page = Page(report(*both()))
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows['a b'][2] == '–' and rows['a b'][1] != '–'
    mean = np.mean([float(rows[clip][1].split()[0]) for clip in CLIPS if clip != 'a b'])
    assert float(rows['mean'][1].split()[0]) == pytest.approx(mean, abs=0.011)
    printed = capsys.readouterr().err
    for notice in ('two was not tested on a b.', 'Means are of the 2 of 3 clips that all methods have.'):
        assert notice in page.text and f'set <1>: {notice}' in printed


def test_data_set_of_one_model(results):
    for name in ('metrics.json', 'metrics_per_frame.json'):
        edit(results / 'two' / name, lambda content: content.update(other=content.pop('set <1>')))
    edit(results / 'two/options.json', lambda opt: opt['datasets']['test'].update(name='other'))
    (results / 'two/visualization/set <1>').rename(results / 'two/visualization/other')
    page = Page(report(*both()))
    assert 'two has no results on set <1>.' in page.text and 'one has no results on other.' in page.text
    assert sum(alt.startswith('two: ') for alt in page.images) >= 2


def test_without_saved_images_there_are_table_and_curves(results, capsys):
    shutil.rmtree(results / 'one/visualization')
    notice = 'No images were saved by one (val: save_img: true saves them).'
    page = Page(report(*both()))
    assert notice in page.text and f'set <1>: {notice}' in capsys.readouterr().err
    assert {alt.split(':')[0] for alt in page.images} == {'bicubic', 'two', 'ground truth'}
    shutil.rmtree(results / 'two/visualization')
    page = Page(report(*both()))
    assert page.images == {} and 'Frames' not in page.text and 'PSNR (dB) of every frame' in page.text


def test_results_of_older_tests(results):
    """Without per-frame metrics and options: the table, and the middle frame as it was saved."""
    for name in ('one', 'two'):
        for file in ('metrics_per_frame.json', 'options.json'):
            (results / name / file).unlink()
    page = Page(report(*both()))
    text = ''.join(page.text)
    assert 'one has no metrics_per_frame.json' in text and 'of every frame' not in text
    assert 'Without bicubic and ground truth: the clips of the test could not be opened.' in page.text
    assert len(page.images) == 2 and 'frame 1, middle frame' in text and 'gain over bicubic' not in text


def test_option_file_in_place_of_the_kept_options(results, tested, monkeypatch):
    (results / 'one/options.json').unlink()
    page = Page(report('results/one', '-opt', str(tested.parent / 'tiny.yml')))
    assert 'bicubic' in {alt.split(':')[0] for alt in page.images}


def test_clips_that_have_moved(results, capsys):
    opt = {'type': 'MedicalClipTestDataset', 'name': 'set <1>', 'dataroot_lq': 'secret/lq', 'scale': 2}
    opt['io_backend'] = {'type': 'disk'}
    edit(results / 'one/options.json', lambda kept: kept['datasets'].update(test=opt))
    text = report('results/one')
    assert 'Without bicubic and ground truth' in text and 'secret' not in text
    assert 'secret/lq' in capsys.readouterr().err


def test_truncated_image_is_named(results, capsys):
    for path in results.glob('one/visualization/*/*/*.png'):
        path.write_bytes(path.read_bytes()[:-30])
    report(*both(), status=2)
    error = capsys.readouterr().err
    assert 'results/one/visualization/set <1>' in error and 'it is truncated' in error
    assert not (results.parent / 'out').exists()


def test_images_of_another_size_are_named(results, capsys):
    path = results / 'one/visualization/set <1>/a b/00000001_one.png'
    cv2.imwrite(str(path), np.zeros((16, 14, 3), np.uint8))
    report(*both(), '--frames', 'a b:1', status=2)
    assert 'set <1>, a b, 00000001_one.png: one is 14×16, ground truth is 16×16' in capsys.readouterr().err


def test_missing_image_is_no_other_frame(results, capsys):
    (results / 'one/visualization/set <1>/a b/00000000_one.png').unlink()
    report(*both(), '--frames', 'a b:1', status=2)
    assert 'one: 2 images of a b were saved, but 3 frames measured' in capsys.readouterr().err


def test_frames_that_cannot_be_told_apart_are_not_shown(results):
    """A test of the middle frame alone saved one image of each clip, and measured one."""
    edit(results / 'one/metrics_per_frame.json', lambda c: c['set <1>'].update({'a b': {'psnr': [9.0], 'ssim': [0.5]}}))
    for frame in (0, 2):
        (results / f'one/visualization/set <1>/a b/0000000{frame}_one.png').unlink()
    page = Page(report(*both(), '--frames', 'a b:0', 'clip:1:0'))
    assert 'Different numbers of frames in a b: bicubic 3, one 1, two 3.' in ''.join(page.text)
    assert all(alt.endswith('clip:1, frame 0') for alt in page.images) and len(page.images) == 4


def test_options_without_scale(results, capsys):
    edit(results / 'one/options.json', lambda opt: opt.update(scale=None, val=None))
    assert 'Without bicubic' in report('results/one')
    assert 'the options of the test have no scale or no val.metrics' in capsys.readouterr().err


def test_scale_that_bicubic_does_not_know(results, capsys):
    edit(results / 'one/options.json', lambda opt: opt.update(scale=5))
    assert 'Without bicubic' in report('results/one')
    assert 'bicubic up-sampling is there for scales 2, 3, 4, 6, 8, not 5' in capsys.readouterr().err


def lower_scale(opt):
    opt['scale'] = 4


def y_channel(opt):
    opt['val']['metrics']['psnr']['test_y_channel'] = True


@pytest.mark.parametrize(
    'arguments, spoil, message',
    [
        (['results/three'], None, 'no results folder results/three'),
        (['=results/one'], None, 'the name before = is missing'),
        (['results'], None, 'no results/metrics.json: not a results folder'),
        (['results/one', 'x/../results/one'], None, 'no results folder x/../results/one'),
        (['results/one', 'one=results/two'], None, 'are both called one; give them names: NAME=FOLDER'),
        (['bicubic=results/one'], None, 'bicubic has its own place in the table'),
        (['results/one'], ('metrics.json', '{"a": '), 'results/one/metrics.json is no JSON'),
        (['results/one'], ('metrics.json', '[1]'), 'results/one/metrics.json is not what `basicsr-ssm test` writes'),
        (
            ['results/one'],
            ('metrics_per_frame.json', '{"a": {"b": {"psnr": 3}}}'),
            'metrics_per_frame.json is not what',
        ),
        (['results/one'], ('metrics.json', '{}'), 'results/one/metrics.json is empty: nothing was measured'),
        (
            ['results/one'],
            ('metrics.json', '{"a": {}}'),
            'results/one/metrics.json: nothing was measured on a',
        ),
        (['results/one'], ('options.json', '{"val": {}}'), 'results/one/options.json is not what `basicsr-ssm test`'),
        (['results/one', 'results/two'], lower_scale, 'one is for scale 4, two for scale 2: not one table'),
        (['results/one', 'results/two'], y_channel, 'psnr of one and of two cannot be compared: measured with'),
        (
            ['results/one', '--max-size', '0.001'],
            None,
            'cropped to 1024 pixels, more than --max-size 0.001',
        ),
        (['results/one', '--force_yml', 'scale=2'], None, '--force_yml changes the option file that -opt names'),
    ],
)
def test_what_cannot_be_shown_is_said(arguments, spoil, message, results, capsys):
    if callable(spoil):
        edit(results / 'one/options.json', spoil)
    elif spoil:
        (results / 'one' / spoil[0]).write_text(spoil[1])
    report(*arguments, status=2)
    assert message in capsys.readouterr().err
    assert not (results.parent / 'out/page.html').exists()


def test_files_that_may_not_be_read(results, monkeypatch, capsys):
    """Nor may they by root, in this test."""
    read = Path.read_text

    def denied(path, **how):
        if path.name == 'metrics.json':
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return read(path, **how)

    monkeypatch.setattr(Path, 'read_text', denied)
    report('results/one', status=2)
    assert 'cannot read results/one/metrics.json: Permission denied' in capsys.readouterr().err


def test_too_large_without_frames(results, capsys):
    shutil.rmtree(results / 'one/visualization')
    report('results/one', '--max-size', '0.001', status=2)
    error = capsys.readouterr().err
    assert 'MB without any frame, more than --max-size 0.001: name fewer results' in error and 'cropped' not in error
