"""The JSON files that ``basicsr-ssm test`` leaves in a results folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from basicsr_ssm.errors import UserError


def read_metrics(path: Path, convert: Callable) -> dict[str, dict[str, dict]] | None:
    """{data set: {clip: {metric: convert(value)}}}; float() reads the strings that stand for infinity and NaN.

    Returns:
        None without the file.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
    content = read_json(path)
    if content is None:
        return None
    try:
        return {
            dataset: {clip: {m: convert(v) for m, v in metrics.items()} for clip, metrics in clips.items()}
            for dataset, clips in content.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f'{path} is not what `basicsr-ssm test` writes: {error}; test again') from error


def read_json(path: Path) -> dict | None:
    """What is in a file; None without the file.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
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
