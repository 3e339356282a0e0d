"""The JSON file of a row's results: written by several runs at once, and damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import basicsr_ssm
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.entries import ENTRIES
from basicsr_ssm.tables.running.results import read_result

STORING = """
import sys
from pathlib import Path
from basicsr_ssm.tables.entries import ENTRIES
from basicsr_ssm.tables.running.results import store_part
entry = ENTRIES['vsrm_tab7']
print('ready', flush=True)
sys.stdin.readline()
for number in range(50):
    store_part(Path(sys.argv[1]), entry, entry.rows[0], f'{sys.argv[2]}{number}', {})
"""


def test_parts_of_a_row_from_two_runs_at_once(tmp_path):
    env = {**os.environ, 'PYTHONPATH': str(Path(basicsr_ssm.__file__).parents[1])}
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'env': env}
    both = [subprocess.Popen([sys.executable, '-c', STORING, str(tmp_path), name], **pipes) for name in 'ab']
    for process in both:
        assert process.stdout.readline() == b'ready\n'
    for process in both:
        process.stdin.write(b'\n')
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=300)
        assert process.returncode == 0
    entry = ENTRIES['vsrm_tab7']
    parts = read_result(tmp_path, entry, entry.rows[0])['parts']
    assert sorted(parts) == sorted(f'{name}{number}' for name in 'ab' for number in range(50))
    visible = [path.name for path in (tmp_path / 'vsrm_tab7').iterdir() if not path.name.startswith('.')]
    assert visible == [f'{entry.rows[0].id}.json']


def test_a_damaged_result(runs):
    runs.run('vsrm_tab7', ['ffl'])
    path = runs.output / 'vsrm_tab7/ffl.json'
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match='ffl.json is no result any more; move it away'):
        runs.jobs('vsrm_tab7', ['ffl'])
