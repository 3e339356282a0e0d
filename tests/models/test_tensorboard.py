import importlib.util

import pytest


def test_losses_and_metrics_are_in_the_events(run):
    reading = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    experiment = run('x', **{'logger:use_tb_logger': True})
    events = reading.EventAccumulator(str(experiment.parents[1] / 'tb_logger/tiny'))
    events.Reload()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()['scalars']}
    assert steps['losses/l_pix'] == steps['grad_norm'] == list(range(1, 11))
    assert steps['metrics/any name/psnr'] == steps['metrics/any name/psnr/a'] == [5, 10]


def test_without_tensorboard_the_option_is_refused(run, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *a: None if name == 'tensorboard' else find(name, *a))
    experiment = run('x', status=2, **{'logger:use_tb_logger': True})
    assert 'logger.use_tb_logger: true needs TensorBoard (pip install tensorboard)' in capsys.readouterr().err
    assert not experiment.exists()
