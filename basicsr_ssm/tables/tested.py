"""What a test measured, as its results folder keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.tables.comparison import Table, TableOfFrames


@dataclass(frozen=True)
class Tested:
    """The measurements in a results folder.

    Attributes:
        means: metrics.json: {data set: {clip: {metric: value}}}, with the mean over clips as the clip 'mean'.
        by_frame: metrics_per_frame.json: {data set: {clip: {metric: values}}}; {} where the test wrote none.
        options: options.json; {} where the test wrote none.
    """

    means: dict[str, Table]
    by_frame: dict[str, TableOfFrames]
    options: dict


def read_tested(folder: Path) -> Tested:
    """The measurements in a results folder.

    Raises:
        UserError: there are none, or a file is damaged or cannot be read.
    """
    means = _read_metrics(folder / 'metrics.json', float)
    if means is None:
        raise UserError(
            f'no {folder}/metrics.json: run `basicsr-ssm test` with this option file first; it measures clips that '
            f'have ground truth'
        )
    by_frame = _read_metrics(folder / 'metrics_per_frame.json', lambda values: [float(v) for v in values])
    return Tested(means, by_frame or {}, _read_json(folder / 'options.json') or {})


def _read_metrics(path: Path, convert: Callable) -> dict[str, dict[str, dict]] | None:
    """{data set: {clip: {metric: convert(value)}}}; float() reads the strings that stand for infinity and NaN."""
    content = _read_json(path)
    if content is None:
        return None
    try:
        return {
            dataset: {clip: {m: convert(v) for m, v in metrics.items()} for clip, metrics in clips.items()}
            for dataset, clips in content.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f'{path} is not what `basicsr-ssm test` writes: {error}; test again') from error


def _read_json(path: Path) -> dict | None:
    """What is in a file; None without the file."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except ValueError as error:
        raise UserError(f'{path} is no JSON any more: {error}; test again') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} is not what `basicsr-ssm test` writes; test again')
    return content
