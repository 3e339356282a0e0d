"""Figures, drawn with matplotlib, which is optional."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.rendering.beside import OUT_OF_MEMORY, Beside


def plot(table: Beside, runs: Path) -> bytes | None:
    """The PNG of a figure; None for a table, and where nothing of it was run.

    Args:
        runs: folder of the runs, for maps that measurements have left.

    Raises:
        UserError: matplotlib is not installed.
    """
    draw = {'lines': _lines, 'bars': _bars, 'fields': _fields}.get(table.entry.plot)
    return draw(table, runs) if draw and any(line.parts for line in table.lines) else None


def _lines(table: Beside, runs: Path) -> bytes:
    """Ours as lines, the paper's points as crosses."""
    figure, axes = _axes(table)
    (metric,) = table.entry.metrics
    series = dict.fromkeys(line.row.at[0] for line in table.lines)
    for name in series:
        lines = sorted((line for line in table.lines if line.row.at[0] == name), key=lambda line: line.row.at[1])
        ours = [(line.row.at[1], line.ours[metric.key]) for line in lines if metric.key in line.ours]
        paper = [(line.row.at[1], line.paper[metric.key]) for line in lines if metric.key in line.paper]
        if ours:
            beyond = [line.row.at[1] for line in lines if line.our_cell(metric) == OUT_OF_MEMORY]
            end = f' (out of memory at {min(beyond)})' if beyond else ''
            (drawn,) = axes.plot(*zip(*ours, strict=True), marker='o', markersize=4, label=f'{name}, ours{end}')
        if paper:
            colour = drawn.get_color() if ours else 'black'
            axes.plot(
                *zip(*paper, strict=True),
                'x',
                color=colour,
                markersize=10,
                markeredgewidth=2,
                zorder=5,
                label=f'{name}, paper',
            )
    axes.set_xlabel(table.entry.plot_axis)
    axes.set_ylabel(metric.title)
    axes.set_xticks(sorted({line.row.at[1] for line in table.lines}))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return _png(figure)


def _bars(table: Beside, runs: Path) -> bytes:
    """A place for each row, also for those that were not run."""
    figure, axes = _axes(table)
    metric = table.entry.metrics[0]
    there = [place for place, line in enumerate(table.lines) if metric.key in line.ours]
    bars = axes.bar(there, [table.lines[place].ours[metric.key] for place in there], color='tab:blue')
    axes.bar_label(bars, fmt=f'%.{metric.digits}f')
    for place, line in enumerate(table.lines):
        if place not in there:
            axes.text(place, 0, line.our_cell(metric), ha='center', va='bottom', color='gray')
    axes.set_xticks(range(len(table.lines)), [line.title for line in table.lines])
    axes.set_xlim(-0.6, len(table.lines) - 0.4)
    axes.set_ylabel(metric.title)
    axes.grid(axis='y', alpha=0.3)
    return _png(figure)


def _fields(table: Beside, runs: Path) -> bytes | None:
    """The maps of receptive fields beside each other; no matplotlib needed."""
    from basicsr_ssm.tables.field_picture import side_by_side

    maps = {}
    for line in table.lines:
        part = line.parts.get('receptive_field')
        path = runs / part['folder'] / part['figures']['map'] if part else None
        if path is not None and path.is_file():  # results may have been copied without the runs
            maps[line.title] = np.load(path)
    return cv2.imencode('.png', side_by_side(maps))[1].tobytes() if maps else None


def _axes(table: Beside):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError('matplotlib is not installed, which draws figures: pip install "basicsr_ssm[plots]"') from None
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(table.heading, fontsize=10)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def _png(figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=150)
    return stream.getvalue()
