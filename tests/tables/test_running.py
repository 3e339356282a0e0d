"""Rows run by a fake program: order, GPUs, failures, interruptions and what is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import basicsr_ssm
from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.running.lanes import _lock, run_jobs
from basicsr_ssm.tables.running.provenance import environment

REDUCED = {'iterations': 100, 'settings': ('network_g:mid_channels=32',)}


def test_a_row(runs):
    assert runs.run('medvsr_tab2', ['t-3']) == {}
    assert [words[:2] for *_, words in runs.calls()] == [
        ['tables', 'measure'],
        ['tables', 'measure'],
        ['train', '-opt'],
        ['test', '-opt'],
    ]
    assert runs.calls()[2][3][-1] == '--auto_resume'
    result = runs.result('medvsr_tab2', 't-3')
    assert (result['table'], result['row'], result['title']) == ('medvsr_tab2', 't-3', 't-3')
    assert list(result['parts']) == ['complexity', 'latency', 'hyperkvasir']
    assert result['parts']['complexity']['network']['num_propagated'] == 3
    assert result['parts']['latency']['figures']['settings'] == {'size': [144, 180], 'frames': 50}
    tested = result['parts']['hyperkvasir']
    assert tested['figures']['psnr'] == 31.5 and tested['figures']['clips']['clip']['psnr'] == 31.5
    assert (tested['seed'], tested['changes']) == (0, {})
    assert tested['schedule'] == {
        'iterations': 100000,
        'published_iterations': 100000,
        'batch': 2,
        'precision': 'float32',
    }
    assert [step['kind'] for step in tested['steps']] == ['train', 'test']
    assert tested['steps'][0]['machine']['card'] == 'card None'
    files = tested['option_files']
    assert list(files) == ['ablation/medvsr_num_propagated_3.yml', 'test/MedVSR/medvsr_hyperkvasir_x4.yml']
    written = {path.read_text() for path in runs.output.glob('runs/*/t*.yml')}
    assert written == {file['text'] for file in files.values()}
    assert set(tested['data'].values()) == {None} and len(tested['data']) == 6  # there is no such data here


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (None, 'has no figures of REDS4'),
        ({'Vid4': {'mean': {'psnr': 30.0}}}, 'has no figures of REDS4'),
        ({'REDS4': {'clip': {'psnr': 30.0}}}, 'has no figures of REDS4'),
        ({'REDS4': {'mean': {'psnr': None}}}, 'is not what `basicsr-ssm test` writes'),
        ([], 'is not what `basicsr-ssm test` writes'),
    ],
    ids=['no file', 'another data set', 'no mean', 'no number', 'a list'],
)
def test_figures_that_a_test_did_not_leave(runs, content, said):
    (job,) = runs.jobs('vsrm_tab7', ['fcl-0.02'])
    step = job.parts[0].steps[-1]
    (step.folder / 'results').mkdir(parents=True)
    if content is not None:
        (step.folder / 'results' / 'metrics.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=f'metrics.json {said}'):
        step.figures()


def test_what_is_finished_is_not_run_again(runs):
    runs.run('medvsr_tab2', ['t-3'], only=('measured',))
    assert len(runs.calls()) == 2
    runs.run('medvsr_tab2', ['t-3'])
    assert [name for name, *_ in runs.calls()] == ['tables', 'tables', 'train', 'test']
    (job,) = runs.jobs('medvsr_tab2', ['t-3'])
    assert job.parts == [] and job.kept == ['complexity', 'latency', 'hyperkvasir']
    runs.run('medvsr_tab2', ['t-3'], only=('trained',), replace=True)
    assert [name for name, *_ in runs.calls()][4:] == ['test']  # the training stays


def names_of(runs, count):
    """The folders in which the last commands ran, without their digests."""
    return [Path(words[2]).parent.name.rpartition('-')[0] for *_, words in runs.calls()[-count:]]


def test_trainings_whose_checkpoints_are_gone(runs):
    """Run again where a test starts from them, and only there."""
    runs.run('vsrm_tab7', ['ffl'])
    (checkpoint,) = runs.output.glob('runs/*/training/models/net_g_latest.pth')
    checkpoint.unlink()
    assert runs.run('vsrm_tab7', ['ffl']) == {} and len(runs.calls()) == 2  # all has results
    assert runs.run('vsrm_tab7', ['ffl'], replace=True) == {}
    assert names_of(runs, 4) == ['vsrm_loss_ffl', 'test_vsrm_REDS4_N6'] * 2 and len(runs.calls()) == 4
    checkpoint.unlink()
    (runs.output / 'vsrm_tab7/ffl.json').unlink()
    assert runs.run('vsrm_tab7', ['ffl']) == {} and len(runs.calls()) == 4  # figures are in the records


def test_trainings_before_others_whose_checkpoints_are_gone(runs):
    runs.run('vsrm_tab2', ['VSRM-16'], only=('vid4',))
    names = names_of(runs, 3)
    first, second = (next(runs.output.glob(f'runs/{name}-*/training/models/net_g_latest.pth')) for name in names[:2])
    first.unlink()
    assert runs.run('vsrm_tab2', ['VSRM-16'], only=('vid4',), replace=True) == {}
    assert names_of(runs, 1) == names[2:] and len(runs.calls()) == 4
    second.unlink()
    assert runs.run('vsrm_tab2', ['VSRM-16'], only=('vid4',), replace=True) == {}
    assert names_of(runs, 3) == names and len(runs.calls()) == 7


def test_a_training_that_leaves_no_checkpoint_has_failed(runs):
    jobs = runs.jobs('vsrm_tab7', ['ffl'])
    failed = run_jobs(jobs, runs.request(program=(sys.executable, '-c', '')), None, lambda text: None)
    assert 'train left no ' in failed['vsrm_tab7/ffl'] and 'net_g_latest.pth (' in failed['vsrm_tab7/ffl']


def test_tables_share_trainings_and_measurements(runs):
    runs.run('vsrm_tab3', ['mamba'])
    assert len(runs.calls()) == 3
    runs.run('vsrm_tab4', ['dca'])
    runs.run('vsrm_tab7', ['fcl-0.02'])
    assert len(runs.calls()) == 3
    assert runs.result('vsrm_tab4', 'dca')['parts'].keys() == runs.result('vsrm_tab3', 'mamba')['parts'].keys()


def test_rows_side_by_side(runs, monkeypatch):
    """Two GPUs: each has one row at a time, both are at work at once, and the order is kept."""
    monkeypatch.setenv('FAKE_SLEEP', '1')
    assert runs.run('vsrm_tab7', ['ffl', 'fsl', 'whfl', 'fcl-0'], gpus=['3', '5']) == {}
    spans = {}
    for event in ('start', 'end'):
        for _, gpu, at, words in runs.calls(event):
            spans.setdefault((gpu, words[2]), []).append(at)
            assert gpu in ('3', '5')
    assert len(spans) == 8 and all(len(span) == 2 for span in spans.values())
    by_gpu = {gpu: sorted(span for (g, _), span in spans.items() if g == gpu) for gpu in ('3', '5')}
    for mine in by_gpu.values():
        assert all(before[1] <= after[0] for before, after in zip(mine, mine[1:], strict=False))
    trains = {gpu: [span for (g, file), span in spans.items() if g == gpu and 'train.yml' in file] for gpu in by_gpu}
    assert {len(mine) for mine in trains.values()} == {2}
    assert any(a[0] < b[1] and b[0] < a[1] for a in trains['3'] for b in trains['5'])
    assert runs.result('vsrm_tab7', 'ffl')['parts']['reds4']['steps'][0]['machine']['card'] in ('card 3', 'card 5')


def test_two_rows_of_one_training_side_by_side(runs, monkeypatch):
    """The second one waits, and does not train it again."""
    monkeypatch.setenv('FAKE_SLEEP', '0.5')
    jobs = [*runs.jobs('vsrm_tab3', ['mamba'], only=('trained',)), *runs.jobs('vsrm_tab4', ['dca'], only=('trained',))]
    assert run_jobs(jobs, runs.request(only=('trained',)), ['0', '1'], lambda text: None) == {}
    assert [name for name, *_ in runs.calls()] == ['train', 'test']
    assert runs.result('vsrm_tab4', 'dca')['parts'] == runs.result('vsrm_tab3', 'mamba')['parts']


def test_a_row_that_fails_leaves_the_others(runs, monkeypatch):
    monkeypatch.setenv('FAKE_FAIL', 'FocalFrequencyLoss')
    failed = runs.run('vsrm_tab7', ['ffl', 'fsl'])
    assert (
        list(failed) == ['vsrm_tab7/ffl']
        and 'train ended with status 2: error: as it was told' in failed['vsrm_tab7/ffl']
    )
    assert not (runs.output / 'vsrm_tab7/ffl.json').exists()
    assert runs.result('vsrm_tab7', 'fsl')['parts']
    monkeypatch.delenv('FAKE_FAIL')
    assert runs.run('vsrm_tab7', ['ffl', 'fsl']) == {}
    assert [name for name, *_ in runs.calls()] == ['train', 'train', 'test', 'train', 'test']


@pytest.mark.parametrize('words, told', [('half way', 'half way'), ('', 'it said nothing')])
def test_the_words_of_the_last_attempt_are_told(runs, monkeypatch, words, told):
    """Not the error of the one before, which is mended."""
    monkeypatch.setenv('FAKE_FAIL', 'FocalFrequencyLoss')
    assert 'error: as it was told' in runs.run('vsrm_tab7', ['ffl'])['vsrm_tab7/ffl']
    jobs = runs.jobs('vsrm_tab7', ['ffl'])
    killed = f'import os; print({words!r}, flush=True); os.kill(os.getpid(), 9)'
    failed = run_jobs(jobs, runs.request(program=(sys.executable, '-c', killed)), None, lambda text: None)
    assert f'train was killed by signal 9: {told} (' in failed['vsrm_tab7/ffl']


def test_a_training_that_fails_is_tried_once(runs, monkeypatch):
    monkeypatch.setenv('FAKE_FAIL', 'name: REDS_train')
    jobs = [*runs.jobs('vsrm_tab3', ['mamba'], only=('trained',)), *runs.jobs('vsrm_tab4', ['dca'], only=('trained',))]
    failed = run_jobs(jobs, runs.request(only=('trained',)), ['0', '1'], lambda text: None)
    assert list(failed) == ['vsrm_tab3/mamba', 'vsrm_tab4/dca'] and len(set(failed.values())) == 1
    assert len(runs.calls()) == 1


def test_a_reduced_row_is_marked(runs):
    runs.run('medvsr_tab2', ['t-4'], **REDUCED)
    part = runs.result('medvsr_tab2', 't-4')['parts']['hyperkvasir']
    assert part['schedule']['iterations'] == 100 and part['schedule']['published_iterations'] == 100000
    changes = part['changes']['ablation/medvsr_num_propagated_4.yml']
    assert {'key': 'network_g.mid_channels', 'value': 32, 'recipe': 64} in changes
    assert runs.result('medvsr_tab2', 't-4')['parts']['complexity']['network']['mid_channels'] == 32
    with pytest.raises(UserError, match='made with other options; choose another --output, or --replace it'):
        runs.jobs('medvsr_tab2', ['t-4'])
    assert [name for name, *_ in runs.calls()].count('train') == 1
    runs.run('medvsr_tab2', ['t-4'], only=('trained',), replace=True)  # the whole schedule is another training
    assert [name for name, *_ in runs.calls()].count('train') == 2


def test_settings_nobody_takes(runs):
    with pytest.raises(UserError, match='--set network_g:mid_chanels=3: .*did you mean mid_channels'):
        runs.jobs('medvsr_tab2', ['t-4'], settings=('network_g:mid_chanels=3',))
    with pytest.raises(UserError, match='--weights VSRM: no row that takes weights is called so; known: t-4'):
        runs.jobs('medvsr_tab2', ['t-4'], weights={'VSRM': Path('x')})
    with pytest.raises(UserError, match=r'num_propagated_4.yml:\n  train.total_iter: expected a whole number'):
        runs.jobs('medvsr_tab2', ['t-4'], settings=('train:total_iter=x',))


def test_what_no_row_uses(runs):
    for more, said in (
        ({'weights': {'VSRM': Path('x')}}, '--weights VSRM: no row that takes weights is called so; known: $'),
        ({'data': {'reds': 'x'}}, '--data reds: no option file of these rows has anything in datasets/reds'),
        ({'only': ('latence',)}, '--only latence: these rows have no such part; did you mean latency'),
    ):
        with pytest.raises(UserError, match=said.replace('known: $', 'known: nothing')):
            runs.jobs('vsrm_tab8', ['VSRM'], **more)


def test_a_test_that_fails_leaves_the_others_of_its_row(runs, monkeypatch):
    """But a training that fails takes along what needs it."""
    monkeypatch.setenv('FAKE_FAIL', 'datasets/vimeo90k/test')
    failed = runs.run('vsrm_tab2', ['VSRM-16'])
    assert list(failed) == ['vsrm_tab2/VSRM-16'] and failed['vsrm_tab2/VSRM-16'].startswith('vimeo90k: test ended')
    assert list(runs.result('vsrm_tab2', 'VSRM-16')['parts']) == ['complexity', 'reds4', 'vid4']
    monkeypatch.setenv('FAKE_FAIL', 'name: REDS_train')
    before = len(runs.calls())
    failed = runs.run('vsrm_tab2', ['VSRM-16'], settings=('train:total_iter=9',), replace=True, only=('trained',))
    assert failed['vsrm_tab2/VSRM-16'].startswith('reds4: train ended')
    assert len(runs.calls()) == before + 1


def test_settings_of_measurements(runs):
    runs.run('medvsr_tab2', ['t-2'], only=('measured',), settings=('latency:frames=4', 'latency:precision=bf16'))
    parts = runs.result('medvsr_tab2', 't-2')['parts']
    assert parts['latency']['figures']['settings'] == {'size': [144, 180], 'frames': 4, 'precision': 'bf16'}
    assert parts['latency']['changes'] == {
        'latency': [
            {'key': 'latency.frames', 'value': 4, 'recipe': 50},
            {'key': 'latency.precision', 'value': 'bf16'},
        ]
    }
    assert parts['complexity']['changes'] == {}


def test_data_elsewhere(runs, tmp_path):
    clips = tmp_path / 'elsewhere/test/GT.lmdb'
    clips.mkdir(parents=True)
    (clips / 'a').write_text('frame')
    runs.run('medvsr_tab2', ['t-2'], only=('trained',), data={'hyperkvasir': str(tmp_path / 'elsewhere')})
    data = runs.result('medvsr_tab2', 't-2')['parts']['hyperkvasir']['data']
    assert all(root.startswith(str(tmp_path / 'elsewhere')) for root in data)
    assert data[str(clips)]['of'] == 'files' and len(data[str(clips)]['sha256']) == 64


def test_peers_with_weights_and_without(runs, tmp_path):
    (tmp_path / 'basicvsr.pth').write_text('weights')
    weights = {'BasicVSR/vid4': tmp_path / 'basicvsr.pth'}
    jobs = runs.jobs('vsrm_tab2', ['BasicVSR', 'BasicVSR++'], weights=weights, only=('trained',))
    assert [list(job.lacking) for job in jobs] == [['reds4', 'vimeo90k'], ['reds4', 'vimeo90k', 'vid4']]
    assert jobs[0].lacking['reds4'] == 'needs --weights BasicVSR=FILE or --weights BasicVSR/reds4=FILE'
    assert runs.run('vsrm_tab2', ['BasicVSR', 'BasicVSR++'], weights=weights, only=('trained',)) == {}
    assert [name for name, *_ in runs.calls()] == ['test']
    part = runs.result('vsrm_tab2', 'BasicVSR')['parts']['vid4']
    assert part['weights']['file'].endswith('basicvsr.pth') and len(part['weights']['sha256']) == 64
    assert not (runs.output / 'vsrm_tab2/BasicVSR++.json').exists()


def test_weights_in_place_of_a_training(runs, tmp_path):
    (tmp_path / 'released.pth').write_text('weights')
    runs.run('medvsr_tab5', ['MedVSR'], weights={'MedVSR': tmp_path / 'released.pth'})
    assert [name for name, *_ in runs.calls()] == ['test']
    with pytest.raises(UserError, match='--weights .*nowhere.pth: No such file'):
        runs.jobs('medvsr_tab5', ['BasicVSR'], weights={'BasicVSR': tmp_path / 'nowhere.pth'})


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are started to ignore it
sys.path.insert(0, {tests!r})
from unittest import mock
from pathlib import Path
from basicsr_ssm.tables.running import provenance
provenance.machine = lambda gpu: {{}}
import tables_conftest as conftest
with mock.patch('basicsr_ssm.options.schema._Check.dry_build', lambda *args: None):
    conftest.Runs(Path({folder!r})).run('vsrm_tab7', ['ffl'])
"""


