import builtins
import json

import cv2
import numpy as np
import pytest
from basicsr_logger import forget_log_file
from tiny_training import log_below, write_options

from basicsr_ssm import cli
from basicsr_ssm.errors import UserError
from basicsr_ssm.models import VideoSSMModel
from basicsr_ssm.tables import training_curves
from basicsr_ssm.tables.broken_lines import running_mean, with_gaps
from basicsr_ssm.tables.training_curves import draw_curves


@pytest.fixture
def train(tmp_path, monkeypatch):
    """train(status): a tiny training in a folder of its own; gives the experiment's folder."""
    monkeypatch.chdir(tmp_path)

    def train_(status=0, **changes):
        assert cli.main(['train', '-opt', write_options(tmp_path, **changes)]) == status
        return tmp_path / 'experiments/tiny'

    forget_log_file()
    yield train_
    forget_log_file()


@pytest.fixture
def without_matplotlib(monkeypatch):
    really_import = builtins.__import__

    def import_(name, *args, **kwargs):
        if name.partition('.')[0] == 'matplotlib':
            raise ModuleNotFoundError(f'No module named {name!r}')
        return really_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', import_)


def write_losses(folder, entries):
    (folder / 'losses.jsonl').write_text(''.join(json.dumps(entry) + '\n' for entry in entries))


def entry_of(current_iter, **losses):
    return {'iter': current_iter, 'epoch': 0, 'lr': [1e-4, 5e-5, 1e-4], **losses}


def test_picture_at_the_end_of_a_training(train):
    pytest.importorskip('matplotlib')
    experiment = train()
    picture = cv2.imread(str(experiment / 'curves.png'))
    assert picture.shape[1] == 990 and picture.shape[0] > 800  # losses, learning rates and one metric
    assert f'Training curves: {experiment / "curves.png"}' in log_below(experiment)


def test_picture_of_a_training_that_was_interrupted(train, monkeypatch):
    pytest.importorskip('matplotlib')
    optimize = VideoSSMModel.optimize_parameters

    def interrupted(self, current_iter):
        if current_iter == 7:
            raise KeyboardInterrupt
        optimize(self, current_iter)

    monkeypatch.setattr(VideoSSMModel, 'optimize_parameters', interrupted)
    assert (train(status=130) / 'curves.png').exists()


def test_without_matplotlib_one_line_says_so(train, without_matplotlib):
    experiment = train()
    (line,) = [line for line in log_below(experiment).splitlines() if 'curves.png' in line]
    assert 'curves.png was not drawn: matplotlib is not installed: pip install "basicsr_ssm[plots]"' in line
    assert line.endswith(f'basicsr-ssm curves {experiment}') and not (experiment / 'curves.png').exists()


def test_an_error_in_drawing_ends_no_training(train, monkeypatch):
    def broken(folder):
        raise ZeroDivisionError('some axis')

    monkeypatch.setattr(training_curves, 'draw_curves', broken)
    assert 'WARNING: curves.png was not drawn: some axis' in log_below(train())


def test_command(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    folder = tmp_path / 'run $_{ü}$'
    folder.mkdir()
    assert cli.main(['curves', str(folder)]) == 2
    assert f'no {folder}/losses.jsonl' in capsys.readouterr().err
    write_losses(folder, [entry_of(i, l_pix=1 / i) for i in range(1, 200)])
    assert cli.main(['curves', str(folder)]) == 0
    assert capsys.readouterr().out == f'{folder}/curves.png\n'
    assert cv2.imread(str(folder / 'curves.png')) is not None


def drawn(folder, monkeypatch):
    """{(row of the panel, label): the line's points} of what is drawn; None for the NaN of a gap."""
    from matplotlib.figure import Figure

    seen = {}
    monkeypatch.setattr(Figure, 'savefig', lambda self, file, **kwargs: seen.update(figure=self))
    draw_curves(folder)
    return {
        (row, line.get_label()): [[x, None if np.isnan(y) else y] for x, y in zip(*line.get_data(), strict=True)]
        for row, panel in enumerate(seen['figure'].axes)
        for line in panel.get_lines()
        if not line.get_label().startswith('_')
    }


def test_lines(tmp_path, monkeypatch):
    """A loss that begins late, NaN, two data sets, and parameter groups that go together."""
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [entry_of(1, l_pix=1.0), entry_of(2, l_pix='nan', l_g_gan=3.0), entry_of(3, l_pix=0.5)])
    history = {'a': {'10': {'psnr': 2.0, 'ssim': 0.5}, '5': {'psnr': 1.0, 'ssim': 'inf'}}, 'b': {'5': {'psnr': 3.0}}}
    (tmp_path / 'metrics_history.json').write_text(json.dumps(history))
    assert drawn(tmp_path, monkeypatch) == {
        (0, 'l_pix'): [[1, 1.0], [2, None], [3, 0.5]],
        (0, 'l_g_gan'): [[2, 3.0]],
        (1, 'group 1, 3'): [[i, 1e-4] for i in (1, 2, 3)],
        (1, 'group 2'): [[i, 5e-5] for i in (1, 2, 3)],
        (2, 'a'): [[5, 1.0], [10, 2.0]],
        (2, 'b'): [[5, 3.0]],
        (3, 'a'): [[5, float('inf')], [10, 0.5]],
    }


