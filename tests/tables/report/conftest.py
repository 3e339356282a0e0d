import shutil
from pathlib import Path

import pytest
from report_results import make_results


@pytest.fixture(scope='session')
def tested(tmp_path_factory):
    """The folder results with one and two."""
    return make_results(tmp_path_factory.mktemp('tested'))


@pytest.fixture
def results(tested, tmp_path, monkeypatch):
    """A copy of it to spoil, below the current directory."""
    shutil.copytree(tested, tmp_path / 'results')
    monkeypatch.chdir(tmp_path)
    return Path('results')
