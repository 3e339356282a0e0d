"""The copy of the option file in the experiment's folder, and training from that copy."""

import shutil
import sys
from pathlib import Path

import basicsr.train
import pytest
from tiny_training import write_options
from training_runs import assert_same_run, interrupted_at

from basicsr_ssm import cli


@pytest.fixture
def train(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda file, *arguments: cli.main(['train', '-opt', str(file), *arguments])


def without_header(copy):
    time, cmd, command, empty, *rest = copy.read_bytes().split(b'\n')
    assert time.startswith(b'# GENERATE TIME: ') and cmd == b'# CMD:' and command.startswith(b'# ') and not empty
    return b'\n'.join(rest)


def test_a_run_keeps_its_option_file(run, tmp_path):
    theirs = basicsr.train.copy_opt_file
    copy = run('a') / 'tiny.yml'
    assert without_header(copy) == (tmp_path / 'a/tiny.yml').read_bytes()
    assert basicsr.train.copy_opt_file is theirs


def test_the_command_stays_a_comment(run, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'argv', ['train.py', '--force_yml', 'name=a\nscale: 3', '\udcff'])
    experiment = run('a')
    assert '# train.py --force_yml name=a\n# scale: 3 \\udcff\n\nname: tiny' in (experiment / 'tiny.yml').read_text()


def test_resumed_from_its_own_copy(run, train, tmp_path):
    whole = run('whole')
    with interrupted_at(8):
        run('parts')
    folder = tmp_path / 'parts'
    copy = folder / 'experiments/tiny/tiny.yml'
    (folder / 'tiny.yml').unlink()
    content = copy.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train('experiments/tiny/tiny.yml', '--auto_resume') == 0
    assert copy.read_bytes() == content
    assert_same_run(whole, copy.parent)


@pytest.mark.parametrize('through_link', [False, True])
def test_begun_anew_from_its_own_copy(through_link, train, tmp_path):
    """BasicSR renames the folder that the file lies in before it copies the file."""
    assert train(write_options(tmp_path, **{'train:total_iter': 2})) == 0
    copy = Path('experiments/tiny/tiny.yml')
    content = copy.read_bytes()
    if through_link:
        Path('link').mkdir()
        Path('link/tiny.yml').symlink_to(copy.absolute())
    assert train('link/tiny.yml' if through_link else copy) == 0
    assert without_header(copy) == content
    (archived,) = Path('experiments').glob('tiny_archived_*')
    assert (archived / 'tiny.yml').read_bytes() == content
    assert (copy.parent / 'models/net_g_latest.pth').exists()


def test_resumed_from_another_file(train, tmp_path):
    """Which replaces the copy, in one step."""
    with interrupted_at(5):
        train(write_options(tmp_path))
    shutil.move(tmp_path / 'experiments/tiny/tiny.yml', tmp_path / 'older.yml')
    (tmp_path / 'experiments/tiny/tiny.yml').symlink_to(tmp_path / 'older.yml')
    older = (tmp_path / 'older.yml').read_bytes()
    file = Path(write_options(tmp_path, **{'logger:print_freq': 2}))
    assert train(file, '--auto_resume') == 0
    copy = tmp_path / 'experiments/tiny/tiny.yml'
    assert without_header(copy) == file.read_bytes() and not copy.is_symlink()
    assert (tmp_path / 'older.yml').read_bytes() == older
