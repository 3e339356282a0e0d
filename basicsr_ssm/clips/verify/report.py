"""The findings as text and as one page of HTML that needs no other file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

import numpy as np

from basicsr_ssm.clips.verify.contact_sheet import as_jpeg, contact_sheet
from basicsr_ssm.clips.verify.examine import Clip, spread
from basicsr_ssm.clips.verify.findings import CHECKS, Findings
from basicsr_ssm.clips.verify.stored import Stored

SHOWN = 5  # findings of a check in the text
SHEETS = 16  # contact sheets of a split, besides those of clips with findings
SHEETS_WITH_FINDINGS = 64


@dataclass(frozen=True)
class Statistics:
    """Of one split. Motion in levels of 255 a frame, flow in pixels a frame: mean, least and most of its clips."""

    split: str
    clips: int
    frames: int
    sizes: list[str]
    motion: tuple[float, float, float] | None
    flow: tuple[float, float, float] | None


def statistics(stored: Stored, clips: list[Clip]) -> list[Statistics]:
    result = []
    for split in stored.splits:
        here = [clip for clip in clips if clip.split == split]
        sizes = sorted({f'{clip.size[0]}×{clip.size[1]}' for clip in here if any(clip.size)})
        motion = _range([clip.motion for clip in here if clip.differences])
        flow = _range([clip.flow for clip in here if clip.flow is not None])
        result.append(Statistics(split or 'all', len(here), sum(clip.frames for clip in here), sizes, motion, flow))
    return result


def _range(values: list[float]) -> tuple[float, float, float] | None:
    return (float(np.mean(values)), min(values), max(values)) if values else None


def as_text(stored: Stored, clips: list[Clip], findings: Findings) -> str:
    lines = [f'{stored.root}: {", ".join(stored.scales)}']
    for stats in statistics(stored, clips):
        sizes = ', '.join(stats.sizes[:3]) + (' and others' if len(stats.sizes) > 3 else '')
        lines.append(f'  {stats.split}: {stats.clips} clips, {stats.frames} frames, {sizes or "nothing readable"}')
        for what, unit, values in (('difference', 'levels', stats.motion), ('flow', 'pixels', stats.flow)):
            if values:
                mean, least, most = values
                lines.append(f'    {what} from frame to frame: {mean:.2f} {unit} ({least:.2f} to {most:.2f} by clip)')
    for check, title in CHECKS.items():
        aside = findings.done.get(check) or findings.not_done.get(check, '')
        lines.append(f'{findings.verdict(check):11s} {title}' + (f' ({aside})' if aside else ''))
        found = findings.of(check)
        lines += [f'            {_line(finding)}' for finding in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f'            and {len(found) - SHOWN} more')
    return '\n'.join(lines)


def _line(finding) -> str:
    return f'{finding.where}: {finding.what}' if finding.where else finding.what


def as_html(stored: Stored, clips: list[Clip], findings: Findings) -> str:
    name = escape(stored.root.resolve().name)
    odd = sum(not finding.error for finding in findings.found)
    verdict = 'Something is wrong' if findings.failed else 'Nothing is wrong'
    verdict += f', {odd} {"thing is" if odd == 1 else "things are"} worth a look' if odd else ''
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width"><title>{name}</title><style>{_STYLE}</style></head><body>',
        f'<h1>{name}</h1><p class="{"failed" if findings.failed else "passed"}">{verdict}.</p>',
        _statistics_table(stored, clips),
        '<h2>Checks</h2>',
        *(_check(findings, check, title) for check, title in CHECKS.items()),
        '<h2>Motion</h2><p>How many clips have which mean difference from frame to frame, in levels of 255, '
        'and which mean optical flow, in pixels of the ground truth.</p>',
        *_histograms(stored, clips),
        *_sheets(stored, clips, findings),
        '</body></html>',
    ]
    return '\n'.join(parts)


def _statistics_table(stored: Stored, clips: list[Clip]) -> str:
    head = ('split', 'clips', 'frames', 'size (h×w)', 'difference', 'flow')
    rows = ''
    for s in statistics(stored, clips):
        numbers = [f'{v[0]:.2f} ({v[1]:.2f} – {v[2]:.2f})' if v else '–' for v in (s.motion, s.flow)]
        sizes = ', '.join(s.sizes[:3]) + (' …' if len(s.sizes) > 3 else '')
        cells = (s.split, s.clips, s.frames, sizes, *numbers)
        rows += '<tr>' + ''.join(f'<td>{escape(str(cell))}</td>' for cell in cells) + '</tr>'
    return f'<table><tr>{"".join(f"<th>{title}</th>" for title in head)}</tr>{rows}</table>'


def _check(findings: Findings, check: str, title: str) -> str:
    verdict, found = findings.verdict(check), findings.of(check)
    aside = escape(findings.done.get(check) or findings.not_done.get(check, ''))
    line = f'<b class="{verdict.split()[0]}">{verdict}</b> {title} <small>{aside}</small>'
    if not found:
        return f'<p>{line}</p>'
    listed = ''.join(f'<li>{escape(_line(finding))}</li>' for finding in found[:200])
    more = f'<li>and {len(found) - 200} more</li>' if len(found) > 200 else ''
    return (
        f'<details{" open" if verdict == "failed" else ""}><summary>{line}</summary><ul>{listed}{more}</ul></details>'
    )


def _histograms(stored: Stored, clips: list[Clip]) -> list[str]:
    motion = {split: [c.motion for c in clips if c.split == split and c.differences] for split in stored.splits}
    flow = {split: [c.flow for c in clips if c.split == split and c.flow is not None] for split in stored.splits}
    parts = []
    for title, values in (('difference', motion), ('flow', flow)):
        top = max((max(its) for its in values.values() if its), default=0)
        parts += [_histogram(f'{split or "all"}, {title}', its, top) for split, its in values.items() if its]
    return parts


def _histogram(title: str, values: list[float], top: float, bins: int = 24) -> str:
    counts, _ = np.histogram(values, bins, (0, top or 1))
    bars = ''.join(
        f'<rect x="{10 * i + 1}" y="{60 - 60 * n / counts.max():.1f}" width="8" height="{60 * n / counts.max():.1f}"/>'
        for i, n in enumerate(counts.tolist())
        if n
    )
    return (
        f'<figure class="plot"><svg viewBox="0 0 {10 * bins} 76" role="img"><path d="M0 60.5H{10 * bins}"/>{bars}'
        f'<text x="0" y="73">0</text><text x="{10 * bins}" y="73" text-anchor="end">{top:.1f}</text></svg>'
        f'<figcaption>{escape(title)}, at most {counts.max()} clips a bar</figcaption></figure>'
    )


def _sheets(stored: Stored, clips: list[Clip], findings: Findings) -> list[str]:
    """Contact sheets: first of the clips with findings, then some of each split."""
    noted = {(finding.split, finding.clip) for finding in findings.found if finding.clip}
    odd = [clip for clip in clips if (clip.split, clip.name) in noted]
    parts = []
    if odd:
        parts.append('<h2>Clips with findings</h2>')
        parts += [_sheet(stored, clip, findings) for clip in odd[:SHEETS_WITH_FINDINGS]]
        if len(odd) > SHEETS_WITH_FINDINGS:
            parts.append(f'<p>and {len(odd) - SHEETS_WITH_FINDINGS} more</p>')
    for split in stored.splits:
        here = [clip for clip in clips if clip.split == split and (split, clip.name) not in noted]
        if here:
            shown = spread(here, SHEETS)
            some = '' if len(shown) == len(here) else f', {len(shown)} of {len(here)} clips'
            parts.append(f'<h2>{escape(split or "all")}{some}</h2>')
            parts += [_sheet(stored, clip, findings) for clip in shown]
    return parts


def _sheet(stored: Stored, clip: Clip, findings: Findings) -> str:
    data = base64.b64encode(as_jpeg(contact_sheet(stored, clip.split, clip.name))).decode()
    source = stored.source_of(clip.split, clip.name)
    facts = [f'{clip.frames} frames', f'difference {clip.motion:.2f}']
    facts += [f'flow {clip.flow:.2f}'] if clip.flow is not None else []
    facts += [f'source {source}'] if source and source != clip.name else []
    place = '/'.join(part for part in (clip.split, clip.name) if part)
    found = [f for f in findings.found if (f.split, f.clip) == (clip.split, clip.name)]
    notes = ''.join(f'<br><span class="{"failed" if f.error else "look"}">{escape(f.what)}</span>' for f in found[:5])
    return (
        f'<figure><img alt="" loading="lazy" src="data:image/jpeg;base64,{data}">'
        f'<figcaption><b>{escape(place)}</b> {escape(", ".join(facts))}{notes}</figcaption></figure>'
    )


_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}
h1{margin-bottom:0}h2{margin-top:2em}
table{border-collapse:collapse}td,th{padding:.2em 1em .2em 0;text-align:left;border-bottom:1px solid #8884}
figure{margin:1em 0}figure img{width:100%;border-radius:3px}figcaption{font-size:13px}
.plot{display:inline-block;width:300px;margin:0 2em 1em 0}
svg rect{fill:#3a7ca5}svg path{stroke:#888;fill:none}svg text{font-size:10px;fill:currentColor}
b.failed,span.failed,p.failed{color:#c0392b}b.look,span.look{color:#b7791f}b.passed,p.passed{color:#2e8b57}
b.not{color:#888}small{color:#888}details{margin:1em 0}details ul{max-height:24em;overflow:auto}
"""
