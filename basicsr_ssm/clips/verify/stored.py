"""The frames of a data set as they are stored, in LMDB or folders, with or without a manifest."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import lmdb

from basicsr_ssm.clips.folder_source import IMAGE_SUFFIXES, natural_key
from basicsr_ssm.clips.verify.manifest import KIND, read_manifest
from basicsr_ssm.errors import UserError
from basicsr_ssm.linked_folders import walk_links
from basicsr_ssm.lmdb_file import open_lmdb
from basicsr_ssm.meta_info import Listed, read_meta_info

_META_LINE = re.compile(r'(.+?)\.\w+ \((\d+),(\d+),\d+\)(?: \d+)?')


class Store(ABC):
    """GT or LQ frames of one split.

    Attributes:
        path: the folder.
        clips: clip → names of its frames in time order, without suffix.
        listed: (clip, frame) → (h, w) as the store's own list says, where it has one.
        faults: what is wrong with the store itself.
    """

    def __init__(self, path: Path):
        self.path = path
        self.clips: dict[str, list[str]] = {}
        self.listed: dict[tuple[str, str], tuple[int, int]] = {}
        self.faults: list[str] = []

    @abstractmethod
    def read(self, clip: str, frame: str) -> bytes:
        """The frame's file; UserError where it cannot be read."""

    def close(self) -> None:  # noqa: B027 (not every store holds something)
        """Give back what reading took."""


