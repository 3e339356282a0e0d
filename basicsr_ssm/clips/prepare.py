"""Sources in, data set out: probe, cut, assemble, publish; each step can be interrupted and taken up again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from basicsr_ssm.clips.assemble import assemble, publish
from basicsr_ssm.clips.cut import Crew, cut_source
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.edited_source import open_footage
from basicsr_ssm.clips.folder_source import image_files
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.imresize import SCALES
from basicsr_ssm.clips.masks import MASKS, move_masks, write_mask
from basicsr_ssm.clips.output_folder import WORK, check_same, finished_manifest, locked
from basicsr_ssm.clips.sources import FrameSource
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.clips.threads import thread_count
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import WriteError, sha256_of, write_json
from basicsr_ssm.version import __version__

FORMS = ('lmdb', 'png')


class _Refused(UserError):
    """A source that cannot be used, under --strict."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the data set holds.

    Attributes:
        cutting: length, stride, number and scales of the clips.
        split: which sources go where.
        form: 'lmdb' or 'png'.
        footage: how recordings are treated before they are cut.
        anonymous: the manifest names no file or folder of a source.
    """

    cutting: Cutting
    split: SplitRule = field(default_factory=SplitRule)
    form: str = 'lmdb'
    footage: Footage = field(default_factory=Footage, kw_only=True)
    anonymous: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        cutting = self.cutting
        most = 1 if cutting.max_clips is None else cutting.max_clips
        if min(cutting.clip_length, cutting.stride, most) < 1:
            raise UserError('clip length, stride and the most clips of a source must be at least 1')
        if not cutting.scales or set(cutting.scales) - set(SCALES) or len(set(cutting.scales)) < len(cutting.scales):
            raise UserError(f'scales must be different ones of {", ".join(map(str, SCALES))}')
        cutting.check_degradations()
        if self.form not in FORMS:
            raise UserError(f'format {self.form} is not one of {", ".join(FORMS)}')

    def cutting_of(self, name: str) -> Cutting:
        """How the source of this name is cut; a recipe that lists the clips of each source overrides it."""
        return self.cutting

    def open(self, path: Path) -> FrameSource:
        """The frames of a source as they are cut; a recipe that fixes their size overrides it."""
        return open_footage(path, self.footage)

    def check_sources(self, digests: dict[str, str]) -> None:
        """Raise UserError for sources (name → checksum) that it was not made for; a recipe that knows overrides it."""

    def settings(self) -> dict:
        """For the manifest, and for telling whether an output was begun with the same settings."""
        cutting, split = self.cutting, self.split
        return {
            'package_version': __version__,
            'clip_length': cutting.clip_length,
            'stride': cutting.stride,
            'max_clips': cutting.max_clips,
            'scales': list(cutting.scales),
            'format': self.form,
            'split': {k: list(v) for k, v in split.lists.items()} if split.lists else split.shares,
            'seed': split.seed,
            'degradations': list(cutting.degradations),
            'footage': self.footage.settings(),
            'anonymous': self.anonymous,
        }


def prepare(
    sources: dict[str, Path],
    output: str | Path,
    recipe: Recipe,
    *,
    workers: int | None = None,
    strict: bool = False,
    progress: bool | None = None,
) -> dict:
    """Make the data set `output` from `sources` (name → path, as find_sources gives them).

    Killed at any point and called again with the same arguments, it ends in the same bytes; called again after it has
    finished, it does nothing. Until then everything is in `output`/.partial, which a failed run removes unless another
    one can go on with the clips in it.

    Args:
        workers: threads that filter and compress; None for one a core.
        strict: a source that cannot be used is an error instead of an entry under 'skipped'.
        progress: show bars on stderr; None for when that is a terminal.

    Returns:
        The manifest, as written to `output`/manifest.json.

    Raises:
        UserError: settings that differ from those that `output` was begun with, too few sources, an output that
            cannot be written, or, with `strict`, the first unusable source.
    """
    output, workers = Path(output), thread_count(workers)
    recipe.split.check_names(list(sources))
    done = finished_manifest(output)
    digests = _digests(sources, workers)
    recipe.check_sources(digests)
    identity = {'settings': recipe.settings(), 'sources': digests}
    if done is not None:
        begun = {'settings': done['settings'], 'sources': {s['name']: s['sha256'] for s in done['sources']}}
        begun['sources'] |= {s['name']: s['sha256'] for s in done['skipped']}
        check_same(begun, identity, output)
        if strict and done['skipped']:
            raise UserError(f'{output}: was prepared without a source: {done["skipped"][0]["reason"]} (--strict)')
        shutil.rmtree(output / WORK, ignore_errors=True)
        return done
    work, is_new = output / WORK, not output.exists()
    with locked(work):
        if (work / 'begun.json').exists():
            check_same(json.loads((work / 'begun.json').read_bytes()), identity, output)
        else:
            write_json(work / 'begun.json', identity)
        with _keeping_what_can_be_resumed(work, is_new, strict):
            if not (work / 'manifest.json').exists():
                if not (work / 'cut.json').exists():
                    report = _cut_all(sources, digests, work, recipe, workers, strict, progress)
                    os.sync()  # from here on clips are only moved, and no longer checked
                    write_json(work / 'cut.json', report)
                report = json.loads((work / 'cut.json').read_bytes())
                if strict and report['skipped']:  # by the run that this one goes on with
                    raise _Refused(f'{report["skipped"][0]["reason"]} (--strict)')
                write_json(work / 'manifest.json', _assemble_all(report, work, recipe, progress))
        manifest = json.loads((work / 'manifest.json').read_bytes())
        publish(work, output, {clip['split'] for clip in manifest['clips']})
    return manifest


@contextmanager
def _keeping_what_can_be_resumed(work: Path, is_new: bool, strict: bool) -> Iterator[None]:
    """After an error that is not the disk's, keep `work` only if another run can go on with its clips, and say so."""
    try:
        yield
    except WriteError:  # says so itself
        raise
    except UserError as error:
        # Once all is cut, the same sources and settings fail again; before, another run may get further.
        final = (work / 'cut.json').exists() and not isinstance(error, _Refused)
        if not final and any(work.glob('sources/*/*/clip.json')):
            how = 'the same command without --strict' if strict else 'the same command'
            raise UserError(f'{error}; the finished clips are kept in {work}: {how} goes on with them') from error
        shutil.rmtree(work, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                work.parent.rmdir()
        raise


def _digests(sources: dict[str, Path], workers: int) -> dict[str, str]:
    def digest(path: Path) -> str:
        try:
            return sha256_of(image_files(path) if path.is_dir() else [path])
        except OSError as error:
            raise UserError(f'{error.filename or path}: cannot be read ({error.strerror})') from error

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(sources, pool.map(digest, sources.values()), strict=True))


