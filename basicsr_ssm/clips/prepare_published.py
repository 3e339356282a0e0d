"""Published frames in, data set out: check, shrink where need be, pack, publish; to be interrupted and taken up again.

The owner's PNG files go into the data set byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from basicsr_ssm.clips.assemble import publish
from basicsr_ssm.clips.cut import checked_clip
from basicsr_ssm.clips.folder_source import read_image
from basicsr_ssm.clips.imresize import imresize_bicubic
from basicsr_ssm.clips.lmdb_writer import encode_png, write_lmdb
from basicsr_ssm.clips.output_folder import WORK, begin, check_same, finished_manifest, locked
from basicsr_ssm.clips.published import Published, PublishedClip, fault_of_png
from basicsr_ssm.clips.shard import shards_in
from basicsr_ssm.clips.threads import for_all, thread_count
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import sha256_of, write_file, write_json, writing
from basicsr_ssm.version import __version__

# clip → {'GT': checksum of its frames, 'BIx4': …}; without the latter for a clip whose LQ frames are to be made
Digests = dict[str, dict[str, str]]

MADE = 'made'  # below the working folder: LQ frames that the owner did not make


def prepare_published(
    found: Published,
    output: str | Path,
    *,
    form: str = 'lmdb',
    workers: int | None = None,
    skip_missing: bool = False,
    progress: bool | None = None,
) -> dict:
    """Make the data set `output` out of what an adapter has found.

    Every frame is read once to check it, before anything is written. Killed at any point and called again with the
    same arguments, it ends in the same bytes; called again after it has finished, it does nothing.

    Args:
        form: 'lmdb' or 'png'.
        workers: threads; None for one a core.
        skip_missing: leave out clips that are incomplete or damaged, instead of an error that lists them.
        progress: show bars on stderr; None for when that is a terminal.

    Returns:
        The manifest, as written to `output`/manifest.json; clips that were left out are in 'skipped'.

    Raises:
        UserError: something is missing or damaged; `output` was begun with other settings or cannot be written.
    """
    output, workers = Path(output), thread_count(workers)
    done = finished_manifest(output)
    refuse(found, skip_missing)  # what the adapter saw, before an hour of reading
    digests, damaged = check_frames(found, found.clips, workers, progress)
    found.faults.update(damaged)
    refuse(found, skip_missing)
    identity = {'settings': settings_of(found, form), 'sources': {found.name: combined(digests)}}
    if done is not None:
        begun = {'settings': done['settings'], 'sources': {s['name']: s['sha256'] for s in done['sources']}}
        check_same(begun, identity, output)
        shutil.rmtree(output / WORK, ignore_errors=True)
        return done
    work = output / WORK
    with locked(work):
        if shards_in(work):
            raise UserError(f'{output}: was begun with --shard; go on so (`prepare merge` ends it), or delete it')
        begin(work, identity, output)
        return make_data_set(found, digests, identity, output, workers, progress)


def make_data_set(
    found: Published, digests: Digests, identity: dict, output: Path, workers: int, progress: bool | None
) -> dict:
    """Shrink, pack and publish what has been checked; returns the manifest."""
    form, work, kinds = identity['settings']['format'], output / WORK, kinds_of(found)
    clips = sorted((clip for clip in found.clips if clip.name in digests), key=lambda clip: clip.name)
    if not (work / 'manifest.json').exists():
        frames = shrink_all(clips, digests, work / MADE, found.scale, workers, progress)
        _write_all(clips, frames, digests, work, kinds, form, workers, progress)
        _write_lists(found, clips, work)
        os.sync()  # from here on everything is only moved
        write_json(work / 'manifest.json', _manifest(found, clips, digests, identity))
    manifest = json.loads((work / 'manifest.json').read_bytes())
    publish(work, output, _top_names(clips, kinds, form))
    return manifest


def settings_of(found: Published, form: str) -> dict:
    return {'package_version': __version__, 'format': form, 'scales': [found.scale], **found.settings}


def kinds_of(found: Published) -> dict[str, int]:
    """Folder name → scale."""
    return {'GT': 1, f'BIx{found.scale}': found.scale}


def refuse(found: Published, skip_missing: bool) -> None:
    if found.faults and not skip_missing:
        lines = [f'{name}: {fault}' for name, fault in found.faults.items()]
        more = f'\n  and {len(lines) - 10} more' if len(lines) > 10 else ''
        listed = '\n  '.join(lines[:10])
        raise UserError(f'{found.name} is not complete; --skip-missing leaves out what is not:\n  {listed}{more}')
    if not any(clip.name not in found.faults for clip in found.clips):
        faults = list(found.faults.values())
        more = f'; and {len(faults) - 3} more' if len(faults) > 3 else ''
        raise UserError(f'{found.name}: no clip is complete: {"; ".join(faults[:3]) or "none was found"}{more}')


def check_frames(
    found: Published, clips: list[PublishedClip], workers: int, progress: bool | None
) -> tuple[Digests, dict[str, str]]:
    """Read every frame: checksums of the clips, and clip → what is wrong with it for the damaged ones."""
    kinds = list(kinds_of(found))

    def check(clip: PublishedClip) -> dict[str, str] | str:
        digests = {}
        for kind, paths, scale in zip(kinds, (clip.gt, clip.lq), (1, found.scale), strict=True):
            digest = hashlib.sha256()
            for path in paths or ():
                try:
                    content = path.read_bytes()
                except OSError as error:
                    return f'{path}: cannot be read ({error.strerror})'
                fault = fault_of_png(content, tuple(n // scale for n in clip.size))
                if fault:
                    return f'{path}: {fault}'
                digest.update(content)
                bar.update()
            if paths:
                digests[kind] = digest.hexdigest()
        return digests

    total = sum(len(clip.gt) + len(clip.lq or ()) for clip in clips)
    with tqdm(total=total, desc='check', unit='frame', disable=_hidden(progress)) as bar:
        results = {clip.name: result for clip, result in zip(clips, for_all(check, clips, workers), strict=True)}
    damaged = {name: result for name, result in results.items() if isinstance(result, str)}
    return {name: result for name, result in results.items() if name not in damaged}, damaged


def combined(digests: Digests) -> str:
    lines = (f'{clip} {kind} {sha}\n' for clip in sorted(digests) for kind, sha in digests[clip].items())
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def shrink_all(
    clips: list[PublishedClip], digests: Digests, folder: Path, scale: int, workers: int, progress: bool | None
) -> dict[str, list[Path]]:
    """Make the LQ frames that the owner did not; returns clip → LQ frames, and completes `digests`."""
    kind = f'BIx{scale}'
    wanting = [clip for clip in clips if clip.lq is None]
    with tqdm(total=len(wanting), desc='shrink', unit='clip', disable=_hidden(progress) if wanting else True) as bar:

        def shrink(clip: PublishedClip) -> None:
            digests[clip.name][kind] = _shrink(clip, folder / clip.name, kind, scale)
            bar.update()

        for_all(shrink, wanting, workers)
    made = {clip.name: [folder / clip.name / kind / f'{stem}.png' for stem in clip.stems] for clip in wanting}
    return {clip.name: list(clip.lq) for clip in clips if clip.lq is not None} | made


def _shrink(clip: PublishedClip, folder: Path, kind: str, scale: int) -> str:
    """Write `folder`/<kind>/<stem>.png, whole or not at all; returns the checksum of the frames."""
    note = checked_clip(folder)
    if note is None:
        unfinished = folder.with_name(f'{folder.name}.tmp')
        with writing(unfinished):
            shutil.rmtree(unfinished, ignore_errors=True)
            (unfinished / kind).mkdir(parents=True)
            for i, (path, stem) in enumerate(zip(clip.gt, clip.stems, strict=True)):
                png = encode_png(imresize_bicubic(read_image(path, i), scale))
                (unfinished / kind / f'{stem}.png').write_bytes(png)
            note = {'sha256': {kind: sha256_of(sorted((unfinished / kind).iterdir()))}}
            # not flushed to the disk, which would take longer than all else: checksums tell what a power cut has spoilt
            (unfinished / 'clip.json').write_text(json.dumps(note))
            os.replace(unfinished, folder)
    return note['sha256'][kind]


def _write_all(
    clips: list[PublishedClip], lq: dict, digests: Digests, work: Path, kinds: dict, form: str, workers: int, progress
) -> None:
    total = len(kinds) * sum(len(clip.gt) for clip in clips)
    with tqdm(total=total, desc=f'write {form}', unit='frame', disable=_hidden(progress)) as bar:
        for split in sorted({clip.split for clip in clips}):
            here = [clip for clip in clips if clip.split == split]
            with writing(work / split):
                (work / split).mkdir(exist_ok=True)
            for kind, scale in kinds.items():
                frames = {clip.name: clip.gt if kind == 'GT' else lq[clip.name] for clip in here}
                if form == 'lmdb':
                    _pack(here, frames, work / split / f'{kind}.lmdb', scale, bar.update)
                else:
                    shas = {name: digests[name][kind] for name in frames}
                    _copy_all(here, frames, shas, work / split / kind, workers, bar.update)


def _pack(clips: list[PublishedClip], frames: dict, target: Path, scale: int, advance: Callable[[], None]) -> None:
    if target.exists():
        return
    files, shapes = {}, {}
    for clip in clips:
        for stem, path in zip(clip.stems, frames[clip.name], strict=True):
            files[f'{clip.name}/{stem}'] = path
            shapes[f'{clip.name}/{stem}'] = (clip.size[0] // scale, clip.size[1] // scale, 3)
    write_lmdb(target, files, shapes, advance)


def _copy_all(
    clips: list[PublishedClip], frames: dict, shas: dict[str, str], target: Path, workers: int, advance
) -> None:
    def copy(clip: PublishedClip) -> None:
        folder = target / clip.name
        names = [f'{stem}.png' for stem in clip.stems]
        # a power cut may leave folders that have their name already, but not all of their content
        if not folder.is_dir() or _sha_or_none(folder / name for name in names) != shas[clip.name]:
            unfinished = folder.with_name(f'{folder.name}.tmp')
            with writing(folder):
                for old in (folder, unfinished):
                    shutil.rmtree(old, ignore_errors=True)
                unfinished.mkdir(parents=True)
                for name, path in zip(names, frames[clip.name], strict=True):
                    shutil.copyfile(path, unfinished / name)
                os.replace(unfinished, folder)
        for _ in names:
            advance()

    for_all(copy, clips, workers)


def _sha_or_none(paths: Iterable[Path]) -> str | None:
    try:
        return sha256_of(paths)
    except OSError:
        return None


def _write_lists(found: Published, clips: list[PublishedClip], work: Path) -> None:
    """meta_info.txt of each split, and the adapter's further lists in the same form."""
    lists: dict[str, list[str]] = {}
    for clip in clips:
        lists.setdefault(f'{clip.split}/meta_info.txt'.lstrip('/'), []).append(clip.name)
    by_name = {clip.name: clip for clip in clips}
    for file, names in (*lists.items(), *found.lists.items()):
        here = [by_name[name] for name in names if name in by_name]
        if here:
            lines = (f'{clip.name} {len(clip.gt)} ({clip.size[0]},{clip.size[1]},3)\n' for clip in here)
            write_file(work / file, ''.join(lines).encode())


def _manifest(found: Published, clips: list[PublishedClip], digests: Digests, identity: dict) -> dict:
    return {
        'settings': identity['settings'],
        'sources': [{'name': found.name, 'sha256': identity['sources'][found.name]}],
        'skipped': [{'name': name, 'reason': fault} for name, fault in found.faults.items()],
        'clips': [
            {
                'name': clip.name,
                'source': found.name,
                'split': clip.split,
                'frames': len(clip.gt),
                'size': list(clip.size),
                'sha256': digests[clip.name],
            }
            for clip in clips
        ],
    }


def _top_names(clips: list[PublishedClip], kinds: Iterable[str], form: str) -> list[str]:
    """What lies directly in the data set: folders of splits, or of the frames of clips without one."""
    own = [f'{kind}.lmdb' if form == 'lmdb' else kind for kind in kinds] + ['meta_info.txt']
    return [name for split in sorted({clip.split for clip in clips}) for name in ([split] if split else own)]


def _hidden(progress: bool | None) -> bool | None:
    return None if progress is None else not progress
