"""Results of tests that were not all run alike."""

import errno
import json
from pathlib import Path

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


def test_metric_that_is_not_installed_here(results):
    edit(results / 'one/options.json', lambda opt: opt['val']['metrics']['ssim'].update(type='calculate_my_own'))
    assert 'bicubic has no SSIM.' in Page(report('results/one')).text


# ---------------------------------------------------------------- other data of the same name

MASKED = {'type': 'calculate_masked_psnr'}


def describe(folder, name, **data):
    """Say of results that their data set was described so."""
    edit(folder / name / 'options.json', lambda opt: opt['datasets']['test'].update(data))


def test_data_in_different_places_is_said(results, capsys):
    describe(results, 'one', dataroot_gt='secret/GT', dataroot_lq='secret/LQ')
    describe(results, 'two', dataroot_gt='secret/GT', dataroot_lq='secret/LQ2')
    notice = (
        'one and two were tested on data in different places: is it the same? '
        'Bicubic and ground truth are those of one.'
    )
    text = report(*BOTH)
    assert notice in Page(text).text and 'secret' not in text
    printed = capsys.readouterr().err
    assert f'set <1>: {notice}' in printed and '/secret/LQ\n' in printed and '/secret/LQ2\n' in printed


def test_the_same_data_by_another_path(results, tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'data')
    describe(results, 'one', dataroot_gt=str(tmp_path / 'data/GT'), dataroot_lq=str(tmp_path / 'data/LQ'))
    describe(results, 'two', dataroot_gt=str(tmp_path / 'link/GT'), dataroot_lq=str(tmp_path / 'link/x/../LQ'))
    assert 'different places' not in report(*BOTH)


@pytest.fixture
def masked(results, tmp_path):
    """The results, said to be measured inside of masks; the folders m1 and m2 have one each, m3 the same as m1."""
    for folder, content in (('m1', b'one'), ('m2', b'two'), ('m3', b'one')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a b.png').write_bytes(content)
    for name in ('one', 'two'):
        edit(results / name / 'options.json', lambda opt: opt['val']['metrics']['psnr'].update(MASKED))
        # without GT that could be read: the masks are made up
        describe(results, name, type='Gone', mask=str(tmp_path / 'm1'))
    return results


def test_other_masks_are_refused(masked, tested, tmp_path, capsys):
    describe(masked, 'two', mask=str(tmp_path / 'm2'))
    report(*BOTH, status=2)
    error = capsys.readouterr().err
    assert 'set <1>: one and two cannot be compared: measured with mask' in error and '/m2, which differ' in error
    without_mask = option_file(tested, tmp_path, lambda opt: opt['val']['metrics'].pop('psnr'))
    report('results/one', '-opt', without_mask, status=2)
    assert 'one and the option file (-opt) cannot be compared: measured with mask' in capsys.readouterr().err


@pytest.mark.parametrize('mask, said', [('m1', False), ('m3', True), ('of another machine', True)])
def test_equal_masks_and_those_that_are_not_here(mask, said, masked, tmp_path):
    describe(masked, 'two', mask=str(tmp_path / mask))
    assert ('different places' in report(*BOTH)) == said


def test_masks_do_not_matter_to_other_metrics(results, tmp_path):
    describe(results, 'two', mask=str(tmp_path))
    report(*BOTH)


@pytest.mark.parametrize('listed, status', [('b 7\na 7\n', 2), ('a 7 (4,4,3)\nb 7 (4,4,3)\n', 0)])
def test_other_frames_of_vimeo_are_refused(listed, status, results, tmp_path, capsys):
    """Their clips are all one, so that only the list tells the frames apart."""
    for name, text in (('one', 'a 7\nb 7\n'), ('two', listed)):
        for file in ('metrics.json', 'metrics_per_frame.json'):
            edit(
                results / name / file,
                lambda content: content.update({'set <1>': {'vimeo90k': content['set <1>']['a b']}}),
            )
        (tmp_path / f'{name}.txt').write_text(text)
        describe(results, name, type='Gone', meta_info_file=str(tmp_path / f'{name}.txt'))
    report(*BOTH, status=status)
    assert ('cannot be compared: measured with meta_info_file' in capsys.readouterr().err) == (status == 2)


def test_masks_that_may_not_be_read_are_as_those_of_another_machine(masked, tmp_path, monkeypatch):
    describe(masked, 'two', mask=str(tmp_path / 'm2'))
    read = Path.read_bytes

    def denied(path):
        if path.parent.name == 'm2':
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return read(path)

    monkeypatch.setattr(Path, 'read_bytes', denied)
    assert 'different places' in report(*BOTH)