def _cut_all(
    sources: dict[str, Path], digests: dict[str, str], work: Path, recipe: Recipe, workers: int, strict: bool, progress
) -> dict:
    skipped: dict[str, str] = {}

    def skip(name: str, reason: str) -> None:
        if strict:
            raise _Refused(f'{reason} (--strict)')
        skipped[name] = reason
        tqdm.write(f'skipped: {reason}', file=sys.stderr)

    opened = _probe(sources, digests, recipe, workers, skip)
    if not opened:
        raise UserError(f'none of the {len(sources)} sources can be used: {"; ".join(skipped.values())}')
    recipe.split.assign(list(opened))  # too few sources: say so before the work, not after
    counts = [recipe.cutting_of(name).frames_needed(source.frame_count) for name, source in opened.items()]
    bar = tqdm(total=None if None in counts else sum(counts), desc='cut', unit='frame', disable=_hidden(progress))
    results: dict[str, dict] = {}
    with bar, ThreadPoolExecutor(workers) as encoders, ThreadPoolExecutor(workers) as readers:
        crew = Crew(encoders, 3 * workers)
        futures = {}
        try:
            for name, source in opened.items():
                cutting = recipe.cutting_of(name)
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
                        skip(futures[future], str(error))
        except BaseException:
            crew.stopping.set()
            for pool in (readers, encoders):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    for name in results:
        if opened[name].mask is not None:
            write_mask(work / MASKS / f'{name}.png', opened[name].mask, recipe.cutting.multiple)
    described = {
        name: {
            'name': name,
            'path': None if recipe.anonymous else str(sources[name]),
            'sha256': digests[name],
            'fps': str(opened[name].fps) if opened[name].fps else None,
            'size': list(opened[name].size),
            **results[name],
        }
        for name in sorted(results)
    }
    skips = [
        {
            'name': name,
            'path': None if recipe.anonymous else str(sources[name]),
            'sha256': digests[name],
            'reason': _without_paths(skipped[name], sources) if recipe.anonymous else skipped[name],
        }
        for name in sorted(skipped)
    ]
    return {'sources': described, 'skipped': skips}


