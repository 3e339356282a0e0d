"""PyAV is an optional dependency: import it here, with a message that says how to get it."""

import os
from pathlib import Path

from basicsr_ssm.errors import UserError


def import_av():
    """Return the module ``av``.

    Raises:
        UserError: where PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UserError(f'video files need PyAV: pip install "basicsr_ssm[video]" ({error})') from error
    return av


def file_for_av(path: str | Path) -> str:
    """What names the file `path` to av.open: relative, `scan:1.mp4` would be the address of a protocol `scan`."""
    return os.path.abspath(path)
