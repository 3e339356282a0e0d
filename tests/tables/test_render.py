"""Tables of which a part has been run, as Markdown, CSV, LaTeX and pictures."""

import builtins
import csv
import io

import cv2
import numpy as np
import pytest

from basicsr_ssm import cli
from basicsr_ssm.tables.entries import ENTRIES
from basicsr_ssm.tables.rendering.beside import beside
from basicsr_ssm.tables.rendering.formats import csv_text, latex, markdown
from basicsr_ssm.tables.running.changes import Change
from basicsr_ssm.tables.running.results import store_part

SCHEDULE = {'iterations': 100, 'published_iterations': 300000, 'batch': 8, 'precision': 'bf16'}


def store(output, name, row, part, figures, **more):
    entry = ENTRIES[name]
    found = next(r for r in entry.rows if r.id == row)
    store_part(output, entry, found, part, {'digest': '', 'figures': figures, **more})


@pytest.fixture
def ablation(tmp_path):
    """Tab. 3: the base at the paper's schedule, window attention at another one, measurements of one row alone."""
    full = {**SCHEDULE, 'iterations': 300000}
    machine = [{'kind': 'train', 'machine': {'card': 'NVIDIA H200', 'torch': '2.11'}}]
    store(tmp_path, 'vsrm_tab3', 'mamba', 'reds4', {'psnr': 31.234}, schedule=full, option_files={}, steps=machine)
    changes = {
        'ablation/vsrm_mixer_window_attention.yml': [
            Change('train.total_iter', 100, 300000).stored(),
            Change('network_g.embed_dim', 24, 72).stored(),
            Change('logger.print_freq', 1, 100).stored(),
            Change('datasets.train.dataroot_gt', '/clips/train/GT.lmdb', 'datasets/reds/train/GT.lmdb').stored(),
        ],
        'test/VSRM/vsrm_REDS4_N6.yml': [
            Change('datasets.test.dataroot_gt', '/clips/test/GT.lmdb', 'datasets/reds/REDS4/GT.lmdb').stored()
        ],
    }
    trained = {'kind': 'train', 'text': 'train: {ema_decay: 0.999, total_iter: 100}'}
    more = {'schedule': SCHEDULE, 'changes': changes, 'option_files': {'ablation/vsrm_base.yml': trained}}
    store(tmp_path, 'vsrm_tab3', 'window_attention', 'reds4', {'psnr': 25.0}, **more)
    figures = {'parameters': 8.49e6, 'multiply_adds': 101.8e9, 'scans': 19e9}
    store(tmp_path, 'vsrm_tab3', 'mamba', 'complexity', figures, changes={})
    return tmp_path


def test_markdown(ablation):
    text = markdown(beside(ENTRIES['vsrm_tab3'], ablation))
    rows = {}
    for line in text.splitlines():
        if line.startswith('|'):
            cells = [cell.strip() for cell in line.strip('|').split('|')]
            rows[cells[0]] = cells[1:]
    assert text.startswith('## VSRM, Tab. 3 (Sec. 5.3): ') and 'the paper / ours / the difference' in text
    assert rows['row'] == ['PSNR', 'M parameters', 'G multiply-adds', 'G of scans']
    assert rows['Mamba (ours)'] == ['31.09 / 31.23 / +0.14', '8.61 / 8.49 / -0.12', '159.2 / 101.8 / -57.4', '19.0']
    assert rows['Full Attn'][:2] == ['31.06 / not run / –', '7.68 / not run / –']
    assert rows['Window Attn. [1, 2, 3, 4]'][0] == '30.97 / 25.00 / -5.97'
    notes = [line.strip() for line in text.splitlines() if line.startswith('[')]
    assert notes == [
        '[1] NOT THE SCHEDULE OF THE PAPER: 100 of 300000 iterations',
        '[2] 90% of the averaged weights that were tested are untrained (train.ema_decay)',
        '[3] with network_g.embed_dim: 24 (72)',
        '[4] data: /clips',
    ]
    assert 'Ours on: NVIDIA H200, torch 2.11.' in text


