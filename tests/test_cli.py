import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import write_options

import basicsr_ssm
from basicsr_ssm import cli
from basicsr_ssm.errors import UserError

PACKAGE = Path(basicsr_ssm.__file__).parent


class Command:
    HELP = 'for tests'

    @staticmethod
    def add_arguments(parser):
        parser.add_argument('--what', default='nothing')

    @staticmethod
    def run(args):
        if args.what == 'mistake':
            raise UserError('mend this')
        if args.what == 'interrupt':
            raise KeyboardInterrupt
        if args.what == 'broken pipe':
            raise BrokenPipeError('of a worker')
        if args.what == 'path':
            print(os.fsdecode(b'Kn\xe4rz.mp4'))
        return 7


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setitem(sys.modules, 'command_for_tests', Command)
    monkeypatch.setattr(cli, 'COMMANDS', {'try': 'command_for_tests', 'other': 'not_there_at_all'})


def test_status_is_the_commands(command):
    assert cli.main(['try']) == 7


def test_mistakes_are_told_without_traceback(command, capsys):
    assert cli.main(['try', '--what', 'mistake']) == 2
    assert capsys.readouterr().err == 'error: mend this\n'


def test_paths_that_stdout_cannot_encode_are_escaped(command, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding='utf-8', errors='strict'))
    assert cli.main(['try', '--what', 'path']) == 7
    assert written.getvalue() == b'Kn\\udce4rz.mp4\n'


def test_ctrl_c(command):
    assert cli.main(['try', '--what', 'interrupt']) == 130


@pytest.mark.parametrize('name', ['train', 'test'])
def test_help(name, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([name, '-h'])
    assert done.value.code == 0
    assert '--force_yml' in capsys.readouterr().out


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(['trian'])
    assert done.value.code == 2
    assert 'train' in capsys.readouterr().err


def test_train_file_runs_from_anywhere(tmp_path):
    """As BasicSR's plugins are run: python path/to/train.py, not installed, from a folder of one's own."""
    option_file = write_options(tmp_path, trian={})
    command = [sys.executable, str(PACKAGE / 'train.py'), '-opt', option_file]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'trian: no such option; did you mean train?' in done.stderr
    assert 'Traceback' not in done.stderr


def test_forced_options_reach_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ['train', '-opt', write_options(tmp_path), '--force_yml', 'datasets:train:clips=1']
    assert cli.main(arguments) == 2
    assert 'an epoch of clips has 1 × 1' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, option, name',
    [
        ('train -opt x.yml', '--force_yml', 'force_yml'),
        ('test -opt x.yml', '--force_yml', 'force_yml'),
        ('compare -opt x.yml', '--force_yml', 'force_yml'),
        ('report results --output x.html', '--force_yml', 'force_yml'),
        ('report results --output x.html', '--frames', 'frames'),
        ('tables run all', '--set', 'settings'),
        ('tables run all', '--data', 'data'),
        ('tables run all', '--weights', 'weights'),
        ('tables run all', '--row', 'row'),
        ('tables run all', '--only', 'only'),
        ('tables flow-error --spynet x.pth --output x', '--data', 'data'),
    ],
)
def test_an_option_given_again_adds_to_the_first(words, option, name):
    argv = [*words.split(), option, 'a=1', 'b=2', option, 'c=3']
    assert getattr(cli._parser(argv).parse_args(argv), name) == ['a=1', 'b=2', 'c=3']


def test_nobody_reads_the_output():
    """As `basicsr-ssm tables list | head` leaves it."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, '-m', 'basicsr_ssm', 'tables', 'list']
    done = subprocess.run(command, cwd=PACKAGE.parent, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, '')


def test_another_broken_pipe_is_an_error(command):
    with pytest.raises(BrokenPipeError, match='of a worker'):
        cli.main(['try', '--what', 'broken pipe'])
