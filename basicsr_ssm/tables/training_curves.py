"""The course of a training as one picture: losses, learning rates and validation metrics over iterations."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file
from basicsr_ssm.models import loss_record
from basicsr_ssm.tables.broken_lines import lone, running_mean, with_gaps

PICTURE = 'curves.png'
# Okabe and Ito's colours, told apart by colour-blind eyes, too
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')


def draw_at_end(opt: dict) -> None:
    """Draw the curves of a training that ends here, however it ends; whatever hinders that is one line of the log.

    Args:
        opt: the training's options. Process 0 draws.
    """
    folder = Path(opt['path']['log'])
    if opt['rank'] != 0 or not (folder / loss_record.FILE).exists():
        return
    logger = get_root_logger()
    try:
        logger.info(f'Training curves: {draw_curves(folder)}')
    except Exception as error:  # the training itself is over, and may have gone well
        logger.warning(f'{PICTURE} was not drawn: {error}')


def draw_curves(folder: Path) -> Path:
    """Draw curves.png in a training's folder from its losses.jsonl and, where there is one, metrics_history.json.

    Losses are shown as logged (faint) and as their running mean over 1/20 of the run; what is not finite or was
    not logged is a gap. Metrics are one below the other, with a line for each data set.

    Raises:
        UserError: no losses, a damaged metrics_history.json, or no matplotlib.
        WriteError: the picture cannot be written.
    """
    entries = loss_record.read_losses(folder / loss_record.FILE)
    if not entries:
        raise UserError(f'no {folder / loss_record.FILE}, or nothing in it: trainings of this package write it')
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            f'matplotlib is not installed: pip install "basicsr_ssm[plots]", then basicsr-ssm curves {folder}'
        ) from None
    metrics = _metrics(folder / 'metrics_history.json')
    figure = Figure(figsize=(9, 2.6 * (2 + len(metrics))), layout='constrained')
    panels = figure.subplots(2 + len(metrics), 1, sharex=True)
    _draw_losses(panels[0], entries)
    _draw_learning_rates(panels[1], entries)
    for panel, (metric, of_sets) in zip(panels[2:], metrics.items(), strict=True):
        for colour, (dataset, points) in _coloured(of_sets):
            panel.plot(
                *zip(*points, strict=True), 'o-', color=colour, markersize=3.5, linewidth=1.5, label=_plain(dataset)
            )
        panel.set_ylabel(_plain(metric.upper()))
        panel.legend(loc='lower right', frameon=False)
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[['top', 'right']].set_visible(False)
        panel.ticklabel_format(axis='x', style='plain')
    panels[-1].set_xlabel('iteration')
    figure.align_ylabels(panels)
    figure.suptitle(_plain(folder.resolve().name), fontsize='large')
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=110)
    write_file(folder / PICTURE, content.getvalue())
    return folder / PICTURE


def _draw_losses(panel, entries: list[dict]) -> None:
    names = list(dict.fromkeys(name for entry in entries for name in entry if name.startswith('l_')))
    positive = True
    for colour, name in _coloured(names):
        points = np.array([(entry['iter'], float(entry[name])) for entry in entries if name in entry])
        points = with_gaps(points)
        if np.isnan(points[:, 1]).all():
            continue
        positive = positive and np.nanmin(points[:, 1]) > 0
        panel.plot(*points.T, color=colour, alpha=0.25, linewidth=0.8)
        smooth = np.stack([points[:, 0], running_mean(points[:, 1])], axis=1)
        _draw_line(panel, smooth, color=colour, linewidth=1.6, label=_plain(name))
    panel.set_ylabel('loss')
    if names and positive:
        panel.set_yscale('log')
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc='upper right', frameon=False)


def _draw_learning_rates(panel, entries: list[dict]) -> None:
    rates = {}  # of parameter groups; those that go together are one line
    for group in range(max(len(entry['lr']) for entry in entries)):
        course = tuple((entry['iter'], entry['lr'][group]) for entry in entries if group < len(entry['lr']))
        rates.setdefault(course, []).append(str(group + 1))
    for colour, (course, groups) in _coloured(rates):
        points = with_gaps(np.array(course, float))
        _draw_line(panel, points, color=colour, linewidth=1.5, label=f'group {", ".join(groups)}')
    panel.set_ylabel('learning rate')
    panel.set_ylim(bottom=0)
    panel.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    if len(rates) > 1:
        panel.legend(loc='upper right', frameon=False)


def _draw_line(panel, points: np.ndarray, **look) -> None:
    """A line, and dots for what it cannot show."""
    panel.plot(*points.T, **look)
    panel.plot(*lone(points).T, 'o', color=look['color'], markersize=3.5)


def _metrics(path: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """{metric: {data set: [(iteration, mean)]}} of what validation keeps."""
    try:
        history = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except ValueError as error:
        raise UserError(f'{path} is no JSON any more: {error}') from error
    metrics = {}
    try:
        for dataset, means in history.items():
            for current_iter, values in sorted(means.items(), key=lambda item: int(item[0])):
                for metric, value in values.items():
                    metrics.setdefault(metric, {}).setdefault(dataset, []).append((int(current_iter), float(value)))
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f'{path} is not what validation writes: {error}') from error
    return metrics


def _plain(text: str) -> str:
    """A name as matplotlib shows it: $…$ would be a formula, and what begins with _ would be left out of legends."""
    return (' ' if text.startswith('_') else '') + text.replace('$', r'\$')


def _coloured(things):
    things = things.items() if isinstance(things, dict) else things
    return [(COLOURS[i % len(COLOURS)], thing) for i, thing in enumerate(things)]
