"""Published data sets by several runs: each checks and shrinks its share of the clips, and one packs them all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from basicsr_ssm.clips.output_folder import WORK, begin, check_same, finished_manifest, locked
from basicsr_ssm.clips.prepare_published import (
    MADE,
    Digests,
    check_frames,
    combined,
    make_data_set,
    refuse,
    settings_of,
    shrink_all,
)
from basicsr_ssm.clips.published import Published, PublishedClip
from basicsr_ssm.clips.shard import Shard, finished_shards
from basicsr_ssm.clips.threads import thread_count
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_json, writing

NOTE = 'checked.json'  # what a shard leaves for the merge, when it has finished


def prepare_published_shard(
    found: Published,
    output: str | Path,
    shard: Shard,
    *,
    form: str = 'lmdb',
    workers: int | None = None,
    skip_missing: bool = False,
    progress: bool | None = None,
) -> int | None:
    """Check this shard's share of the clips and make their LQ frames, in `output`/.partial.

    Args:
        found: all of the data set, the same for every shard.
        form, workers, skip_missing, progress: see prepare_published.

    Returns:
        How many clips that are; None when the data set is finished already.

    Raises:
        UserError: see prepare_published; or `output` was begun otherwise than in so many shards.
    """
    output, workers = Path(output), thread_count(workers)
    settings, done = settings_of(found, form), finished_manifest(output)
    if done is not None:
        check_same({'settings': done['settings'], 'sources': {}}, {'settings': settings, 'sources': {}}, output)
        return None
    refuse(found, skip_missing)
    work, clips = shard.folder(output / WORK), shard.share(found.clips)
    with locked(output / WORK, shared=True), locked(work, name=f'shard {shard} of {output}'):
        shard.folder(output / WORK)  # again, now that nobody else can begin otherwise
        digests, damaged = check_frames(found, clips, workers, progress)
        if damaged and not skip_missing:
            found.faults.update(damaged)
            refuse(found, skip_missing)
        begin(work, {'settings': settings, 'sources': {found.name: combined(digests)}}, output)
        if not (work / NOTE).exists():
            note = {
                'name': found.name,
                'settings': found.settings,
                'scale': found.scale,
                'lists': found.lists,
                'faults': found.faults,
                'names': [clip.name for clip in found.clips],
                'clips': [_plain(clip) for clip in clips],
                'digests': {name: dict(its) for name, its in digests.items()},
                'damaged': damaged,
            }
            whole = [clip for clip in clips if clip.name in digests]
            shrink_all(whole, digests, work / MADE, found.scale, workers, progress)
            os.sync()
            write_json(work / NOTE, note)
        return len(digests)


def merge_published_shards(output: str | Path, *, workers: int | None = None, progress: bool | None = None) -> dict:
    """Pack what the shards have checked and shrunk: the same bytes as one run. As restartable as that.

    Returns:
        The manifest.

    Raises:
        UserError: there are no shards, some have not finished, or they do not belong together.
    """
    output, workers = Path(output), thread_count(workers)
    done = finished_manifest(output)
    work = output / WORK
    if done is not None:
        shutil.rmtree(work, ignore_errors=True)
        return done
    with locked(work):
        folders = finished_shards(output, work, NOTE)
        found, digests, identity = _joined(folders, output)
        with writing(work):
            for folder in folders:
                for clip in sorted((folder / MADE).glob('**/clip.json')):
                    target = work / MADE / clip.parent.relative_to(folder / MADE)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(clip.parent, target)
        refuse(found, skip_missing=True)
        return make_data_set(found, digests, identity, output, workers, progress)


def _joined(folders: list[Path], output: Path) -> tuple[Published, Digests, dict]:
    """What one run would have found, its checksums, and what it would have begun."""
    notes = [json.loads((folder / NOTE).read_bytes()) for folder in folders]
    settings = [json.loads((folder / 'begun.json').read_bytes())['settings'] for folder in folders]
    first = notes[0]
    for folder, note, its in zip(folders, notes, settings, strict=True):
        check_same({'settings': settings[0], 'sources': {}}, {'settings': its, 'sources': {}}, output)
        if any(note[key] != first[key] for key in ('name', 'lists', 'faults', 'names')):
            raise UserError(f'{output}: {folder.name} was made from another source than {folders[0].name}')
    clips = {entry['name']: _clip(entry) for note in notes for entry in note['clips']}
    digests = {name: its for note in notes for name, its in note['digests'].items()}
    damaged = {name: fault for note in notes for name, fault in note['damaged'].items()}
    names = first['names']
    faults = {**first['faults'], **{name: damaged[name] for name in names if name in damaged}}
    found = Published(
        first['name'], first['settings'], [clips[name] for name in names], faults, [], first['lists'], first['scale']
    )
    digests = {name: digests[name] for name in names if name in digests}
    return found, digests, {'settings': settings[0], 'sources': {found.name: combined(digests)}}


def _plain(clip: PublishedClip) -> dict:
    return {**asdict(clip), 'gt': list(map(str, clip.gt)), 'lq': clip.lq and list(map(str, clip.lq))}


def _clip(entry: dict) -> PublishedClip:
    lq = entry['lq'] and tuple(map(Path, entry['lq']))
    return PublishedClip(entry['name'], entry['split'], tuple(entry['size']), tuple(map(Path, entry['gt'])), lq)