class FolderStore(Store):
    """Every folder with images is a clip, named by its path below the root; images in the root itself are one, too.

    Links are followed as the data sets for training and testing do.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self._files: dict[tuple[str, str], Path] = {}
        for top, files in walk_links(path, self._cannot_list):
            shown = [name for name in files if name[0] != '.']
            images = [name for name in shown if Path(name).suffix.lower() in IMAGE_SUFFIXES]
            dead = [name for name in shown if name not in images and not os.path.exists(f'{top}/{name}')]
            self.faults += [f'{top}/{name}: is a link to something that is not there' for name in sorted(dead)]
            if not images:
                continue
            clip = Path(top).relative_to(path).as_posix()
            clip = path.resolve().name if clip == '.' else clip
            for name in sorted(images, key=natural_key):
                stem = Path(name).stem
                if (clip, stem) in self._files:
                    self.faults.append(f'{top}: holds frame {stem} more than once')
                    continue
                self._files[clip, stem] = Path(top, name)
                self.clips.setdefault(clip, []).append(stem)

    def _cannot_list(self, error: OSError) -> None:
        self.faults.append(f'{error.filename}: cannot be listed ({error.strerror})')

    def read(self, clip: str, frame: str) -> bytes:
        path = self._files[clip, frame]
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f'cannot be read ({error.strerror})') from error


class LmdbStore(Store):
    """An LMDB folder; its meta_info.txt lists the frames."""

    def __init__(self, path: Path):
        super().__init__(path)
        try:
            lines = (path / 'meta_info.txt').read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f'{path}/meta_info.txt: cannot be read ({getattr(error, "strerror", None) or error})')
            lines = []
        for number, line in enumerate(lines, 1):
            match = _META_LINE.fullmatch(line.strip())
            clip, _, frame = match[1].rpartition('/') if match else ('', '', '')
            if not clip:
                self.faults.append(f'{path}/meta_info.txt, line {number}: is not "<clip>/<frame>.png (h,w,c) 1"')
                break
            self.clips.setdefault(clip, []).append(frame)
            self.listed[clip, frame] = int(match[2]), int(match[3])
        try:
            entries = self._environment.stat()['entries']
        except (lmdb.Error, UserError) as error:
            self.faults.append(f'{path}: is not a readable LMDB ({error})')
        else:
            if entries != len(self.listed):
                self.faults.append(f'{path}: holds {entries} frames, its meta_info.txt lists {len(self.listed)}')

    @cached_property
    def _environment(self) -> lmdb.Environment:
        if not (self.path / 'data.mdb').is_file():  # lmdb would make one
            raise UserError('it holds no data.mdb')
        return open_lmdb(self.path)

    def read(self, clip: str, frame: str) -> bytes:
        try:
            with self._environment.begin() as transaction:
                value = transaction.get(f'{clip}/{frame}'.encode())
        except lmdb.Error as error:
            raise UserError(f'cannot be read ({error})') from error
        if value is None:
            raise UserError('is missing')
        return value

    def close(self) -> None:
        if '_environment' in self.__dict__:
            self._environment.close()


@dataclass
class Stored:
    """A data set.

    Attributes:
        root: its folder.
        manifest: as `prepare` wrote it, or None for folders that it did not make.
        splits: split ('' where there is none) → kind (GT, BIx4, …) → frames.
        scales: kind → how many times smaller than GT.
        meta: split → what the meta_info.txt beside its GT says of each clip; none where there is no such list.
        faults: what is missing or cannot be read.
    """

    root: Path
    manifest: dict | None
    splits: dict[str, dict[str, Store]] = field(default_factory=dict)
    scales: dict[str, int] = field(default_factory=dict)
    meta: dict[str, dict[str, Listed]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def stores(self) -> list[Store]:
        return [store for kinds in self.splits.values() for store in kinds.values()]

    @cached_property
    def entries(self) -> dict[tuple[str, str], dict]:
        """(split, clip) → what the manifest says of it."""
        return {(clip['split'], clip['name']): clip for clip in (self.manifest or {}).get('clips', [])}

    def source_of(self, split: str, clip: str) -> str:
        return self.entries.get((split, clip), {}).get('source', '')

    def close(self) -> None:
        for store in self.stores:
            store.close()


def open_stored(root: Path) -> Stored:
    """Look at a data set of `prepare`, at folders of the same form, or at a folder or LMDB of clips, GT alone.

    Raises:
        UserError: nothing there to verify.
    """
    if not root.is_dir():
        raise UserError(f'{root}: no such folder')
    manifest, faults = read_manifest(root)
    stored = Stored(root, manifest, faults=faults)
    if stored.manifest is not None:
        _open_listed(stored)
    else:
        for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != '.')):
            split = '' if folder == root else folder.name
            for path in sorted(folder.iterdir()) if folder.suffix != '.lmdb' else ():
                match = KIND.fullmatch(path.name)
                if match and path.is_dir():
                    _add(stored, split, match[1], path)
        if not stored.splits:
            _add(stored, '', 'GT', root)
    for split in stored.splits:
        _read_meta_info(stored, split)
    if not stored.faults and not any(store.clips or store.faults for store in stored.stores):
        raise UserError(f'{root}: holds no clips')
    return stored


def _open_listed(stored: Stored) -> None:
    manifest, root = stored.manifest, stored.root
    suffix = '.lmdb' if manifest['settings'].get('format') == 'lmdb' else ''
    wanted = dict.fromkeys((clip['split'], kind) for clip in manifest['clips'] for kind in clip['sha256'])
    for split, kind in wanted:
        path = root / split / f'{kind}{suffix}'
        if path.is_dir():
            _add(stored, split, kind, path)
        else:
            stored.faults.append(f'{path}: no such folder')


def _add(stored: Stored, split: str, kind: str, path: Path) -> None:
    store = LmdbStore(path) if path.suffix == '.lmdb' or (path / 'data.mdb').is_file() else FolderStore(path)
    match = KIND.fullmatch(kind)
    stored.splits.setdefault(split, {})[kind] = store
    stored.scales[kind] = int(match[2] or 1)


def _read_meta_info(stored: Stored, split: str) -> None:
    """The list that lies beside the GT, where the data sets look for it."""
    kinds = stored.splits[split]
    store = kinds.get('GT') or next(iter(kinds.values()))
    path = store.path.parent / 'meta_info.txt'
    if path.is_file() and list(store.clips) != [store.path.resolve().name]:  # of a single clip, it is not beside GT
        try:
            stored.meta[split] = read_meta_info(path)
        except UserError as error:
            stored.faults.append(str(error))
