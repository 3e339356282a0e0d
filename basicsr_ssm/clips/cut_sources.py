"""Many sources at once: open them, cut them into clips on all cores, and tell what became of each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from basicsr_ssm.clips.cut import Crew, cut_source
from basicsr_ssm.clips.dicom_source import is_dicom
from basicsr_ssm.clips.folder_source import broken_link, image_files
from basicsr_ssm.clips.frame_source import DamagedSourceError
from basicsr_ssm.clips.masks import MASKS, write_mask
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.sources import FrameSource
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import WriteError, sha256_of


class RefusedError(UserError):
    """A source that cannot be used, under --strict."""


class Skips:
    """Sources that are left out: name → reason. With `strict` the first one is an error.

    Attributes:
        reasons: with paths, for people.
        nameless: the same with the sources' names in the place of paths, for --anonymous.
    """

    def __init__(self, strict: bool):
        self.reasons: dict[str, str] = {}
        self.nameless: dict[str, str] = {}
        self._strict = strict

    def add(self, name: str, reason: str, nameless: str) -> None:
        if self._strict:
            raise RefusedError(f'{reason} (--strict)')
        self.reasons[name], self.nameless[name] = reason, nameless
        tqdm.write(f'skipped: {reason}', file=sys.stderr)

    def add_error(self, name: str, path: Path, error: UserError) -> None:
        self.add(name, str(error), nameless_reason(name, path, error))


def nameless_reason(name: str, path: Path, error: UserError) -> str:
    """Why the source `name`, at `path`, cannot be used, without a name of a file or folder."""
    text = str(error)
    if isinstance(error, DamagedSourceError):  # of a folder's image, its path is not the source's
        where = '' if error.frame_index is None else f', frame {error.frame_index}'
        return f'{name}{where}: {error.reason}'
    if text.startswith((f'{path}: ', f'{path}, frame ')):
        return name + text[len(str(path)) :]
    named = str(path) in text or path.name in text
    return f'{name}: {"cannot be used, as was said when it was left out" if named else text}'


def digests_of(sources: Mapping[str, Path], workers: int) -> dict[str, str]:
    """name → checksum of the file, or of a folder's images one after the other, without links that lead nowhere."""
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(sources, pool.map(_digest, sources.values()), strict=True))


def _digest(path: Path) -> str:
    try:
        files = [p for p in image_files(path) if not broken_link(p)] if path.is_dir() else [path]
        return sha256_of(files)
    except OSError as error:
        raise UserError(f'{error.filename or path}: cannot be read ({error.strerror})') from error


def _refuse_changed(path: Path, digest: str) -> None:
    """A source that could not be read is left out only if it is damaged, not if its disk is gone: that may come back.

    Raises:
        UserError: it is not what it was when the run began.
    """
    try:
        same = _digest(path) == digest
    except UserError:
        same = False
    if not same:
        raise UserError(f'{path}: has changed or disappeared while it was being read')


def twins_of(digests: Mapping[str, str]) -> dict[str, str]:
    """Source → the one before it that has the same content. In two splits it would leak."""
    first: dict[str, str] = {}
    return {name: one for name, digest in digests.items() if (one := first.setdefault(digest, name)) != name}


def same_content(path: Path | str, other: Path | str) -> str:
    return f'{path}: has the same content as {other}'


def open_sources(
    sources: Mapping[str, Path], digests: Mapping[str, str], recipe: Recipe, workers: int, skips: Skips
) -> dict[str, FrameSource]:
    """Open every source; leave out what cannot be opened, is too small, or is a copy of another."""
    twins = twins_of(digests)
    with ThreadPoolExecutor(workers) as pool:
        futures = {name: pool.submit(recipe.open, path) for name, path in sources.items() if name not in twins}
    opened: dict[str, FrameSource] = {}
    for name, path in sources.items():
        if name in twins:
            skips.add(name, same_content(path, sources[twins[name]]), same_content(name, twins[name]))
            continue
        try:
            source = futures[name].result()
        except UserError as error:
            _refuse_changed(path, digests[name])
            skips.add_error(name, path, error)
            continue
        h, w = source.size
        if min(h, w) < recipe.cutting.multiple:
            small = f'{w}x{h} is too small for the scales {recipe.cutting.scales}'
            skips.add(name, f'{path}: {small}', f'{name}: {small}')
        else:
            opened[name] = source
    _note_series(opened)
    return opened


