import pytest
from basicsr_logger import forget_log_file
from tiny_training import write_options

from basicsr_ssm import cli


@pytest.fixture(autouse=True)
def fresh_logger():
    forget_log_file()
    yield
    forget_log_file()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(folder name, *arguments, **option changes): a training run in a folder of its own; gives the folder."""

    def run_(name, *arguments, command='train', status=0, **changes):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        assert cli.main([command, '-opt', write_options(folder, **changes), *arguments]) == status
        return folder / ('experiments' if command == 'train' else 'results') / changes.get('name', 'tiny')

    return run_
