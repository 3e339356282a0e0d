"""Results of an earlier run, when the next one in the same folder has a mistake."""

import os
from pathlib import Path

import basicsr.train
import pytest
from basicsr.utils import misc
from basicsr_logger import forget_log_file
from tiny_training import write_options
from training_runs import assert_same_run, interrupted_at

from basicsr_ssm import cli

SHORT = {'train:total_iter': 4}
MISSING_WEIGHTS = {'path:pretrain_network_g': 'nowhere.pth'}


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def without_logs(found):
    return {path: content for path, content in found.items() if path.suffix not in ('.log', '.png')}


@pytest.mark.parametrize('mistake', [MISSING_WEIGHTS, {'datasets:val:folders': None}], ids=str)
def test_a_training_that_cannot_begin(run, tmp_path, mistake, capsys):
    logger = {'logger:use_tb_logger': True}
    experiment = run('a', **SHORT, **logger)
    tensorboard = tmp_path / 'a/tb_logger/tiny'
    before = without_logs(files(experiment)), files(tensorboard)
    forget_log_file()
    if mistake == MISSING_WEIGHTS:
        run('a', status=2, **SHORT, **logger, **mistake)
    else:
        with pytest.raises(KeyError):  # no mistake of the user: with its traceback
            run('a', **SHORT, **logger, **mistake)
    assert (without_logs(files(experiment)), files(tensorboard)) == before
    assert sorted(os.listdir(experiment.parent)) == ['tiny'] and os.listdir(tensorboard.parent) == ['tiny']
    assert len(list(experiment.glob('train_tiny_*.log'))) == 2  # within a second or not
    assert list(tensorboard.glob('events*'))
    assert 'experiments/tiny is as it was: the run had not begun' in capsys.readouterr().err
    assert basicsr.train.mkdir_and_rename is misc.mkdir_and_rename


def test_after_the_mistake_a_run_goes_on(run):
    whole = run('whole')
    with interrupted_at(8):
        run('parts')
    run('parts', status=2, **MISSING_WEIGHTS)
    assert_same_run(whole, run('parts', '--auto_resume'))


def test_a_test_that_cannot_begin(run, tmp_path):
    weights = run('a', **SHORT) / 'models/net_g_latest.pth'
    sets = {'test': {'name': 'clips', 'type': 'TinyTestClips', 'folders': ['a']}}
    changes = {'datasets': sets, 'train': None, 'path:results_root': str(tmp_path / 'results [1]*')}
    run('a', command='test', **changes, **{'path:pretrain_network_g': str(weights)})
    (results,) = tmp_path.glob('results*')
    before = without_logs(files(results))
    assert any(path.name == 'metrics.json' for path in before)
    run('a', command='test', status=2, **changes, **MISSING_WEIGHTS)
    assert without_logs(files(results)) == before and list(tmp_path.glob('results*')) == [results]


def test_a_run_that_has_begun_keeps_its_folder(run):
    experiment = run('a', **SHORT)
    with interrupted_at(2):
        run('a', **SHORT)
    assert not list(experiment.glob('models/*'))
    (archived,) = experiment.parent.glob('tiny_archived_*')
    assert (archived / 'models/net_g_latest.pth').exists()


def test_the_log_of_a_first_run_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', '-opt', write_options(tmp_path, **MISSING_WEIGHTS)]) == 2
    assert os.listdir('experiments') == ['tiny']
    assert list(Path('experiments/tiny').glob('train_tiny_*.log'))
