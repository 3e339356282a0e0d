"""What the options of a test say of its data sets."""

from __future__ import annotations

from pathlib import Path

_PATHS = ('dataroot_gt', 'dataroot_lq', 'dataroot_flow', 'meta_info_file', 'mask')


def described(options: dict, name: str) -> dict | None:
    """The options of a data set, with their paths as they were where the test ran; None if it is not among them.

    Args:
        options: as options.json keeps them or an option file gives them.
    """
    directory = options.get('working_directory', '.')
    for opt in (options.get('datasets') or {}).values():
        if opt.get('name') == name:
            return {k: str(Path(directory, v)) if k in _PATHS and isinstance(v, str) else v for k, v in opt.items()}
    return None
