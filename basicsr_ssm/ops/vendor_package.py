"""Packages with compiled operators, which nothing needs, to compare with where they are installed."""

from __future__ import annotations

import functools
import importlib


@functools.cache
def why_not(package: str, module: str) -> str | None:
    """None where a module of the package loads, else why not; asked once, and never at import of this package."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name == module.partition('.')[0]
        return f'the package {package} is not installed' if missing else f'{package} does not load ({error})'
    except (ImportError, RuntimeError) as error:
        return f'{package} does not load ({error})'
    return None
