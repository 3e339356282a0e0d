"""`basicsr-ssm doctor`: what is installed, which backend serves which operator, and whether the package can train."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import platform
from collections.abc import Iterator

import basicsr_ssm

HELP = 'print versions, device, backends and what is missing; exit 1 if the package could not train'

# distribution: (module, what it is for)
REQUIRED = {
    'torch': ('torch', 'everything'),
    'torchvision': ('torchvision', 'BasicSR imports it'),
    'basicsr': ('basicsr', 'training and testing'),
    'numpy': ('numpy', 'everything'),
    'opencv-python': ('cv2', 'reading and writing images'),
    'lmdb': ('lmdb', 'data sets'),
    'pyyaml': ('yaml', 'option files'),
    'einops': ('einops', 'networks'),
}
OPTIONAL = {
    'av': ('av', 'video files: pip install "basicsr_ssm[video]"'),
    'pydicom': ('pydicom', 'DICOM files: pip install "basicsr_ssm[video]"'),
    'triton': ('triton', 'GPU kernels'),
    'mamba-ssm': ('mamba_ssm', 'to compare with; nothing needs it'),
    'causal-conv1d': ('causal_conv1d', 'to compare with; nothing needs it'),
}
REGISTRIES = ('ARCH_REGISTRY', 'DATASET_REGISTRY', 'MODEL_REGISTRY', 'LOSS_REGISTRY', 'METRIC_REGISTRY')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments."""


def run(args: argparse.Namespace) -> int:
    """Prints the report; 0 if the package can train, else 1."""
    print(f'basicsr_ssm {basicsr_ssm.__version__} in {basicsr_ssm.__path__[0]}')
    print(f'Python {platform.python_version()} on {platform.platform()}')
    problems = [*_report_packages()]
    if not problems:
        problems += [*_report_device(), *_report_registries()]
    if not problems:
        problems += [*_report_operators(), *_report_training_step()]
    for problem in problems:
        print(f'PROBLEM: {problem}')
    print('cannot train' if problems else 'can train')
    return 1 if problems else 0


def _report_packages() -> Iterator[str]:
    """Prints every package with its version; yields what is wrong with the required ones."""
    print('\npackages')
    for distribution, (module, purpose) in REQUIRED.items():
        version, fault = _version(distribution, module)
        print(f'  {distribution:14} {version or fault}')
        if fault:
            yield f'{distribution} {fault} ({purpose})'
    for distribution, (module, purpose) in OPTIONAL.items():
        version, fault = _version(distribution, module)
        print(f'  {distribution:14} {version or f"{fault}, optional: {purpose}"}')


def _version(distribution: str, module: str) -> tuple[str | None, str | None]:
    """(version, None), or (None, what is wrong)."""
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return None, 'not installed' if error.name == module else f'does not import: {error}'
    except Exception as error:  # a broken binary package raises anything
        return None, f'does not import: {type(error).__name__}: {error}'
    try:
        return importlib.metadata.version(distribution), None
    except importlib.metadata.PackageNotFoundError:  # opencv-python-headless serves as cv2 too
        return str(getattr(loaded, '__version__', 'version unknown')), None


def _report_device() -> Iterator[str]:
    import torch

    print('\ndevice')
    if not torch.cuda.is_available():
        built = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'a CPU build'
        print(f'  CPU, {torch.get_num_threads()} threads; no CUDA device (torch is {built})')
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = f'sm_{properties.major}{properties.minor}'
        print(f'  cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GiB, {capability}')
        try:
            torch.ones(1, device=index).add_(1).item()
        except RuntimeError as error:
            yield f'cuda:{index} fails: {str(error).splitlines()[0]}'


def _report_registries() -> Iterator[str]:
    if basicsr_ssm.registration_error is not None:
        yield f'nothing was registered: {basicsr_ssm.registration_error}'
        return
    from basicsr.utils import registry

    print('\nregistered in BasicSR')
    for name in REGISTRIES:
        ours = [key for key, value in getattr(registry, name) if value.__module__.startswith('basicsr_ssm')]
        if ours:
            print(f'  {name:17} {", ".join(sorted(ours))}')


def _report_operators() -> Iterator[str]:
    from basicsr_ssm.ops.dispatch import BackendError, operators

    print('\noperators')
    width = max(len(operator.name) for operator in operators())
    for operator in operators():
        try:
            serving = operator.choose(None).name
        except BackendError as error:
            yield str(error)
            continue
        notes = []
        for backend in operator.backends.values():
            reason = backend.why_not()
            if reason is not None:
                notes.append(f'{backend.name}: {reason}')
        print(f'  {operator.name:{width}} {serving}' + ''.join(f'\n{"":{width + 3}}not {note}' for note in notes))


def _report_training_step() -> Iterator[str]:
    """One step of a tiny network on the device that training would take."""
    import torch
    from basicsr.archs import build_network

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    options = dict(type='MedVSR', mid_channels=32, num_blocks=1, n_convfe=1, n_convrec=2, window_size=8, rec_ks=3)
    try:
        net = build_network(options).to(device)
        net(torch.rand(1, 3, 3, 16, 16, device=device)).mean().backward()
    except Exception as error:
        yield f'a training step on {device} fails: {type(error).__name__}: {error}'
        return
    print(f'\none training step of a tiny MedVSR on {device}: done')
