"""Frames by key, from a folder or from an LMDB database: one small class each, with the same three methods."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import lmdb
import numpy as np

from basicsr_ssm.errors import UserError
from basicsr_ssm.lmdb_file import open_lmdb

IMAGE_SUFFIXES = frozenset({'.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff'})


class DatasetError(UserError):
    """Clips that cannot be used as asked: something missing, damaged or of the wrong size. The message names it."""


class FolderFrames:
    """Frames of a folder tree; a key is the file's path below ``root``, such as ``000/00000000.png``.

    Args:
        root: The folder.

    Raises:
        DatasetError: ``root`` is not a folder.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f'no such folder: {self.root}')

    def where(self, key: str) -> str:
        """The frame as an error message should call it."""
        return str(self.root / key)

    def read(self, key: str) -> np.ndarray:
        """Decode one frame.

        Returns:
            (h, w, 3) uint8, BGR.

        Raises:
            DatasetError: the file is missing, unreadable or not an image.
        """
        try:
            data = np.fromfile(self.root / key, np.uint8)
        except OSError as error:
            raise DatasetError(f'cannot read frame {self.where(key)}: {error.strerror}') from error
        return _decode(data, self.where(key))


class LmdbFrames:
    """Frames of an LMDB database in BasicSR's layout; a key is ``<clip>/<frame>`` without a suffix.

    The database is opened at the first read in each process, so that an object may be pickled or forked into data
    loading workers, and without a lock file, so that it may lie on a read-only disk.

    Args:
        root: The ``*.lmdb`` folder, with ``data.mdb`` and ``meta_info.txt`` inside.

    Raises:
        DatasetError: ``root`` is not such a folder.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f'no such LMDB folder: {self.root}')
        if not (self.root / 'data.mdb').is_file():
            raise DatasetError(f'{self.root} is not an LMDB folder: it holds no data.mdb')

    def where(self, key: str) -> str:
        """The frame as an error message should call it."""
        return f'{key} in {self.root}'

    def read(self, key: str) -> np.ndarray:
        """Decode one frame.

        Returns:
            (h, w, 3) uint8, BGR.

        Raises:
            DatasetError: the database is damaged, the key is missing or its value is not an image.
        """
        try:
            with _environments.open(self.root).begin(buffers=True) as transaction:
                value = transaction.get(key.encode())
                if value is None:
                    raise DatasetError(f'missing frame {self.where(key)}')
                return _decode(np.frombuffer(value, np.uint8), self.where(key))
        except (lmdb.Error, OSError) as error:
            raise DatasetError(f'cannot read frame {self.where(key)}: {error}') from error


class _Environments:
    """The LMDB environments that this process holds open.

    LMDB refuses to open a database twice in one process, yet two validation sets may share one; and an environment
    that was opened before a fork may not be used after it, but blocks opening it anew. So they are shared, and a
    child process closes the inherited ones first.
    """

    def __init__(self):
        self._start()

    def _start(self):
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open = {}

    def open(self, root: Path) -> lmdb.Environment:
        if self._pid != os.getpid():
            for environment in self._open.values():
                environment.close()
            self._start()
        file = (root / 'data.mdb').stat()
        identity = (file.st_dev, file.st_ino)
        with self._lock:
            if identity not in self._open:
                self._open[identity] = open_lmdb(root)
            return self._open[identity]


_environments = _Environments()


def _decode(data: np.ndarray, where: str) -> np.ndarray:
    if data.size == 0:
        raise DatasetError(f'cannot decode frame {where}: it is empty')
    # Some OpenCV releases return a truncated frame half grey instead of refusing it.
    if _is_truncated(data):
        raise DatasetError(f'cannot decode frame {where}: it is truncated ({data.size} bytes)')
    frame = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if frame is None:
        raise DatasetError(f'cannot decode frame {where}: not an image that OpenCV reads, or damaged')
    return frame


def _is_truncated(data: np.ndarray) -> bool:
    head = data[:8].tobytes()
    if head.startswith(b'\x89PNG'):
        end = b'IEND'
    elif head.startswith(b'\xff\xd8\xff'):
        end = b'\xff\xd9'
    else:
        return False
    # The whole file is searched only where something follows the end mark, which is rare and allowed.
    return end not in data[-16:].tobytes() and end not in data.tobytes()
