"""`tables run` as it is called: one row trained for real, what is said, SLURM jobs, dry runs."""

import csv
import json
import os
import shlex
import stat
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from basicsr_ssm import cli
from basicsr_ssm.tables import run_command
from basicsr_ssm.tables.entries import ENTRIES
from basicsr_ssm.tables.running.jobs import plan_jobs
from basicsr_ssm.tables.running.request import Request

FAKE = (sys.executable, str(Path(__file__).with_name('fake_program.py')))


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """datasets/hyperkvasir, one clip of two frames for each split."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        frames = [cv2.GaussianBlur(rng.integers(0, 255, (32, 40, 3), np.uint8), (0, 0), 2) for _ in range(2)]
        for kind, step in (('GT', 1), ('BIx4', 4)):
            root = tmp_path / 'clips' / split / f'{kind}.lmdb'
            root.mkdir(parents=True)
            environment = lmdb.open(str(root), map_size=1 << 22)
            with environment.begin(write=True) as transaction:
                for i, frame in enumerate(frames):
                    content = cv2.imencode('.png', frame[::step, ::step].copy())[1].tobytes()
                    transaction.put(f'clip/{i:08d}'.encode(), content)
            environment.close()
            lines = (f'clip/{i:08d}.png ({32 // step},{40 // step},3) 1\n' for i in range(2))
            (root / 'meta_info.txt').write_text(''.join(lines))
    return tmp_path / 'clips'


def test_a_row_trained_tested_and_rendered(clips, capsys):
    small = 'mid_channels=32 num_blocks=1 n_convfe=1 n_convrec=2 window_size=8 rec_ks=3 spynet_path=~'
    settings = [f'network_g:{word}' for word in small.split()]
    settings += [f'datasets:train:{word}' for word in ('num_frame=2', 'gt_size=32', 'num_worker_per_gpu=0')]
    settings += ['train:accumulate=1', 'logger:use_tb_logger=false', 'val:pbar=false']
    words = ['tables', 'run', 'medvsr_tab2', '--row', 't-3', '--only', 'trained', '--iterations', '2']
    words += ['--data', f'hyperkvasir={clips}', '--set', *settings]
    assert cli.main(words) == 0
    said = capsys.readouterr().err
    assert 'medvsr_tab2/t-3: hyperkvasir done' in said and '1 rows run, 0 finished before' in said
    output = Path('results/tables')
    result = json.loads((output / 'medvsr_tab2/t-3.json').read_text())
    part = result['parts']['hyperkvasir']
    log = json.loads(next(output.glob('runs/test_*/results/metrics.json')).read_text())
    assert part['figures']['psnr'] == log['HyperKvasir_test']['mean']['psnr']
    assert 5 < part['figures']['psnr'] < 60
    machine = part['steps'][0]['machine']
    assert machine['torch'] and machine['basicsr_ssm'] and 'commit' in machine
    assert part['data'][f'{clips}/train/GT.lmdb']['of'] == 'meta_info'
    assert part['schedule'] == {'iterations': 2, 'published_iterations': 100000, 'batch': 1, 'precision': 'float32'}
    assert cli.main(words) == 0
    assert '0 rows run, 1 finished before' in capsys.readouterr().err

    assert cli.main(['tables', 'render', 'medvsr_tab2']) == 0
    printed = capsys.readouterr().out
    assert '[1] NOT THE SCHEDULE OF THE PAPER: 2 of 100000 iterations' in printed
    rows = {row['row']: row for row in csv.DictReader((output / 'medvsr_tab2.csv').open())}
    assert rows['t-3']['HyperKvasir PSNR, ours'] == f'{part["figures"]["psnr"]:.4f}'
    assert rows['t-2']['HyperKvasir PSNR, ours'] == 'not run'


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['tables', 'run', 'medvsr_tab5', '--dry-run', '--iterations', '100']) == 0
    out = capsys.readouterr().out
    assert 'basicsr-ssm train -opt ' in out and 'train.total_iter: 100 (300000)' in out
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(runs, monkeypatch, capsys):
    """`tables run` with the fake program → the last line that it says."""
    asked = run_command._request
    monkeypatch.setattr(run_command, '_request', lambda args: replace(asked(args), program=FAKE))

    def run(*words):
        assert cli.main(['tables', 'run', *words]) == 0
        return capsys.readouterr().err.splitlines()[-1]

    return run


def test_a_row_is_run_or_was_finished_before(run):
    row = ['vsrm_tab8', '--row', 'VSRM']
    assert run(*row, '--only', 'complexity') == '1 rows run, 0 finished before, 0 lack weights, 0 failed'
    assert run(*row) == '1 rows run, 0 finished before, 0 lack weights, 0 failed'
    assert run(*row) == '0 rows run, 1 finished before, 0 lack weights, 0 failed'
    assert run('vsrm_tab8') == '3 rows run, 1 finished before, 0 lack weights, 0 failed'


def test_a_row_that_lacks_weights_is_not_finished(run):
    row = ['vsrm_tab2', '--row', 'BasicVSR']
    run(*row, '--only', 'measured')
    assert run(*row) == '0 rows run, 0 finished before, 1 lack weights, 0 failed'


def test_iterations_and_weights_of_finished_parts_are_no_mistake(run, tmp_path):
    row = ['medvsr_tab2', '--row', 't-3', '--iterations', '5']
    run(*row)
    assert run(*row) == '0 rows run, 1 finished before, 0 lack weights, 0 failed'
    (tmp_path / 'peer.pth').write_text('weights')
    row = ['vsrm_tab2', '--row', 'BasicVSR', '--weights', 'BasicVSR=peer.pth']
    run(*row)
    assert run(*row) == '0 rows run, 1 finished before, 0 lack weights, 0 failed'


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Says the number of the job, and writes down what it was given. Options are checked without building networks."""
    monkeypatch.setattr('basicsr_ssm.options.schema._Check.dry_build', lambda *args: None)
    program = tmp_path / 'bin/sbatch'
    program.parent.mkdir()
    calls = tmp_path / 'sbatch.txt'
    program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\necho "$(wc -l <{calls});cluster"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.chdir(tmp_path)
    return calls