def _without_paths(reason: str, sources: dict[str, Path]) -> str:
    for name, path in sorted(sources.items(), key=lambda item: -len(str(item[1]))):  # the longest first
        reason = reason.replace(str(path), name)
    return reason


def _probe(sources, digests, recipe: Recipe, workers: int, skip) -> dict[str, FrameSource]:
    """Open every source; leave out what cannot be opened, is too small, or is a copy of another."""
    with ThreadPoolExecutor(workers) as pool:
        futures = {name: pool.submit(recipe.open, path) for name, path in sources.items()}
    opened: dict[str, FrameSource] = {}
    first: dict[str, str] = {}
    for name, future in futures.items():
        try:
            source = future.result()
        except UserError as error:
            skip(name, str(error))
            continue
        h, w = source.size
        twin = first.setdefault(digests[name], name)
        if min(h, w) < recipe.cutting.multiple:
            skip(name, f'{source.path}: {w}x{h} is too small for the scales {recipe.cutting.scales}')
        elif twin != name:  # in two splits it would leak
            skip(name, f'{source.path}: has the same content as {sources[twin]}')
        else:
            opened[name] = source
    return opened


def _assemble_all(report: dict, work: Path, recipe: Recipe, progress: bool | None) -> dict:
    sources = report['sources']
    usable = [name for name, source in sources.items() if source['clips']]
    if not usable:
        raise UserError(f'no source is long enough for a clip of {recipe.cutting.clip_length} frames')
    splits = recipe.split.assign(usable)
    for split, names in splits.items():
        if not names:
            raise UserError(f'the {split} split is left without a clip: all of its sources were skipped or too short')
    split_of = {name: split for split, names in splits.items() for name in names}
    kinds = len(recipe.cutting.kinds)
    total = sum(s['frames'] if recipe.form == 'lmdb' else 1 for n in usable for s in sources[n]['clips'].values())
    listed = []
    with tqdm(total=total * kinds, desc=f'write {recipe.form}', disable=_hidden(progress)) as bar:
        for split, names in splits.items():
            clips = {clip: note for name in names for clip, note in sources[name]['clips'].items()}
            clips = dict(sorted(clips.items()))
            folders = {clip: work / 'sources' / name / clip for name in names for clip in sources[name]['clips']}
            assemble(split, clips, folders, work / split, recipe.cutting, recipe.form, bar.update)
            move_masks(work / MASKS, names, work / split / MASKS)
            for clip, note in clips.items():
                listed.append({'name': clip, 'source': folders[clip].parent.name, 'split': split, **note})
    return {
        'settings': recipe.settings(),
        'sources': [
            {**{k: v for k, v in source.items() if k != 'clips'}, 'split': split_of.get(name)}
            for name, source in sources.items()
        ],
        'skipped': report['skipped'],
        'clips': listed,
    }


def _hidden(progress: bool | None) -> bool | None:
    return None if progress is None else not progress
