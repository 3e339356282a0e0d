"""Results of tests that were not all run alike."""

import json

import pytest
from report_page import Page, edit, report
from report_results import CLIPS

BOTH = ('results/one', 'results/two')


def without(metric, folder):
    """Take a metric out of results."""
    for name in ('metrics.json', 'metrics_per_frame.json'):
        edit(
            folder / name,
            lambda content: [values.pop(metric) for values in content['set <1>'].values() if metric in values],
        )
    edit(folder / 'options.json', lambda opt: opt['val']['metrics'].pop(metric))


def option_file(tested, folder, change):
    """The option file of the test, changed, below folder; made of options.json, which has the same keys."""
    opt = json.loads((tested / 'one/options.json').read_text())
    opt['datasets']['test'].pop('phase', None)
    opt.update(num_gpu=0, manual_seed=0, path={})
    change(opt)
    path = folder / 'changed.yml'
    path.write_text(json.dumps({key: opt[key] for key in opt if key != 'working_directory'}))  # JSON is YAML, too
    return str(path)


def other_border(opt):
    opt['val']['metrics']['psnr']['crop_border'] = 4


def lower_is_better(opt):
    opt['val']['metrics']['psnr']['better'] = 'lower'


def scale_four(opt):
    opt['scale'] = 4
    opt['network_g'] = {'type': 'TinyNet', 'scale': 4}


@pytest.mark.parametrize(
    'change, message',
    [
        (other_border, 'psnr of one and in the option file (-opt) cannot be compared: measured with'),
        (lower_is_better, 'psnr of one and in the option file (-opt) cannot be compared: measured with'),
        (scale_four, 'one is for scale 2, the option file (-opt) for scale 4'),
    ],
)
def test_option_file_of_another_test(change, message, results, tested, tmp_path, capsys):
    report('results/one', '-opt', option_file(tested, tmp_path, change), status=2)
    assert message in capsys.readouterr().err


def test_metrics_are_those_of_the_results(results, tested, tmp_path):
    """The option file tells only where the clips lie: its metrics may be fewer."""
    fewer = option_file(tested, tmp_path, lambda opt: opt['val']['metrics'].pop('psnr'))
    rows = [{row[0]: row[1:] for row in Page(report(*BOTH, *more)).rows} for more in ((), ('-opt', fewer))]
    assert rows[0] == rows[1]


def test_option_file_says_what_less_is_better_of(results, tested, tmp_path):
    for folder in BOTH:
        (tmp_path / folder / 'options.json').unlink()
    changed = option_file(tested, tmp_path, lower_is_better)
    text = report(*BOTH, '-opt', changed)
    values = [float(Page(text).rows[2][i].split()[0]) for i in (1, 2, 3)]
    assert f'<b>{min(values):.2f}</b>' in text and f'<b>{max(values):.2f}</b>' not in text.split('</tr>')[2]


def test_default_written_out_is_the_same(results):
    edit(results / 'one/options.json', lambda opt: opt['val']['metrics']['psnr'].update(better='higher'))
    report(*BOTH)


@pytest.mark.parametrize('order', [BOTH, BOTH[::-1]])
def test_each_model_has_the_metrics_that_it_was_measured_by(order, results, capsys):
    without('ssim', results / 'one')
    page = Page(report(*order))
    assert 'one has no SSIM.' in page.text and 'set <1>: one has no SSIM.' in capsys.readouterr().err
    assert not any(text.startswith(('two has no', 'bicubic has no')) for text in page.text)
    row = next(row for row in page.rows if row[0] == CLIPS[0])
    names = ['bicubic', *(name.split('/')[1] for name in order)]
    assert [cell == '–' for cell in row[4:]] == [name == 'one' for name in names]


@pytest.mark.parametrize('order', [BOTH, BOTH[::-1]])
def test_clips_that_only_one_test_still_has(order, results, capsys):
    edit(results / 'one/options.json', lambda opt: opt['datasets']['test'].update(type='Gone'))
    page = Page(report(*order))
    assert {alt.split(':')[0] for alt in page.images} == {'bicubic', 'one', 'two', 'ground truth'}
    assert 'Without bicubic' not in capsys.readouterr().err


@pytest.mark.parametrize('order', [BOTH, BOTH[::-1]])
def test_clips_of_the_test_that_has_more(order, results, capsys):
    for name in ('metrics.json', 'metrics_per_frame.json'):
        edit(results / 'one' / name, lambda content: content['set <1>'].pop('a b'))
    edit(results / 'one/options.json', lambda opt: opt['datasets']['test'].update(folders=CLIPS[1:]))
    page = Page(report(*order))
    assert 'Without bicubic' not in capsys.readouterr().err
    assert next(row for row in page.rows if row[0] == 'a b')[1] != '–'


def test_scale_without_bicubic_is_no_lack_of_clips(results):
    edit(results / 'one/options.json', lambda opt: opt.update(scale=1))
    text = ''.join(Page(report('results/one')).text)
    assert 'Without bicubic and ground truth: bicubic up-sampling is there for scales' in text
    assert 'could not be opened' not in text
