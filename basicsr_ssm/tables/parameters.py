"""VSRM's parameters and multiply-adds beside those of the paper's tables."""

from __future__ import annotations

from pathlib import Path

import yaml

from basicsr_ssm.archs import VSRM
from basicsr_ssm.tables.complexity import count_parameters, recurrent_step

PUBLISHED = Path(__file__).parent / 'published' / 'vsrm_complexity.yml'
HEAD = ['Tab.', 'row', 'M parameters', 'paper', 'difference', 'G multiply-adds', 'of them scans', "paper's FLOPs"]


def rows() -> list[dict]:
    """The paper's rows: 'table', 'row', 'params' (millions), 'flops' (G) and 'network', the arguments of VSRM."""
    published = yaml.safe_load(PUBLISHED.read_text(encoding='utf-8'))
    for row in published['rows']:
        row['network'] = {**published['ablation'], **row['network']} if 'network' in row else {}
    return published['rows']


def parameter_table(multiply_adds: bool = True) -> str:
    """Markdown: ours beside the paper's.

    Args:
        multiply_adds: with those of a recurrent step on 64×64 frames, counted without computing them: half a minute.
    """
    lines = [HEAD if multiply_adds else HEAD[:5]]
    for row in rows():
        net = VSRM(**row['network'])
        count = count_parameters(net) / 1e6
        line = [str(row['table']), row['row'], f'{count:.2f}', f'{row["params"]:.2f}', f'{count - row["params"]:+.2f}']
        if multiply_adds:
            step = recurrent_step(net)
            total = step.products + step.scans
            line += [f'{total / 1e9:.1f}', f'{step.scans / 1e9:.1f}', f'{row["flops"]:.1f}']
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ['-' * width for width in widths])
    padded = (' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return ''.join(f'| {line} |\n' for line in padded)
