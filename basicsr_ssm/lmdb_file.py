"""Opening LMDB databases for reading, so that one that is cut off is an error and not the end of the process."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb


def open_lmdb(folder: Path) -> lmdb.Environment:
    """Open `folder`/data.mdb for reading, without a lock file.

    LMDB maps the whole file into memory: whoever reads a page beyond the end of one that was copied incompletely is
    killed by SIGBUS. So its length is compared with the number of pages that it says it has.

    Raises:
        lmdb.Error: it is not a database, or is cut off; or it is open in this process already.
    """
    path = os.fsencode(folder)
    environment = lmdb.open(path, readonly=True, lock=False, readahead=False, create=False, max_readers=1024)
    whole = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
    size = (folder / 'data.mdb').stat().st_size
    if size < whole:
        environment.close()
        raise lmdb.CorruptedError(f'data.mdb is cut off: it has {size} of {whole} bytes')
    return environment
