"""mamba-ssm and causal-conv1d, where they are installed."""

from __future__ import annotations

import gc
import importlib
import sys
from importlib.util import find_spec
from types import ModuleType


def mamba(module: str):
    """A module of mamba-ssm or None. The package's own __init__ imports language models, and those a release of
    transformers that may not be there; so it is passed by."""
    if 'mamba_ssm' not in sys.modules:
        spec = find_spec('mamba_ssm')
        if spec is None:
            return None
        package = ModuleType('mamba_ssm')
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules['mamba_ssm'] = package
    return importlib.import_module(f'mamba_ssm.{module}')


def causal_conv1d():
    return importlib.import_module('causal_conv1d') if find_spec('causal_conv1d') else None


def few_configurations(most: int = 2) -> None:
    """Of every autotuned kernel of mamba-ssm so many configurations, evenly spread over its list: each tries up to a
    dozen when first called, for minutes."""
    from triton.runtime.autotuner import Autotuner

    for tuner in (v for v in gc.get_objects() if type(v) is Autotuner):
        count = len(tuner.configs)
        tuner.configs = [tuner.configs[i] for i in sorted({i * count // most for i in range(min(most, count))})]