def _note_series(opened: Mapping[str, FrameSource]) -> None:
    """Tell of folders with several DICOM files of one frame each, as series are often stored."""
    folders: Counter[Path] = Counter()
    for path in (source.path for source in opened.values() if source.frame_count == 1):
        with suppress(OSError):  # a folder of one image; a file that has just disappeared is told of where it is read
            folders[path.parent] += is_dicom(path)
    for folder, count in folders.items():
        if count > 1:
            text = f'{count} DICOM files of a single frame are {count} sources; the frames of a series are not joined'
            tqdm.write(f'note: {folder}: {text}', file=sys.stderr)


def cut_sources(
    opened: Mapping[str, FrameSource],
    digests: Mapping[str, str],
    work: Path,
    recipe: Recipe,
    workers: int,
    skips: Skips,
    hidden: bool | None,
) -> dict[str, dict]:
    """Cut each into `work`/sources/<name>/<clip>, masks into `work`/masks; source → what cut_source tells.

    Raises:
        UserError: a source has changed or disappeared meanwhile; or the disk is full (see files.writing).
    """
    counts = [recipe.cutting_of(name, source).frames_needed(source.frame_count) for name, source in opened.items()]
    bar = tqdm(total=None if None in counts else sum(counts), desc='cut', unit='frame', disable=hidden)
    results: dict[str, dict] = {}
    with bar, ThreadPoolExecutor(workers) as encoders, ThreadPoolExecutor(workers) as readers:
        crew = Crew(encoders, 3 * workers)
        futures = {}
        try:
            for name, source in opened.items():
                cutting = recipe.cutting_of(name, source)
                args = (source, name, work / 'sources' / name, cutting, crew, bar.update, recipe.footage)
                futures[readers.submit(cut_source, *args)] = name
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, return_when=FIRST_EXCEPTION)
                for future in sorted(finished, key=lambda f: futures[f]):
                    try:
                        results[futures[future]] = future.result()
                    except WriteError:
                        raise
                    except UserError as error:
                        name = futures[future]
                        _refuse_changed(opened[name].path, digests[name])
                        skips.add_error(name, opened[name].path, error)
        except BaseException:
            crew.stopping.set()
            for pool in (readers, encoders):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    for name in results:
        if opened[name].mask is not None:
            write_mask(work / MASKS / f'{name}.png', opened[name].mask, recipe.cutting.multiple)
    return results


def report_of(
    sources: Mapping[str, Path],
    digests: Mapping[str, str],
    recipe: Recipe,
    opened: Mapping[str, FrameSource],
    results: Mapping[str, dict],
    skips: Skips,
) -> dict:
    """For cut.json: {'sources': name → what the manifest says of it, and its clips; 'skipped': the others}."""

    def described(name: str) -> dict:
        path = None if recipe.anonymous else str(sources[name])
        return {'name': name, 'path': path, 'sha256': digests[name]}

    used = {
        name: {
            **described(name),
            **recipe.note_of(name, sources[name]),
            'fps': str(opened[name].fps) if opened[name].fps else None,
            'size': list(opened[name].size),
            **results[name],
        }
        for name in sorted(results)
    }
    reasons = skips.nameless if recipe.anonymous else skips.reasons
    skipped = [{**described(name), 'reason': reason} for name, reason in sorted(reasons.items())]
    return {'sources': used, 'skipped': skipped}
