"""Every table and figure of both papers is there, and every row of it can be run."""

from pathlib import Path

import pytest
import yaml

from basicsr_ssm.cli import main
from basicsr_ssm.errors import UserError
from basicsr_ssm.options import read_options
from basicsr_ssm.tables.entries import ENTRIES, find_entries, find_rows
from basicsr_ssm.tables.published_figures import FOLDER, published

NAMES = [
    *(f'medvsr_{part}' for part in ('tab1', 'tab2', 'tab3', 'tab4', 'tab5', 'fig1', 'eq4')),
    *(f'vsrm_{part}' for part in ('tab2', 'tab3', 'tab4', 'tab5', 'tab6', 'tab7', 'tab8', 'fig6')),
]


def test_all_are_there_with_their_figures():
    assert list(ENTRIES) == NAMES
    assert {path.stem for path in FOLDER.glob('*.yml')} == {*NAMES, 'vsrm_complexity'}


@pytest.mark.parametrize('name', NAMES)
def test_rows_and_columns_belong_to_the_paper(name):
    entry, paper = ENTRIES[name], published(name)
    assert paper.paper in ('MedVSR', 'VSRM') and 'Sec. ' in paper.where and paper.source and paper.caption
    keys = {metric.key for metric in entry.metrics}
    for title, figures in paper.rows.items():
        assert figures.keys() - {'flops', 'params'} <= keys, title
        assert all(isinstance(value, int | float) for value in figures.values())
    ours = {row.published or row.title for row in entry.rows}
    marked = [title for title in paper.rows if 'ours' in title.lower() or title == 'MedVSR']
    assert set(marked) <= ours
    for row in entry.rows:
        assert row.published is None or row.published in paper.rows
        assert row.parts(), row.id
        assert all(metric.part for metric in entry.metrics)
    assert {m.part for m in entry.metrics} <= {part for row in entry.rows for part in row.parts()}


@pytest.mark.parametrize(
    'name, row, key, figure',
    [
        ('medvsr_tab1', 'Both (Ours)', 'latency', 1.1486),
        ('medvsr_tab1', 'Backward', 'ldpolyp_psnr', 31.7525),
        ('medvsr_tab2', 't-3', 'hyperkvasir_psnr', 32.0962),
        ('medvsr_tab2', 't-7', 'flops', 10.67),
        ('medvsr_tab3', 'Attention', 'ldpolyp_ssim', 0.8676),
        ('medvsr_tab4', 'MedVSR', 'x6_psnr', 28.4262),
        ('medvsr_tab4', 'RVRT', 'x2_ssim', 0.9271),
        ('medvsr_tab5', 'BasicVSR++', 'hyperkvasir_ssim', 0.9020),
        ('medvsr_fig1', 'MedVSR 512×512', 'memory', 19.93),
        ('vsrm_tab2', 'VSRM (ours), 16/7', 'vid4_ssim', 0.8552),
        ('vsrm_tab2', 'VSRM (ours), 6/-', 'params', 17.1),
        ('vsrm_tab2', 'RVRT, 30/14', 'vimeo90k_psnr', 38.15),
        ('vsrm_tab3', 'Full Attn', 'flops', 1018.1),
        ('vsrm_tab3', 'Mamba (ours)', 'psnr', 31.09),
        ('vsrm_tab4', 'DCA (ours)', 'params', 8.61),
        ('vsrm_tab5', 'w/ T2SMB†', 'flops', 162.2),
        ('vsrm_tab6', 'TGFN w/o Split', 'psnr', 31.05),
        ('vsrm_tab7', 'WHFL', 'psnr', 30.90),
        ('vsrm_tab8', 'VSRM (ours)', 'runtime', 223),
        ('vsrm_tab8', 'IART', 'flops', 177.8),
    ],
)
def test_figures_of_the_papers(name, row, key, figure):
    assert published(name).rows[row][key] == figure


