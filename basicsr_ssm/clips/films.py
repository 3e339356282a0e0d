"""What a folder holds directly: the images of one source, or films that are a source each."""

from __future__ import annotations

from pathlib import Path

from basicsr_ssm.clips.dicom_source import is_dicom
from basicsr_ssm.clips.folder_source import IMAGE_SUFFIXES, image_files, natural_key
from basicsr_ssm.errors import UserError

VIDEO_SUFFIXES = tuple(
    f'.{suffix}'
    for suffix in (
        *('mp4', 'm4v', 'mov', '3gp', 'mkv', 'webm', 'avi', 'wmv', 'asf', 'flv', 'ogv', 'mxf', 'gif', 'y4m'),
        *('mpg', 'mpeg', 'm2v', 'vob', 'ts', 'm2ts', 'mts'),
    )
)


def images_or_films(folder: Path) -> tuple[list[Path], list[Path]]:
    """(images, videos and DICOM files) directly in `folder` in natural order, without hidden ones; one list is empty.

    Raises:
        UserError: the folder cannot be read, or holds both: then nothing tells which are meant.
    """
    try:
        images = image_files(folder)
        films = sorted(filter(_is_film, folder.iterdir()), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise UserError(f'{folder}: cannot be read ({error.strerror})') from error
    if images and films:
        found = f'{images[0].name}, {films[0].name}'
        raise UserError(f'{folder}: holds both images and videos ({found}): which of them are meant?')
    return images, films


def _is_film(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith('.') or suffix in IMAGE_SUFFIXES or not path.is_file():
        return False
    if suffix in VIDEO_SUFFIXES:
        return True
    try:
        return is_dicom(path)
    except OSError:
        return False