def test_slurm(tmp_path, sbatch, capsys):
    words = ['tables', 'run', 'vsrm_tab3', 'vsrm_tab4', 'medvsr_tab5', '--slurm', '--only', 'trained']
    words += ['--iterations', '50', '--set', 'network_g:mid_channels=32', 'train:amp=bf16']
    assert cli.main([*words, '--data', 'reds=/data/my reds', 'hyperkvasir=/data/hk']) == 0
    script = (tmp_path / 'results/tables/vsrm_tab4/dca.sbatch').read_text()
    assert '#SBATCH --gpus=1\n' in script and f'cd {tmp_path}' in script
    command = script.splitlines()[-1]
    assert '-m basicsr_ssm tables run vsrm_tab4 --row dca --output' in command
    assert command.endswith("--iterations 50 --only trained --data 'reds=/data/my reds' --set train:amp=bf16")
    other = (tmp_path / 'results/tables/medvsr_tab5/MedVSR.sbatch').read_text()
    assert other.rstrip().endswith('--data hyperkvasir=/data/hk --set network_g:mid_channels=32 train:amp=bf16')
    calls = sbatch.read_text().splitlines()
    assert len(calls) == 12
    calls = calls[:9]
    base = next(i for i, call in enumerate(calls, 1) if call.endswith('vsrm_tab3/mamba.sbatch'))
    assert calls[-1].endswith('vsrm_tab4/dca.sbatch') and f'--dependency=afterany:{base} ' in calls[-1]
    assert not any('--dependency' in call for call in calls[:-1])
    assert '12 rows submitted' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['my results', '50%j', 'a#b', "it's", 'say "so"', 'back\\slash'])
def test_slurm_writes_its_log_where_the_results_are(tmp_path, sbatch, name):
    """Quoted as in a shell, by sbatch's own rules; %% is its %."""
    row = ['--row', 'MedVSR', '--output', f'out/{name}']
    assert cli.main(['tables', 'run', 'medvsr_tab5', '--slurm', *row]) == 0
    folder = tmp_path / 'out' / name / 'medvsr_tab5'
    lines = (folder / 'MedVSR.sbatch').read_text().splitlines()
    (option,) = (line.removeprefix('#SBATCH ') for line in lines if line.startswith('#SBATCH --output='))
    assert shlex.split(option, comments=True) == [f'--output={folder}/MedVSR.slurm.log'.replace('%', '%%')]


def test_slurm_shortens_the_trainings_alone(tmp_path, sbatch):
    """A row that is not trained is not given --iterations, which it would refuse."""
    assert cli.main(['tables', 'run', 'vsrm_tab2', 'vsrm_tab8', '--slurm', '--iterations', '50']) == 0
    folder = tmp_path / 'results/tables'
    assert '--iterations 50' in (folder / 'vsrm_tab2/VSRM-6.sbatch').read_text()
    for row in ('vsrm_tab2/BasicVSR', 'vsrm_tab8/VSRM'):
        assert '--iterations' not in (folder / f'{row}.sbatch').read_text()