@pytest.mark.parametrize(
    ('change', 'noted'),
    [
        (Change('train.fix_flow', 2, 5000), False),  # of 100 of 300,000 iterations
        (Change('train.fix_flow', 1000000, 5000), True),
        (Change('train.fix_flow', 2), True),
        (Change('train.fix_flow', recipe=5000), True),
        (Change('train.scheduler.periods', [33, 67], '100000, 200000'), True),
        (Change('train.scheduler.periods', [33, 67], [100000, 200000]), False),
        (Change('train.scheduler.periods', [50, 50], [100000, 200000]), True),
        (Change('train.warmup_iter', 50, -1), True),
        (Change('logger.print_freq', 1, 100), False),
        (Change('train.optim_g.lr', 0.0004, 0.0002), True),
        (Change('datasets.train.num_worker_per_gpu', 4, 6), False),
        (Change('network_g.spynet_path', '/weights/spynet.pth', 'experiments/flow/spynet.pth'), False),
        (Change('network_g.spynet_path', '/weights/other.pth', 'experiments/flow/spynet.pth'), True),
        (Change('network_g.spynet_path', None, 'experiments/flow/spynet.pth'), True),
    ],
    ids=str,
)
def test_what_follows_from_the_length_is_not_said_again(tmp_path, change, noted):
    changes = {'changes': {'ablation/vsrm_base.yml': [change.stored()]}, 'schedule': SCHEDULE, 'option_files': {}}
    store(tmp_path, 'vsrm_tab3', 'mamba', 'reds4', {'psnr': 25.0}, **changes)
    notes = beside(ENTRIES['vsrm_tab3'], tmp_path).notes
    assert (f'with {change}' in notes) == noted
    assert len(notes) == 1 + noted


@pytest.mark.parametrize(
    ('roots', 'said'),
    [
        ([('/clips/train/GT', 'datasets/reds/train/GT'), ('/clips/test/GT', 'datasets/reds/test/GT')], '/clips'),
        ([('/clips/train/GT', 'datasets/reds/train/GT'), ('/clips/mine/GT', 'datasets/reds/test/GT')], '/clips'),
        ([('mine/a/GT', 'datasets/Vid4/GT'), ('/data/b', 'datasets/vimeo90k')], 'mine/a, /data/b'),
        ([('/a (1)/GT', 'datasets/reds/GT')], '/a (1)'),
        ([('reds/GT', 'datasets/reds/GT')], 'reds/GT'),
        ([('/masks',)], '/masks'),  # the recipe has none
    ],
    ids=str,
)
def test_data_of_several_places(tmp_path, roots, said):
    stored = [Change('datasets.test.dataroot_gt', *root).stored() for root in roots]
    changes = {'changes': {'test.yml': stored}, 'option_files': {}}
    store(tmp_path, 'vsrm_tab3', 'mamba', 'reds4', {'psnr': 25.0}, **changes)
    assert beside(ENTRIES['vsrm_tab3'], tmp_path).notes == [f'data: {said}']


def test_notes_of_one_test_alone_name_it(tmp_path):
    patch, rate = Change('datasets.train.gt_size', 240, 384), Change('train.optim_g.lr', 0.0004, 0.0002)
    whole = {**SCHEDULE, 'iterations': 300000}
    parts = {
        'x2': (whole, [rate, Change('datasets.train.dataroot_gt', '/clips/train/GT', 'datasets/kvasir/train/GT')]),
        'x6': (SCHEDULE, [patch, rate]),
    }
    for name, (schedule, changes) in parts.items():
        stored = {'train.yml': [change.stored() for change in changes]}
        store(tmp_path, 'medvsr_tab4', 'medvsr', name, {}, schedule=schedule, changes=stored, option_files={})
        notes = beside(ENTRIES['medvsr_tab4'], tmp_path).notes
        if name == 'x2':  # the only one that was run
            assert notes == [f'with {rate}', 'data: /clips']
    assert notes == [
        'x6: NOT THE SCHEDULE OF THE PAPER: 100 of 300000 iterations',
        f'with {rate}; x6: {patch}',
        'data: x2: /clips',
    ]


def test_notes_of_tests_and_measurements(tmp_path):
    change = Change('network_g.mid_channels', 24, 64)
    parts = {
        'complexity': ([], []),
        'hyperkvasir': ([change], [f'with {change}']),  # of the only test
        'latency': ([change], [f'with hyperkvasir, latency: {change}']),  # not of the other measurement
    }
    for part, (changes, notes) in parts.items():
        stored = {part: [change.stored() for change in changes]}
        store(tmp_path, 'medvsr_tab1', 'both', part, {}, changes=stored)
        assert beside(ENTRIES['medvsr_tab1'], tmp_path).notes == notes


