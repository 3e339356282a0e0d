"""`compare` where the results, the option file or the clips are not what they were in the test."""

import os
import shutil

import pytest
from basicsr_logger import forget_log_file
from tiny_training import write_options

from basicsr_ssm import cli

CLIPS = ['a', 'b']
METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}, 'ssim': {'type': 'calculate_ssim', 'crop_border': 0}}
TESTED = {
    'train': None,
    'val:save_img': True,
    'val:metrics': METRICS,
    'datasets': {'test': {'name': 'clips', 'type': 'TinyTestClips', 'folders': CLIPS}},
}


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    """The results folder of a test."""
    folder, before = tmp_path_factory.mktemp('tested'), os.getcwd()
    os.chdir(folder)
    forget_log_file()
    assert cli.main(['test', '-opt', write_options(folder, **TESTED)]) == 0
    forget_log_file()
    os.chdir(before)
    return folder / 'results/tiny'


@pytest.fixture
def results(tested, tmp_path, monkeypatch):
    """A copy of it to spoil, below the current directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(tested, tmp_path / 'results/tiny')


@pytest.fixture
def compare(tmp_path, results, capsys):
    """compare(**changes of the option file): its exit status and what it says, unless it is an error to refuse."""

    def compare_(**changes):
        status = cli.main(['compare', '-opt', write_options(tmp_path, **{**TESTED, **changes})])
        said = capsys.readouterr()
        return status, said.out + said.err

    return compare_


@pytest.fixture
def refused(compare, results):
    """refused(**changes of the option file): the error's text, where nothing has been written."""

    def refused_(**changes):
        status, said = compare(**changes)
        assert status == 2 and 'error: ' in said
        assert list(results.glob('comparison*')) == []
        return said

    return refused_


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('{"clips": {"a": {"ps', 'is no JSON any more: '),
        ('[]', 'is not what `basicsr-ssm test` writes; test again'),
        ('{"clips": {"a": [1]}}', 'is not what `basicsr-ssm test` writes: '),
        ('{"clips": {"a": {"psnr": null}}}', 'is not what `basicsr-ssm test` writes: '),
    ],
)
@pytest.mark.parametrize('file', ['metrics.json', 'metrics_per_frame.json'])
def test_damaged_measurements_are_named(results, refused, file, content, words):
    (results / file).write_text(content)
    assert f'{results / file} {words}' in refused()


def test_measurements_that_cannot_be_read_are_named(results, refused):
    (results / 'metrics.json').unlink()
    (results / 'metrics.json').mkdir()
    assert f'cannot read {results}/metrics.json: Is a directory' in refused()
