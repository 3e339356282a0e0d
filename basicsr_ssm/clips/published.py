"""What an adapter finds in the folders of a published data set: whole clips of PNG frames and where they belong."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from basicsr_ssm.clips.folder_source import cut_off
from basicsr_ssm.errors import UserError


@dataclass(frozen=True)
class PublishedClip:
    """One clip as its owner publishes it.

    Attributes:
        name: its name in the data set; frame keys are ``<name>/<stem>``.
        split: folder of the data set that it goes to, '' for the data set's own.
        size: (h, w) that every GT frame must have.
        gt: the GT frames in time order.
        lq: the owner's low-resolution frames, as many; None for MATLAB's bicubic of the GT frames.
    """

    name: str
    split: str
    size: tuple[int, int]
    gt: tuple[Path, ...]
    lq: tuple[Path, ...] | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the frames in the data set, in order: the owner's, or numbers where those do not sort as text."""
        stems = tuple(path.stem for path in self.gt)
        return stems if list(stems) == sorted(stems) else tuple(f'{i:08d}' for i in range(len(stems)))


@dataclass
class Published:
    """All of a data set. An adapter is a function that makes one from the owner's folders, reading no frame.

    Attributes:
        name: of the data set, one word.
        settings: the choices that decide what goes where, for the manifest: plain values.
        clips: those that are complete.
        faults: clip, list or folder → what is missing or wrong.
        extra: what is there and does not belong to the data set as published.
        lists: further lists of clips: name of the file → names of its clips.
        scale: GT size / LQ size.
    """

    name: str
    settings: dict
    clips: list[PublishedClip] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    scale: int = 4

    def add(self, name: str, split: str, size: tuple[int, int], gt: Sequence[Path], lq: Sequence[Path] | None) -> None:
        """Add the clip, or, if files of it are missing, a fault."""
        for folder, paths in group_by_folder((*gt, *(lq or ()))).items():
            there = names_in(folder)
            missing = [path.name for path in paths if path.name not in there]
            if missing:
                some = missing[0] if len(missing) == 1 else f'{missing[0]} … {missing[-1]}'
                what = (
                    f'{len(missing)} of {len(paths)} frames missing ({some})' if there else 'no such folder, or empty'
                )
                self.faults[name] = f'{folder}: {what}'
                return
            more = {file for file in there if file.lower().endswith('.png')} - {path.name for path in paths}
            if more:
                self.extra.append(f'{folder}: {name_some(more)}')
        self.clips.append(PublishedClip(name, split, size, tuple(gt), None if lq is None else tuple(lq)))


def group_by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    return folders


def names_in(folder: Path) -> set[str]:
    """Names in the folder; none where there is no folder."""
    try:
        return {path.name for path in folder.iterdir() if not path.name.startswith('.')}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise UserError(f'{folder}: cannot be read ({error.strerror})') from error


def name_some(names: Iterable[str]) -> str:
    """The first few of many names."""
    names = sorted(names)
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def fault_of_png(content: bytes, size: tuple[int, int]) -> str | None:
    """Why a file's content cannot go into a data set as it is: no PNG, damaged, of another depth or (h, w)."""
    if not content.startswith(b'\x89PNG\r\n\x1a\n'):
        return 'is not a PNG' if content else 'is empty'
    fault = cut_off(content)
    if fault:
        return fault
    if content[12:16] != b'IHDR':
        return 'is damaged: its header is missing'
    w, h, depth, colour = struct.unpack_from('>IIBB', content, 16)
    if (h, w) != size:
        return f'is {w}x{h} (width x height), not {size[1]}x{size[0]}'
    if depth > 8 or colour not in (0, 2, 3):  # gray, RGB, palette
        return 'is not an 8-bit PNG without transparency'
    return None