def test_damaged_history_is_named(tmp_path):
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [entry_of(1, l_pix=1.0)])
    (tmp_path / 'metrics_history.json').write_text('{"a": ')
    with pytest.raises(UserError, match='metrics_history.json is no JSON any more'):
        draw_curves(tmp_path)


@pytest.mark.parametrize('history', [[], {'a': [1]}, {'a': {'x': {}}}, {'a': {'5': {'psnr': None}}}])
def test_history_of_another_kind_is_named(tmp_path, history):
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [entry_of(1, l_pix=1.0)])
    (tmp_path / 'metrics_history.json').write_text(json.dumps(history))
    with pytest.raises(UserError, match='metrics_history.json is not what validation writes'):
        draw_curves(tmp_path)


def test_history_that_cannot_be_read_is_named(tmp_path):
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [entry_of(1, l_pix=1.0)])
    (tmp_path / 'metrics_history.json').mkdir()
    with pytest.raises(UserError, match='cannot read .*metrics_history.json: Is a directory'):
        draw_curves(tmp_path)


def test_names_that_are_no_formulas(tmp_path, monkeypatch):
    """Of data sets, metrics and losses; names that begin with _ are in the legend, too."""
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [entry_of(i, **{'l_$_$': 1.0}) for i in (1, 2)])
    history = {'a$_$b': {'2': {'$_$': 2.0}}, '_hidden': {'2': {'$_$': 3.0}}}
    (tmp_path / 'metrics_history.json').write_text(json.dumps(history))
    assert drawn(tmp_path, monkeypatch).keys() >= {(0, r'l_\$_\$'), (2, r'a\$_\$b'), (2, ' _hidden')}
    monkeypatch.undo()
    draw_curves(tmp_path)


def test_running_mean():
    values = np.arange(80.0)
    smooth = running_mean(values)
    np.testing.assert_allclose(smooth[2:-2], values[2:-2])  # a straight line stays
    assert smooth[0] == 1.0 and smooth[-1] == 78.0  # of what there is at the ends
    assert running_mean(np.array([1.0, 5.0])).tolist() == [1.0, 5.0]


def test_running_mean_does_not_reach_over_gaps():
    values = np.array([*range(40), np.nan, *range(100, 140)], float)
    smooth = running_mean(values)
    assert np.isnan(smooth).tolist() == np.isnan(values).tolist()
    assert smooth[39] == 38.0 and smooth[41] == 101.0


def test_gaps_are_where_nothing_was_logged():
    def gaps(*iters):
        points = with_gaps(np.stack([iters, np.ones(len(iters))], axis=1))
        return points[np.isnan(points[:, 1]), 0].tolist()

    assert gaps(5) == gaps(5, 5000) == gaps(*range(10, 500, 10)) == []
    assert gaps(*range(10, 500, 10), *range(5000, 6000, 10)) == [2745]
    assert gaps(10, 20, 30, 500, 1000, 1010, 1020) == [265, 750]  # one entry in the middle of nothing
    assert gaps(10, 30, 40) == [20]
    assert gaps(*range(10, 500, 10), *range(500, 2000, 100)) == []  # logged less often from there on
    assert gaps(*range(100, 2000, 100), *range(2000, 3000, 10)) == []


def dots(folder, monkeypatch):
    """{row of the panel: the points without a line} of what is drawn."""
    from matplotlib.figure import Figure

    seen = {}
    monkeypatch.setattr(Figure, 'savefig', lambda self, file, **kwargs: seen.update(figure=self))
    draw_curves(folder)
    return {
        row: np.stack(line.get_data(), 1).tolist()
        for row, panel in enumerate(seen['figure'].axes)
        for line in panel.get_lines()
        if line.get_linestyle() == 'None' and len(line.get_xdata())
    }


def test_points_without_neighbours_are_dots(tmp_path, monkeypatch):
    pytest.importorskip('matplotlib')
    write_losses(tmp_path, [{**entry_of(100, l_pix=0.5), 'lr': [1e-4]}])
    assert dots(tmp_path, monkeypatch) == {0: [[100, 0.5]], 1: [[100, 1e-4]]}
    losses = [1.0, 2.0, 'nan', 3.0, 'inf', 4.0, 5.0]
    write_losses(tmp_path, [{**entry_of(i, l_pix=loss), 'lr': [1e-4]} for i, loss in enumerate(losses)])
    assert dots(tmp_path, monkeypatch) == {0: [[3, 3.0]]}
    assert drawn(tmp_path, monkeypatch)[0, 'l_pix'] == [
        [i, loss if isinstance(loss, float) else None] for i, loss in enumerate(losses)
    ]
