"""A table as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from basicsr_ssm.tables.markdown_table import markdown_table
from basicsr_ssm.tables.rendering.beside import NOTHING, Beside, Line


def markdown(table: Beside, picture: bool = False) -> str:
    """Heading, table, notes. A cell is the paper's figure / ours / the difference.

    Args:
        picture: refer to NAME.png.
    """
    rows = [['row', *(metric.title for metric in table.entry.metrics)]]
    for line in table.lines:
        title = line.title + (f' [{", ".join(map(str, line.notes))}]' if line.notes else '')
        rows.append([title, *(' / '.join(three) for three in _figures(table, line))])
    notes = ''.join(f'[{number}] {note}\n' for number, note in enumerate(table.notes, 1))
    compared = any(table.compared(metric) for metric in table.entry.metrics)
    legend = 'Each cell: the paper / ours / the difference.\n' if compared else ''
    head = [f'## {table.heading}\n', legend, markdown_table(rows)]
    return '\n'.join(filter(None, [*head, notes.replace('\n', '  \n'), *_paragraphs(table, picture)]))


def csv_text(table: Beside) -> str:
    """A line for each row; figures that are not there are empty, and ours says 'not run' where it could be there."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow([*_head(table), 'notes'])
    for line in table.lines:
        cells = ['' if cell == NOTHING else cell for cell in _cells(table, line)]
        writer.writerow([line.title, *cells, '; '.join(table.notes[number - 1] for number in line.notes)])
    return stream.getvalue()


def latex(table: Beside) -> str:
    """A tabular for the package booktabs, with its caption and notes, as a table."""
    head = [_tex(cell) for cell in _head(table)]
    lines = [
        '\\begin{table}',
        '\\centering',
        f'\\caption{{{_tex(table.heading)}. {_tex(" ".join(table.remarks))}}}',
        f'\\begin{{tabular}}{{l{"r" * (len(head) - 1)}}}',
        '\\toprule',
        ' & '.join(head) + ' \\\\',
        '\\midrule',
    ]
    for line in table.lines:
        mark = f'\\textsuperscript{{{", ".join(map(str, line.notes))}}}' if line.notes else ''
        cells = [_tex(cell) for cell in _cells(table, line)]
        lines.append(' & '.join([_tex(line.title) + mark, *cells]) + ' \\\\')
    lines += ['\\bottomrule', '\\end{tabular}']
    lines += [f'\\par\\footnotesize\\textsuperscript{{{i}}} {_tex(note)}' for i, note in enumerate(table.notes, 1)]
    return '\n'.join([*lines, '\\end{table}', ''])


def _head(table: Beside) -> list[str]:
    """Paper, ours and difference of columns that the paper has, ours of the others."""
    head = ['row']
    for metric in table.entry.metrics:
        kinds = ('paper', 'ours', 'difference') if table.compared(metric) else ('ours',)
        head += [f'{metric.title}, {kind}' for kind in kinds]
    return head


def _cells(table: Beside, line: Line) -> list[str]:
    return [cell for three in _figures(table, line) for cell in three]


def _figures(table: Beside, line: Line) -> Iterator[tuple[str, ...]]:
    """For each column the paper's, ours and the difference, or ours alone."""
    for metric in table.entry.metrics:
        paper, difference = line.paper.get(metric.key), line.difference(metric)
        three = (
            NOTHING if paper is None else f'{paper:.{metric.digits}f}',
            line.our_cell(metric),
            NOTHING if difference is None else f'{difference:+.{metric.digits}f}',
        )
        yield three if table.compared(metric) else three[1:2]


def _paragraphs(table: Beside, picture: bool) -> list[str]:
    plot = [f'![{table.entry.title}]({table.entry.name}.png)\n'] if picture else []
    return [*plot, ''.join(f'{remark}\n' for remark in table.remarks), f'Paper: {table.source}.\n']


_TEX = {'\\': '\\textbackslash{}', '–': '--', '×': '$\\times$', '†': '\\dag{}', 'Ω': '$\\Omega$', '…': '\\dots{}'}


def _tex(text: str) -> str:
    special = {char: f'\\{char}' for char in '&%$#_{}'} | {'~': '\\textasciitilde{}', '^': '\\textasciicircum{}'}
    return ''.join({**special, **_TEX}.get(char, char) for char in text)
