import json
import sys
from pathlib import Path

import pytest

from basicsr_ssm.tables.entries import ENTRIES, find_rows
from basicsr_ssm.tables.running import provenance
from basicsr_ssm.tables.running.jobs import plan_jobs
from basicsr_ssm.tables.running.lanes import run_jobs
from basicsr_ssm.tables.running.request import Request

OPTIONS = Path(__file__).parents[2] / 'options'
FAKE = (sys.executable, str(Path(__file__).with_name('fake_program.py')))


class Runs:
    """Rows of a table run by the fake program, into one output folder."""

    def __init__(self, folder):
        self.output = folder / 'out'
        self.log = folder / 'calls.jsonl'

    def request(self, **more):
        return Request(**{'output': self.output, 'options': OPTIONS, 'program': FAKE, **more})

    def jobs(self, name, rows=(), **more):
        entry = ENTRIES[name]
        return plan_jobs([(entry, row) for row in find_rows(entry, list(rows))], self.request(**more))

    def run(self, name, rows=(), gpus=None, **more):
        return run_jobs(self.jobs(name, rows, **more), self.request(**more), gpus, lambda text: None)

    def calls(self, event='start'):
        """[(command, GPU, time, words)]"""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [(c['words'][0], c['gpu'], c['time'], c['words']) for c in lines if c['event'] == event]

    def result(self, name, row):
        return json.loads((self.output / name / f'{row}.json').read_text())


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder to run rows in; options are checked without building networks, and no GPU is asked for its name."""
    monkeypatch.setattr('basicsr_ssm.options.schema._Check.dry_build', lambda *args: None)
    monkeypatch.setattr(provenance, 'machine', lambda gpu: {'card': f'card {gpu}', 'torch': '0'})
    monkeypatch.setenv('FAKE_CALLS', str(tmp_path / 'calls.jsonl'))
    monkeypatch.chdir(tmp_path)
    return Runs(tmp_path)
