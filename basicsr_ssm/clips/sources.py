"""Open any supported input as a sequence of RGB frames."""

from __future__ import annotations

from pathlib import Path

from basicsr_ssm.clips.dicom_source import DicomSource, is_dicom
from basicsr_ssm.clips.films import images_or_films
from basicsr_ssm.clips.folder_source import FolderSource, broken_link
from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource
from basicsr_ssm.clips.published import name_some
from basicsr_ssm.clips.video_source import VideoSource
from basicsr_ssm.errors import UserError

__all__ = ['DamagedSourceError', 'FrameSource', 'open_source']


def open_source(path: str | Path) -> FrameSource:
    """Open a video file, a DICOM file or a folder of images, told apart by content.

    Raises:
        UserError: no such path, nothing readable in it, videos or DICOM files in the folder, or a package that its
            kind needs is missing.
        DamagedSourceError: it is of a known kind, but its start cannot be decoded.
    """
    path = Path(path)
    if path.is_dir():
        _, films = images_or_films(path)
        if films:
            some = name_some(film.name for film in films)
            raise UserError(f'{path}: the folder holds no images, but {some}: give one of its files')
        return FolderSource(path)
    if not path.exists():
        raise UserError(f'{path}: {broken_link(path) or "no such file or folder"}')
    try:
        dicom = is_dicom(path)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from error
    return DicomSource(path) if dicom else VideoSource(path)
