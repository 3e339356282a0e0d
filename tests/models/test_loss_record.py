import json
import logging

import pytest
from tiny_training import N_FRAMES  # noqa: F401  (registers the tiny network and clips)
from training_runs import interrupted_at

from basicsr_ssm.models.loss_record import FILE, RecordingLogger, read_losses


def logged(experiment):
    """{iteration: (lr, l_pix)} as the log has them, rounded."""
    values = {}
    for log in experiment.glob('train_*.log'):
        for line in log.read_text().splitlines():
            if 'l_pix: ' in line:
                current_iter = int(line.split('iter:')[1].split(', lr')[0].replace(',', ''))
                values[current_iter] = (
                    float(line.split('lr:(')[1].split(',')[0]),
                    float(line.split('l_pix: ')[1].split()[0]),
                )
    return values


def test_what_is_logged_is_kept(run):
    experiment = run('x', **{'logger:print_freq': 2})
    entries = read_losses(experiment / FILE)
    assert [entry['iter'] for entry in entries] == [2, 4, 6, 8, 10]
    assert all({'epoch', 'lr', 'l_pix', 'grad_norm'} == entry.keys() - {'iter'} for entry in entries)
    assert len(entries[0]['lr']) == 2  # the flow network has its own
    values = logged(experiment)
    for entry in entries:
        assert values[entry['iter']] == pytest.approx((entry['lr'][0], entry['l_pix']), rel=1e-3)


def test_resumed_record_is_the_uninterrupted_one(run):
    whole = run('whole')
    with interrupted_at(8):  # the last checkpoint is of iteration 6
        run('parts')
    path = whole.parents[2] / 'parts/experiments/tiny' / FILE
    assert [entry['iter'] for entry in read_losses(path)] == list(range(1, 8))
    with path.open('a') as file:
        file.write('{"iter": 8, "l_p')  # of a process that was killed while it wrote
    run('parts', '--auto_resume')
    assert path.read_bytes() == (whole / FILE).read_bytes()


def recorder(folder, start_iter=0):
    opt = {'name': 'x', 'logger': {'print_freq': 1, 'use_tb_logger': False}, 'train': {'total_iter': 10}}
    return RecordingLogger({**opt, 'path': {'log': str(folder)}}, start_iter)


def entry_of(current_iter, **values):
    return {'epoch': 0, 'iter': current_iter, 'lrs': [0.1], 'time': 1.0, 'data_time': 0.5, **values}


def test_lines_that_are_no_entries_are_passed_over(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(
        b'{"iter": 2, "l_pix": 1.0}\n[]\n{"l_pix": 1}\n\xff\xfe\n{"iter": 1, "l_pix": 2.0}\n{"iter": 3, "l'
    )
    assert read_losses(path) == [{'iter': 1, 'l_pix': 2.0}, {'iter': 2, 'l_pix': 1.0}]
    assert read_losses(tmp_path / 'none') == []


def test_values_without_end_are_json(tmp_path):
    recorder(tmp_path)(entry_of(1, l_pix=float('nan')))
    assert json.loads((tmp_path / FILE).read_text()) == {'iter': 1, 'epoch': 0, 'lr': [0.1], 'l_pix': 'nan'}


def test_a_full_disk_ends_no_training(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
    record = recorder(tmp_path)
    (tmp_path / FILE).symlink_to('/dev/full')
    record(entry_of(7, l_pix=1.0))
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == 'WARNING']
    assert 'Iteration 7 will be missing in the training curves' in warning and 'the disk is full' in warning
