"""A metric over the frames of a clip, drawn as SVG; page.js adds the values under the pointer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22  # margins, for the numbers at the axes


@dataclass(frozen=True)
class Stroke:
    """How the line of a method looks: a CSS colour, and lengths of dashes and gaps, '' for none."""

    colour: str
    dashes: str = ''

    @property
    def svg(self) -> str:
        dashed = f' stroke-dasharray="{self.dashes}"' if self.dashes else ''
        return f'stroke="{escape(self.colour)}"{dashed}'


def curve(title: str, values: dict[str, list[float]], strokes: dict[str, Stroke], unit: str, digits: int) -> str:
    """A figure with one line for each method.

    Args:
        title: of the figure, the clip's name.
        values: {method: value of each frame}; what is not finite is a gap.
        strokes: {method: how its line looks}.
        unit: for the description read aloud, such as 'PSNR in dB'.
        digits: after the point, of the values shown on hovering.
    """
    n = max(map(len, values.values()))
    finite = [v for its in values.values() for v in its if math.isfinite(v)]
    ticks = _ticks(min(finite), max(finite)) if finite else [0, 1]
    low, high = min(ticks[0], *finite or [0]), max(ticks[-1], *finite or [0])

    def place(frame: int, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (frame / (n - 1) if n > 1 else 0.5)
        return x, TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = []
    for tick in ticks:
        y = place(0, tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>')
    for frame in sorted({0, (n - 1) // 2, n - 1}):
        x = place(frame, low)[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{frame}</text>')
    for name, its in values.items():
        parts += _line([place(i, v) if math.isfinite(v) else None for i, v in enumerate(its)], strokes[name])
    shown = {name: [_shown(v, digits) for v in its] for name, its in values.items()}
    sides = json.dumps({'frames': n, 'left': LEFT, 'right': WIDTH - RIGHT})
    return (
        f'<figure class="curve" tabindex="0" data-values="{escape(json.dumps(shown))}" data-sides="{escape(sides)}">'
        f'<figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{unit} of each frame of {title}")}">'
        f'{"".join(parts)}<path class="cursor" d="M0 {TOP}V{HEIGHT - BOTTOM}"/></svg>'
        f'<p class="readout" aria-live="polite"></p></figure>'
    )


def _line(places: list[tuple[float, float] | None], stroke: Stroke) -> list[str]:
    """Lines through neighbours, and dots for those that have none."""
    runs, parts = [[]], []
    for place in places:
        if place is None:
            runs.append([])
        else:
            runs[-1].append(place)
    for run in filter(None, runs):
        if len(run) == 1:
            parts.append(f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="2.5" fill="{escape(stroke.colour)}"/>')
        else:
            points = ' '.join(f'{x:.1f},{y:.1f}' for x, y in run)
            parts.append(f'<polyline points="{points}" {stroke.svg}/>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that enclose the values."""
    span = (high - low) or abs(high) * 0.1 or 1
    step = 10 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 4)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def _short(value: float) -> str:
    return f'{value:.6g}'


def _shown(value: float, digits: int) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else {math.inf: '∞'}.get(value, '–')