def test_a_figure_has_one_owner():
    """Parameters and FLOPs of VSRM's tables are in vsrm_complexity.yml alone."""
    known = {row['row'] for row in yaml.safe_load((FOLDER / 'vsrm_complexity.yml').read_text())['rows']}
    for name in NAMES:
        for row, figures in yaml.safe_load((FOLDER / f'{name}.yml').read_text())['rows'].items():
            if 'complexity' in figures:
                assert figures['complexity'] in known and not figures.keys() & {'params', 'flops'}, row


@pytest.mark.parametrize('name', NAMES)
def test_every_row_has_its_option_files(name, runs):
    """They pass the option schema, and the test takes what the training leaves."""
    peers = [row.id for row in ENTRIES[name].rows if any(trained.train is None for trained in row.trained)]
    for job in runs.jobs(name, weights=dict.fromkeys(peers, Path(__file__))):
        assert not job.lacking
        assert [part.name for part in job.parts] == job.row.parts()
        for part in job.parts:
            *trainings, test = part.steps
            for step in part.steps:
                for path, text in step.files.items():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
            if test.kind != 'test':
                continue
            opt = read_options(test.folder / 'test.yml')
            if trainings:
                train = read_options(trainings[-1].folder / 'train.yml')
                assert opt['path']['pretrain_network_g'].startswith(train['path']['experiments_root'])
                assert {**train['network_g'], 'spynet_path': None} == {**opt['network_g'], 'spynet_path': None}
                assert part.about['changes'] == {}
                assert part.about['schedule']['iterations'] == part.about['schedule']['published_iterations']


def test_ablations_on_the_second_data_set(runs):
    """LDPolyp's row has its recipe and HyperKvasir's change."""
    (job,) = runs.jobs('medvsr_tab3', ['linear_attention'], only=('trained',))
    own = {part.name: part.steps[0].files[part.steps[0].folder / 'train.yml'] for part in job.parts}
    options = {name: yaml.safe_load(text) for name, text in own.items()}
    assert options['hyperkvasir']['network_g'] == options['ldpolyp']['network_g']
    assert options['ldpolyp']['network_g']['cross_mixer'] == 'linear_attention'
    assert 'datasets/ldpolyp/' in options['ldpolyp']['datasets']['train']['dataroot_gt']


def test_vimeo_goes_on_from_the_training_on_reds(runs):
    (job,) = runs.jobs('vsrm_tab2', ['VSRM-16'], only=('trained',))
    reds4, vimeo90k, _ = job.parts
    first, second = vimeo90k.steps[:2]
    assert first == reds4.steps[0]
    text = second.files[second.folder / 'train.yml']
    assert yaml.safe_load(text)['path']['pretrain_network_g'].startswith(str(first.folder))


def test_the_batch_of_several_gpus_on_one(runs):
    (job,) = runs.jobs('vsrm_tab7', ['ffl'])
    assert job.parts[0].about['schedule']['batch'] == 8
    (job,) = runs.jobs('medvsr_tab5', ['MedVSR'])
    step = job.parts[0].steps[0]
    options = yaml.safe_load(step.files[step.folder / 'train.yml'])
    assert (options['num_gpu'], options['train']['accumulate']) == ('auto', 2)


def test_names_that_are_not_there():
    with pytest.raises(UserError, match='did you mean vsrm_tab2'):
        find_entries(['vsrm_tab22'])
    with pytest.raises(UserError, match='has no row forwards; did you mean forward'):
        find_rows(ENTRIES['medvsr_tab1'], ['forwards'])
    assert [row.id for row in find_rows(ENTRIES['medvsr_tab1'], ['Both (Ours)'])] == ['both']
    assert len(find_entries(['all'])) == len(NAMES)


def test_list(capsys, tmp_path):
    assert main(['tables', 'list', '--output', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == NAMES
    assert main(['tables', 'list', 'medvsr_tab2', '--output', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert '0 of 6 rows' in lines[0] and 'ablation/medvsr_num_propagated_7.yml' in lines[-1]