def test_slurm_without_sbatch(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert cli.main(['tables', 'run', 'medvsr_tab5', '--row', 'MedVSR', '--slurm']) == 1
    assert 'there is no sbatch on this machine' in capsys.readouterr().err
    assert (tmp_path / 'results/tables/medvsr_tab5/MedVSR.sbatch').exists()


@pytest.mark.parametrize(
    'words, said',
    [
        (['medvsr_tab9'], 'no table or figure is called medvsr_tab9; did you mean medvsr_tab'),
        (['medvsr_tab1', 'medvsr_tab2', '--row', 'both'], '--row: give one table alone'),
        (['medvsr_tab1', '--data', 'hyperkvasir'], '--data hyperkvasir: expected NAME=DIR'),
        (['medvsr_tab1', '--options', 'nowhere'], 'cannot read option file nowhere/'),
        (['medvsr_tab1', '--gpus', '0', '--slurm'], '--gpus: SLURM gives each job its GPU'),
        (['vsrm_tab8', '--only', 'complexity', '--iterations', '5'], '--iterations: none of these rows is trained'),
        (['vsrm_tab2', '--row', 'BasicVSR', '--iterations', '5'], '--iterations: none of these rows is trained'),
        (['vsrm_tab2', '--only', 'measured', '--iterations', '5'], '--iterations: none of these rows is trained'),
        (
            ['vsrm_tab2', '--row', 'BasicVSR', '--only', 'measured', '--weights', 'BasicVSR=F'],
            '--weights BasicVSR: nothing that these rows are asked for takes it',
        ),
        (
            ['medvsr_eq4', 'vsrm_tab8', '--only', 'latency', '--weights', 'SpyNet=F'],
            '--weights SpyNet: nothing that these rows are asked for takes it',
        ),
    ],
)
def test_what_is_refused(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['tables', 'run', *words, '--dry-run']) == 2
    assert said in capsys.readouterr().err


def test_gpus_are_different_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(['tables', 'run', 'medvsr_tab1', '--gpus', '0,0'])
    assert 'expected different GPUs' in capsys.readouterr().err


@pytest.mark.parametrize('gpus', ['none', 'GPU-ab', '0,none', '-1', '0,', '1,01'])
def test_gpus_are_given_by_their_numbers(gpus, capsys):
    with pytest.raises(SystemExit):
        cli.main(['tables', 'run', 'medvsr_tab1', '--dry-run', f'--gpus={gpus}'])
    assert f'{gpus}: expected different GPUs by their numbers, as in 0,1' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('count', 'visible', 'gpus', 'said'),
    [
        (0, None, '0,1', '--gpus 0,1: this process sees no GPU\n'),
        (0, '', '0', '--gpus 0: this process sees no GPU (CUDA_VISIBLE_DEVICES=)\n'),
        (1, None, '1', '--gpus 1: this process sees 1 GPU, 0\n'),
        (1, '3', '0,1', '--gpus 1: this process sees 1 GPU, 0 (CUDA_VISIBLE_DEVICES=3)\n'),
        (2, 'GPU-a,GPU-b', '1,2,5', '--gpus 2,5: this process sees 2 GPUs, 0,1 (CUDA_VISIBLE_DEVICES=GPU-a,GPU-b)\n'),
    ],
)
def test_gpus_that_this_process_does_not_see(runs, monkeypatch, capsys, count, visible, gpus, said):
    """Refused before anything runs."""
    monkeypatch.setattr('torch.cuda.device_count', lambda: count)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert cli.main(['tables', 'run', 'vsrm_tab8', '--row', 'VSRM', '--only', 'complexity', '--gpus', gpus]) == 2
    assert capsys.readouterr().err.endswith(said)
    assert not runs.output.exists() and not runs.calls()


@pytest.mark.parametrize(('visible', 'used'), [('4,5', {'4', '5'}), ('GPU-ab,GPU-cd', {'GPU-ab', 'GPU-cd'})])
def test_gpus_that_this_process_sees(runs, run, monkeypatch, visible, used):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    run('vsrm_tab8', '--only', 'complexity', '--gpus', '0,1')
    assert {gpu for _, gpu, *_ in runs.calls()} == used


def test_flow_error_of_a_data_set(tmp_path):
    """`tables flow-error` gets the row's data and the user's flow network."""
    (tmp_path / 'spynet.pth').write_text('weights')
    request = Request(
        tmp_path,
        tmp_path,
        weights={'SpyNet': tmp_path / 'spynet.pth'},
        data={'Vid4': '/data/vid4'},
        settings=('flow_error:clips=2', 'flow_error:field_of_view=true'),
    )
    row = next(row for row in ENTRIES['medvsr_eq4'].rows if row.id == 'Vid4')
    (job,) = plan_jobs([(ENTRIES['medvsr_eq4'], row)], request)
    (step,) = job.parts[0].steps
    expected = ['--data', 'Vid4=/data/vid4/GT', '--spynet', str(tmp_path / 'spynet.pth'), '--output', str(step.folder)]
    assert list(step.arguments[2:]) == [*expected, '--clips', '2', '--field-of-view']
    step.folder.mkdir(parents=True)
    (step.folder / 'flow_error.json').write_text(json.dumps({'Vid4': {'clips': {}, 'mean': {'omega': 3.5}}}))
    assert step.figures() == {'omega': 3.5}