def start(runs, tmp_path):
    """The same run, in a process of its own."""
    script = tmp_path / 'run.py'
    folder = Path(__file__).parent
    script.write_text(
        SCRIPT.format(tests=str(tmp_path), folder=str(tmp_path)),
    )
    (tmp_path / 'tables_conftest.py').write_text(
        (folder / 'conftest.py').read_text().replace('__file__', repr(__file__))
    )
    env = {**os.environ, 'PYTHONPATH': str(Path(basicsr_ssm.__file__).parents[1])}
    return subprocess.Popen([sys.executable, str(script)], env=env, cwd=tmp_path, stderr=subprocess.DEVNULL)


def wait_for(condition, seconds=90):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError('waited in vain')


def is_alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_interrupted_in_the_midst_of_a_training(runs, tmp_path, monkeypatch, how):
    """Its training ends with it, nothing counts as finished, and the next run goes on with --auto_resume."""
    monkeypatch.setenv('FAKE_HANG', str(tmp_path / 'go'))
    process = start(runs, tmp_path)
    try:
        wait_for(lambda: list(runs.output.glob('runs/*/training/half.state')))
        training = json.loads(runs.log.read_text().splitlines()[0])['pid']
        folder = next(runs.output.glob('runs/vsrm_loss_ffl-*'))
        assert _lock(folder) is None  # nobody else may begin it now
        process.send_signal(how)
        process.wait(30)
    finally:
        process.kill()
    wait_for(lambda: not is_alive(training), 20)
    assert not (folder / 'finished.json').exists() and not (runs.output / 'vsrm_tab7/ffl.json').exists()
    (tmp_path / 'go').touch()
    assert runs.run('vsrm_tab7', ['ffl']) == {}
    assert [(name, words[-1]) for name, _, _, words in runs.calls()[:2]] == [('train', '--auto_resume')] * 2
    assert runs.calls()[0][3] == runs.calls()[1][3]
    assert runs.result('vsrm_tab7', 'ffl')['parts']['reds4']['steps'][0]['starts'] == 2


@pytest.mark.parametrize(
    ('visible', 'gpu', 'seen'),
    [
        (None, None, '0'),
        (None, '1', '1'),
        ('4,5', None, '4'),
        ('4,5', '1', '5'),
        ('4,5', '5', '5'),  # named as the system does
        ('GPU-ab,GPU-cd', '1', 'GPU-cd'),
        ('4,5', 'GPU-ab', 'GPU-ab'),
        ('GPU-ab,GPU-cd', None, 'GPU-ab'),
        ('', None, ''),  # all are hidden
        ('', '0', ''),
        ('-1', None, '-1'),
    ],
)
def test_gpus_are_those_that_the_user_may_use(monkeypatch, visible, gpu, seen):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert environment(gpu)['CUDA_VISIBLE_DEVICES'] == seen
