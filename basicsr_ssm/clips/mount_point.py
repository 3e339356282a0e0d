"""Folders and files that are mount points, such as a container's volumes: nothing can be renamed onto them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path('/proc/self/mountinfo')


def is_mount_point(path: Path) -> bool:
    """Whether a file system, folder or file is mounted at ``path``; bind mounts of the same disk count, too."""
    try:
        lines = _MOUNTS.read_text(encoding='utf-8', errors='surrogateescape').splitlines()
    except OSError:
        return os.path.ismount(path)
    return str(path.resolve()) in (_unescaped(line.split()[4]) for line in lines)


def _unescaped(text: str) -> str:
    """Blanks and backslashes are octal numbers in that list."""
    return re.sub(r'\\([0-7]{3})', lambda match: chr(int(match[1], 8)), text)