@pytest.mark.parametrize('content', ['{"x', '{"parts": {"reds4": {"figures": {"psnr": "abc"}}}}', '{"parts": []}'])
def test_a_damaged_result_does_not_stop_the_others(ablation, capsys, content):
    damaged = ablation / 'vsrm_tab7' / 'ffl.json'
    damaged.parent.mkdir()
    damaged.write_text(content)
    assert cli.main(['tables', 'render', 'vsrm_tab7', 'vsrm_tab3', '--output', str(ablation)]) == 1
    said = f'error: vsrm_tab7 is not rendered: {damaged} is no result any more; move it away'
    assert said in capsys.readouterr().err
    assert (ablation / 'vsrm_tab3.md').exists() and not (ablation / 'vsrm_tab7.md').exists()


def test_list_goes_on_after_a_damaged_result(ablation, capsys):
    damaged = ablation / 'medvsr_tab1' / 'both.json'
    damaged.parent.mkdir()
    damaged.write_text('{"x')
    assert cli.main(['tables', 'list', '--output', str(ablation)]) == 1
    printed = capsys.readouterr()
    assert f'error: {damaged} is no result any more' in printed.err
    assert 'medvsr_tab1 ' in printed.out and 'vsrm_tab8 ' in printed.out


def test_csv(ablation):
    rows = {row['row']: row for row in csv.DictReader(io.StringIO(csv_text(beside(ENTRIES['vsrm_tab3'], ablation))))}
    base = rows['Mamba (ours)']
    assert (base['PSNR, paper'], base['PSNR, ours'], base['PSNR, difference']) == ('31.09', '31.23', '+0.14')
    assert base['notes'] == '' and base['G of scans, ours'] == '19.0'
    assert 'G of scans, paper' not in base
    assert rows['Window Attn.']['notes'].startswith('NOT THE SCHEDULE OF THE PAPER')
    assert (rows['Full Attn']['PSNR, ours'], rows['Full Attn']['PSNR, difference']) == ('not run', '')


def test_latex(ablation):
    text = latex(beside(ENTRIES['vsrm_tab3'], ablation))
    lines = text.splitlines()
    columns = next(line for line in lines if line.startswith('\\begin{tabular}'))
    body = lines[lines.index('\\midrule') + 1 : lines.index('\\bottomrule')]
    assert len(body) == 5 and columns == '\\begin{tabular}{l' + 'r' * 10 + '}'
    assert all(line.count('&') == 10 and line.endswith(' \\\\') for line in body)
    assert any(
        line.startswith('Window Attn.\\textsuperscript{1, 2, 3, 4} & 30.97 & 25.00 & -5.97 & 7.68') for line in body
    )
    assert 'network\\_g.embed\\_dim: 24 (72)' in text and '90\\% of the averaged' in text
    assert text.count('{') == text.count('}')


def test_methods_of_the_paper_alone(tmp_path):
    store(
        tmp_path,
        'vsrm_tab2',
        'BasicVSR',
        'vid4',
        {'psnr': 27.24},
        option_files={},
        weights={'file': 'a/b.pth', 'sha256': 'ab' * 32},
    )
    text = markdown(beside(ENTRIES['vsrm_tab2'], tmp_path))
    (rvrt,) = (line for line in text.splitlines() if line.startswith('| RVRT'))
    assert 'not run' not in rvrt and '32.75 / – / –' in rvrt
    (basicvsr,) = (line for line in text.splitlines() if line.startswith('| BasicVSR '))
    assert '– / 27.24 / –' in basicvsr and '– / not run / –' in basicvsr
    assert 'not trained here: weights b.pth, SHA-256 abababab…' in text


@pytest.mark.parametrize('name', ENTRIES)
def test_everything_renders_before_anything_is_run(name, tmp_path, capsys):
    assert cli.main(['tables', 'render', name, '--output', str(tmp_path), '--to', str(tmp_path / 'to')]) == 0
    text = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / 'to').iterdir()) == [f'{name}.{s}' for s in ('csv', 'md', 'tex')]
    assert all(row.title in text for row in ENTRIES[name].rows) and 'not run' in text and 'Ours on' not in text


