"""The papers' figures, as they stand there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / 'published'
COMPLEXITY = ('params', 'flops')


@dataclass(frozen=True)
class Published:
    """A table or figure of a paper.

    Attributes:
        paper, source, where, caption, note: its place and its words.
        rows: row → column → figure, in the paper's order.
    """

    paper: str
    source: str
    where: str
    caption: str
    note: str = ''
    rows: dict[str, dict[str, float]] = field(default_factory=dict)


def published(name: str) -> Published:
    """That of an entry. Where a row names one of vsrm_complexity.yml, its parameters and FLOPs are taken from there."""
    content = yaml.safe_load((FOLDER / f'{name}.yml').read_text(encoding='utf-8'))
    for figures in content['rows'].values():
        row = figures.pop('complexity', None)
        figures.update(_complexity()[row] if row else {})
    return Published(**content)


@cache
def _complexity() -> dict[str, dict[str, float]]:
    content = yaml.safe_load((FOLDER / 'vsrm_complexity.yml').read_text(encoding='utf-8'))
    return {row['row']: {key: row[key] for key in COMPLEXITY} for row in content['rows']}
