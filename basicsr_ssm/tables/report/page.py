"""The page: tables, curves and pictures in one file of HTML that needs no other and no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from basicsr_ssm.tables.report.curves import Stroke, curve
from basicsr_ssm.tables.report.frames import Picture
from basicsr_ssm.tables.report.gather import Compared, Method
from basicsr_ssm.tables.report.named_results import BICUBIC, GROUND_TRUTH
from basicsr_ssm.version import __version__

CURVES_SHOWN = 12  # clips whose curves are seen at once; the others unfold
# Okabe and Ito's colours, told apart by colour-blind eyes, too
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#56b4e9', '#6a51a3')
_DASHES = ('', '7 3', '2 3', '9 3 2 3')  # where there are more models than colours
_BICUBIC = Stroke('#8a8f98')
# small frames are enlarged up to these, pixels of the page
_WIDTH, _HEIGHT = 768, 1024
# nothing is fetched, whatever the page's text says
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def as_html(data_sets: Sequence[tuple[Compared, Sequence[Picture]]]) -> str:
    """The page about data sets and the frames to show of each."""
    names = list(dict.fromkeys(m.name for compared, _ in data_sets for m in compared.methods if m.results))
    looks = [Stroke(colour, dashes) for dashes in _DASHES for colour in _COLOURS]
    strokes = {name: looks[i % len(looks)] for i, name in enumerate(names)} | {BICUBIC: _BICUBIC}
    title = f'Results: {", ".join(compared.name for compared, _ in data_sets)}'
    text = files('basicsr_ssm.tables.report')
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>',
        f'<style>{text.joinpath("page.css").read_text()}</style></head><body><main>',
        f'<h1>{escape(title)}</h1><p class="about">{escape(" · ".join(names))}</p>',
        *(_data_set(compared, pictures, strokes) for compared, pictures in data_sets),
        f'<footer>Written by basicsr-ssm {__version__}.</footer></main>',
        f'<script>{text.joinpath("page.js").read_text()}</script></body></html>',
    ]
    return '\n'.join(parts)


def _data_set(compared: Compared, pictures: Sequence[Picture], strokes: dict[str, Stroke]) -> str:
    notices = ''.join(f'<li>{escape(notice)}</li>' for notice in compared.notices)
    return '\n'.join(
        [
            f'<section><h2>{escape(compared.name)}</h2>',
            f'<ul class="notices">{notices}</ul>' if notices else '',
            _table(compared),
            *(_curves(compared, metric, strokes, i == 0) for i, metric in enumerate(compared.metrics)),
            '<h3>Frames</h3>' if pictures else '',
            *(_picture(compared, picture) for picture in pictures),
            '</section>',
        ]
    )


# ---------------------------------------------------------------- table


def _table(compared: Compared) -> str:
    metrics, methods = compared.metrics, compared.methods
    groups = ''.join(
        f'<th colspan="{len(methods)}" scope="colgroup">{escape(_label(metric))}</th>' for metric in metrics
    )
    heads = ''.join(
        f'<th scope="col"{_first(i)}><button>{escape(method.name)}</button></th>'
        for _ in metrics
        for i, method in enumerate(methods)
    )
    rows = ''.join(
        _row(compared, clip, [[method.means.get(clip, {}).get(metric) for method in methods] for metric in metrics])
        for clip in compared.clips
    )
    mean = _row(compared, 'mean', [[compared.mean(method, metric) for method in methods] for metric in metrics])
    gain = ' The small numbers are the gain over bicubic.' if compared.bicubic and len(methods) > 1 else ''
    return (
        '<div class="wide"><table>'
        f'<thead><tr><th rowspan="2" scope="col"><button>clip</button></th>{groups}</tr><tr>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody><tfoot>{mean}</tfoot></table></div>'
        f'<p class="note">Bold is the best of a row.{gain}</p>'
    )


def _row(compared: Compared, title: str, values: list[list[float | None]]) -> str:
    """One clip; values by metric and method, None where a method has none."""
    cells = ''
    for metric, row in zip(compared.metrics, values, strict=True):
        known = [v for v in row if v is not None and not math.isnan(v)]
        best = _number(min(known) if metric in compared.lower else max(known), metric) if len(known) > 1 else None
        base = row[0] if compared.bicubic else None
        for i, (method, value) in enumerate(zip(compared.methods, row, strict=True)):
            text = _number(value, metric)
            cells += f'<td{_first(i)} data-value="{"" if value is None else value}">'
            cells += f'<b>{text}</b>' if text == best else text
            cells += _gain(method, value, base, metric in compared.lower, metric) + '</td>'
    return f'<tr><th scope="row"><span>{escape(title)}</span></th>{cells}</tr>'


def _gain(method: Method, value: float | None, base: float | None, lower: bool, metric: str) -> str:
    if method.results is None or value is None or base is None or not math.isfinite(value - base):
        return ''
    better = (value < base) if lower else (value > base)
    sign = f'{value - base:+.{_digits(metric)}f}'.replace('-', '−')
    return f' <small class="{"better" if better else "worse"}">{sign}</small>'


def _first(i: int) -> str:
    """Where a metric begins, a line parts it from the one before."""
    return ' class="first"' if i == 0 else ''


def _label(metric: str) -> str:
    return f'{metric.upper()} (dB)' if metric.lower().startswith('psnr') else metric.upper()


def _digits(metric: str) -> int:
    return 2 if metric.lower().startswith('psnr') else 4


def _number(value: float | None, metric: str) -> str:
    if value is None or math.isnan(value):
        return '–'
    return '∞' if math.isinf(value) else f'{value:.{_digits(metric)}f}'


# ---------------------------------------------------------------- curves


def _curves(compared: Compared, metric: str, strokes: dict[str, Stroke], is_open: bool) -> str:
    figures = []
    for clip in compared.clips:
        values = {m.name: m.by_frame[clip][metric] for m in compared.methods if metric in m.by_frame.get(clip, {})}
        if any(values.values()):
            figures.append(curve(clip, values, strokes, _label(metric), _digits(metric)))
    if not figures:
        return ''
    shown = {m.name for m in compared.methods if m.by_frame}
    legend = ''.join(
        f'<li><svg aria-hidden="true"><path d="M0 2H26" {strokes[m.name].svg}/></svg>{escape(m.name)}</li>'
        for m in compared.methods
        if m.name in shown
    )
    more = figures[CURVES_SHOWN:]
    folded = f'<details><summary>{len(more)} more clips</summary><div class="curves">{"".join(more)}</div></details>'
    title = f'{escape(_label(metric))} of every frame'
    return (
        f'<details class="metric"{" open" if is_open else ""}><summary><h3>{title}</h3></summary>'
        f'<ul class="legend">{legend}</ul><div class="curves">{"".join(figures[:CURVES_SHOWN])}</div>'
        f'{folded if more else ""}</details>'
    )


# ---------------------------------------------------------------- frames


def _picture(compared: Compared, picture: Picture) -> str:
    names, chosen = list(picture.versions), picture.chosen
    (h, w), (y, x) = picture.size, picture.corner
    place = f'frame {chosen.frame}' + (f', {chosen.why}' if chosen.why else '')
    if picture.size != picture.whole:
        place += f'; {w}×{h} of {picture.whole[1]}×{picture.whole[0]} pixels, from ({x}, {y})'
    what = f'{chosen.clip}, frame {chosen.frame}'
    left = names[0]
    right = next((name for name in reversed(names) if name not in (BICUBIC, GROUND_TRUTH)), names[-1])
    versions = ''.join(
        f'<figure class="version"><img alt="{escape(f"{name}: {what}")}" width="{w}" height="{h}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f'<figcaption><b>{escape(name)}</b> {_values(compared, picture, name)}</figcaption></figure>'
        for name, png in picture.versions.items()
    )
    # small frames are enlarged by a whole number, so that all of their pixels are equally large
    width = w * max(1, min(_WIDTH // w, _HEIGHT // h))
    detail = ' '.join(map(str, reversed(picture.detail)))
    return (
        f'<article class="frame" data-left="{escape(left)}" data-right="{escape(right)}" data-detail="{detail}" '
        f'style="--width:{width}px;--ratio:{w}/{h}"{" data-crisp" if width > w else ""}>'
        f'<h4>{escape(chosen.clip)} <span>{escape(place)}</span></h4>'
        f'<div class="viewer" hidden></div><div class="versions">{versions}</div></article>'
    )


def _values(compared: Compared, picture: Picture, name: str) -> str:
    values = picture.values.get(name, {})
    shown = (f'{metric.upper()} {_number(values[metric], metric)}' for metric in compared.metrics if metric in values)
    return escape(' · '.join(shown))
