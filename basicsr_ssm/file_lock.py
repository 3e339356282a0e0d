"""A lock between processes, on a file."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from basicsr_ssm.files import writing


def lock_file(path: Path, shared: bool = False, wait: bool = False) -> IO | None:
    """Make the file and hold it until it is closed, or this process ends in whatever way; None where another holds it.

    The file stays: whoever removed it might remove one that the next process holds already.

    Args:
        shared: together with others that share it, but with nobody who wants it alone.
        wait: until nobody holds it, and never return None.

    Raises:
        WriteError: the file cannot be made, or its file system has no locks.
    """
    with writing(path):
        file = path.open('a+')  # over NFS, to share needs reading and to hold alone needs writing
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
    return file
