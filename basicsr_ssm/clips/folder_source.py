"""A folder whose images are the frames."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource, safe_name
from basicsr_ssm.clips.numbering import gaps_in
from basicsr_ssm.clips.tiff_pages import count_pages
from basicsr_ssm.errors import UserError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')


class FolderSource(FrameSource):
    """Images of one size in natural order (2 before 10). Gray becomes RGB, 16 bit becomes 8, alpha is dropped.

    The size is that of the first image that can be read; where none can, that is an error.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = safe_name(self.path.resolve().name)
        try:
            self.files = image_files(self.path)
        except OSError as error:
            raise UserError(f'{self.path}: cannot be read ({error.strerror})') from error
        if not self.files:
            raise UserError(f'{self.path}: the folder holds no images ({" ".join(IMAGE_SUFFIXES)})')
        self.frame_count = len(self.files)
        self.gaps = gaps_in([path.stem for path in self.files])
        self.size = _first_readable(self.files).shape[:2]

    def frames(self) -> Iterator[np.ndarray]:
        for index, path in enumerate(self.files):
            frame = read_image(path, index)
            self.check_size(frame, index, path)
            yield frame

    def frames_around_damage(self) -> Iterator[np.ndarray | DamagedSourceError]:
        for index, path in enumerate(self.files):
            try:
                frame = read_image(path, index)
                self.check_size(frame, index, path)
            except DamagedSourceError as error:
                yield error
            else:
                yield frame


def image_files(folder: Path) -> list[Path]:
    """The images directly in `folder` in natural order; hidden files are left out.

    Links that lead nowhere are among them: they stand for frames, which are missed where they are read.
    """
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith('.'))
    return sorted((p for p in files if p.is_file() or broken_link(p)), key=lambda p: natural_key(p.name))


def broken_link(path: Path) -> str | None:
    """What is wrong with a link that leads nowhere; None for everything else."""
    return 'is a link that leads nowhere' if path.is_symlink() and not path.exists() else None


def _first_readable(files: list[Path]) -> np.ndarray:
    first_error = None
    for index, path in enumerate(files):
        try:
            return read_image(path, index)
        except DamagedSourceError as error:
            first_error = first_error or error
    raise first_error


def natural_key(text: str) -> tuple:
    """Sort key under which digits count as numbers: frame2 < frame10."""
    parts = re.split(r'(\d+)', text)
    return tuple((int(p), p) if i % 2 else (p.lower(), p) for i, p in enumerate(parts))


def read_image(path: Path, index: int) -> np.ndarray:
    """One image as uint8 RGB (h, w, 3); DamagedSourceError names the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = broken_link(path) or f'cannot be read ({error.strerror})'
        raise DamagedSourceError(path, index, reason) from error
    fault = cut_off(content)
    if fault:
        raise DamagedSourceError(path, index, fault)
    pages = count_pages(content)
    if pages > 1:
        raise DamagedSourceError(path, index, f'holds {pages} pages, where one image is expected')
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error as error:
        raise DamagedSourceError(path, index, f'cannot be decoded ({error.err})') from error
    if image is None:
        raise DamagedSourceError(path, index, 'cannot be decoded as an image')
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 → 255, rounded
    if image.dtype != np.uint8:
        raise DamagedSourceError(path, index, f'has {image.dtype} pixels; 8 or 16 bit unsigned are supported')
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def cut_off(content: bytes) -> str | None:
    """What is missing from a PNG, JPEG or BMP; the decoders would fill it with gray and say nothing."""
    if content.startswith(b'\x89PNG\r\n\x1a\n'):
        position = 8
        while position + 12 <= len(content):
            (length,) = struct.unpack_from('>I', content, position)
            kind, end = content[position + 4 : position + 8], position + 12 + length
            if end > len(content):
                break
            (crc,) = struct.unpack_from('>I', content, end - 4)
            if zlib.crc32(memoryview(content)[position + 4 : end - 4]) != crc:
                return f'the PNG is damaged (checksum of its {kind.decode("latin-1")} chunk)'
            if kind == b'IEND':
                return None
            position = end
        return 'the PNG is cut off'
    if content.startswith(b'\xff\xd8') and b'\xff\xd9' not in content[-4096:]:
        return 'the JPEG is cut off'
    if content.startswith(b'BM') and len(content) >= 6 and len(content) < struct.unpack_from('<I', content, 2)[0]:
        return 'the BMP is cut off'
    return None