def memory(output, rows):
    for row, gigabytes in rows.items():
        value = None if gigabytes is None else gigabytes * 2**30
        store(output, 'medvsr_fig1', row, 'memory', {'peak_bytes': value, 'out_of_memory': value is None})


def test_a_figure_of_lines(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    memory(tmp_path, {'MedVSR-64': 0.5, 'MedVSR-512': 18.5, 'BasicVSR-64': 0.3, 'BasicVSR-128': None})
    assert cli.main(['tables', 'render', 'medvsr_fig1', '--output', str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert '| MedVSR 512×512     | 19.93 / 18.50 / -1.43' in text and '![' in text
    assert '– / out of memory / –' in text
    image = cv2.imread(str(tmp_path / 'medvsr_fig1.png'))
    assert image.shape[1] > 800 and 0.01 < (image < 200).any(axis=2).mean() < 0.3


def test_a_figure_of_bars(tmp_path):
    pytest.importorskip('matplotlib')
    for name, pixel in (('HyperKvasir', 1.0), ('Vid4', 0.25)):
        store(tmp_path, 'medvsr_eq4', name, 'flow_error', {'omega': 300.0, 'pixel': pixel, 'motion': 1})
    assert cli.main(['tables', 'render', 'medvsr_eq4', '--output', str(tmp_path)]) == 0
    assert cv2.imread(str(tmp_path / 'medvsr_eq4.png')) is not None


def test_a_bar_is_as_wide_whatever_else_was_run(tmp_path):
    pytest.importorskip('matplotlib')
    wide = []
    for name in ('HyperKvasir', 'Vid4'):
        store(tmp_path, 'medvsr_eq4', name, 'flow_error', {'omega': 300.0, 'pixel': 1.0, 'motion': 1})
        assert cli.main(['tables', 'render', 'medvsr_eq4', '--output', str(tmp_path)]) == 0
        image = cv2.imread(str(tmp_path / 'medvsr_eq4.png')).astype(int)
        blue = (image[..., 0] - image[..., 2] > 100).any(axis=0)
        wide.append(blue.mean())
    assert 0.05 < wide[0] < 0.2 and wide[1] == pytest.approx(2 * wide[0], rel=0.05)


def test_whose_flow_the_error_is_of(tmp_path):
    weights = {'file': 'a/b.pth', 'sha256': 'ab' * 32}
    store(tmp_path, 'medvsr_eq4', 'Vid4', 'flow_error', {'omega': 300.0, 'pixel': 0.25, 'motion': 1}, weights=weights)
    text = markdown(beside(ENTRIES['medvsr_eq4'], tmp_path))
    assert '| Vid4 [1] ' in text and '[1] flow network b.pth, SHA-256 abababab…' in text


def test_a_figure_of_fields(tmp_path):
    for name in ('VSRM', 'EDVR'):
        folder = tmp_path / 'runs' / name
        folder.mkdir(parents=True)
        np.save(folder / 'map.npy', np.hypot(*np.mgrid[-8:8, -8:8]) + 1.0)
        figures = {'map': 'map.npy', 'radius': {'90%': 7.5}, 'share_above': {'1%': 0.5}}
        store(tmp_path, 'vsrm_fig6', name, 'receptive_field', figures, folder=name, changes={})
    assert cli.main(['tables', 'render', 'vsrm_fig6', '--output', str(tmp_path)]) == 0
    image = cv2.imread(str(tmp_path / 'vsrm_fig6.png'))
    assert image.shape[1] > 600
    text = (tmp_path / 'vsrm_fig6.md').read_text()
    assert '| 7.5 ' in text and 'weights as initialised, not trained' in text


def test_without_matplotlib(tmp_path, monkeypatch, capsys):
    memory(tmp_path, {'MedVSR-64': 0.5})
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith('matplotlib'):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', missing)
    assert cli.main(['tables', 'render', 'medvsr_fig1', 'medvsr_tab2', '--output', str(tmp_path)]) == 1
    assert 'error: medvsr_fig1 has no picture: ' in (said := capsys.readouterr().err)
    assert 'pip install "basicsr_ssm[plots]"' in said
    for name in ('medvsr_fig1', 'medvsr_tab2'):  # all that needs no picture
        assert all((tmp_path / f'{name}.{suffix}').is_file() for suffix in ('md', 'csv', 'tex'))
    assert cli.main(['tables', 'render', 'medvsr_tab1', '--output', str(tmp_path)]) == 0
