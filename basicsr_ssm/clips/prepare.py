"""Sources in, data set out: open, cut, assemble, publish; each step can be interrupted and taken up again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from tqdm import tqdm

from basicsr_ssm.clips.assemble import assemble, publish
from basicsr_ssm.clips.cut_sources import (
    RefusedError,
    Skips,
    cut_sources,
    digests_of,
    open_sources,
    report_of,
    same_content,
    twins_of,
)
from basicsr_ssm.clips.masks import MASKS, move_masks
from basicsr_ssm.clips.output_folder import WORK, begin, check_same, finished_manifest, kept_if_resumable, locked
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.shard import Shard, finished_shards, shards_in
from basicsr_ssm.clips.threads import thread_count
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_json, writing


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
    digests = digests_of(sources, workers)
    recipe.check_sources(digests)
    identity = {'settings': recipe.settings(), 'sources': digests}
    if done is not None:
        _check_finished(done, identity, output)
        _refuse_finished(done, output, strict)
        shutil.rmtree(output / WORK, ignore_errors=True)
        return done
    work, is_new = output / WORK, not output.exists()
    with locked(work):
        if shards_in(work):
            raise UserError(f'{output}: was begun with --shard; go on so (`prepare merge` ends it), or delete it')
        begin(work, identity, output)
        with kept_if_resumable(work, lambda error: _final(work, error), strict, output if is_new else None):
            if not (work / 'manifest.json').exists():
                if not (work / 'cut.json').exists():
                    report = _cut(sources, digests, work, recipe, workers, strict, progress)
                    os.sync()  # from here on clips are only moved, and no longer checked
                    write_json(work / 'cut.json', report)
                _refuse(json.loads((work / 'cut.json').read_bytes()), strict)  # skipped by the run before this one
                _assemble(work, identity['settings'], progress)
        return _publish(work, output)


def prepare_shard(
    sources: dict[str, Path],
    output: str | Path,
    recipe: Recipe,
    shard: Shard,
    *,
    workers: int | None = None,
    strict: bool = False,
    progress: bool | None = None,
) -> dict | None:
    """Cut this shard's share of `sources`, into `output`/.partial; merge_shards makes the data set of all shards.

    Other shards may run at the same time, on other machines that see `output`. As with `prepare`, a shard that was
    killed is called again with the same arguments.

    Args:
        sources: all of them, the same for every shard.
        workers, strict, progress: see prepare.

    Returns:
        What was cut, as written to the shard's cut.json; None when the data set is finished already.

    Raises:
        UserError: see prepare; or `output` was begun otherwise than in so many shards.
    """
    output, workers = Path(output), thread_count(workers)
    recipe.split.check_names(list(sources))
    recipe.split.assign(list(sources))  # too few sources: say so before the work, not after
    done = finished_manifest(output)
    mine = {name: sources[name] for name in shard.share(list(sources))}
    digests = digests_of(mine, workers)
    recipe.check_sources(digests)
    identity = {'settings': recipe.settings(), 'sources': digests, 'names': list(sources)}
    if done is not None:
        _check_finished(done, identity, output)
        return None
    work = shard.folder(output / WORK)
    with locked(output / WORK, shared=True), locked(work, name=f'shard {shard} of {output}'):
        shard.folder(output / WORK)  # again, now that nobody else can begin otherwise
        begin(work, identity, output)
        with kept_if_resumable(work, lambda error: _final(work, error), strict):
            if not (work / 'cut.json').exists():
                skips = Skips(strict)
                opened = open_sources(mine, digests, recipe, workers, skips)
                results = cut_sources(opened, digests, work, recipe, workers, skips, _hidden(progress))
                os.sync()
                write_json(work / 'cut.json', report_of(mine, digests, recipe, opened, results, skips))
        return json.loads((work / 'cut.json').read_bytes())


def merge_shards(output: str | Path, *, strict: bool = False, progress: bool | None = None) -> dict:
    """Make the data set of what its shards have cut: the same bytes as one run. As restartable as `prepare`.

    Args:
        strict: a source that was left out is an error.

    Returns:
        The manifest.

    Raises:
        UserError: there are no shards, some have not finished, or they do not belong together.
    """
    output = Path(output)
    done = finished_manifest(output)
    if done is not None:
        _refuse_finished(done, output, strict)
        shutil.rmtree(output / WORK, ignore_errors=True)
        return done
    work = output / WORK
    if not work.is_dir():
        raise UserError(f'{output}: holds no shards; `prepare KIND … --shard I/N` makes them')
    with locked(work):
        folders = finished_shards(output, work, 'cut.json')
        if not (work / 'manifest.json').exists():
            report, settings = _joined(folders, output)
            _refuse(report, strict)
            write_json(work / 'cut.json', report)
            _gather(folders, report, work)
            _assemble(work, settings, progress)
        return _publish(work, output)


def _joined(folders: list[Path], output: Path) -> tuple[dict, dict]:
    """The report that one run would have made, and its settings."""
    begun = [json.loads((folder / 'begun.json').read_bytes()) for folder in folders]
    reports = [json.loads((folder / 'cut.json').read_bytes()) for folder in folders]
    settings, names = begun[0]['settings'], begun[0]['names']
    for folder, other in zip(folders, begun, strict=True):
        if other['names'] != names:
            raise UserError(f'{output}: {folder.name} was made from other sources than {folders[0].name}')
        check_same({'settings': settings, 'sources': {}}, {'settings': other['settings'], 'sources': {}}, output)
    digests = {name: sha for shard in begun for name, sha in shard['sources'].items()}
    used = {name: source for report in reports for name, source in report['sources'].items()}
    skipped = {entry['name']: entry for report in reports for entry in report['skipped']}
    known = used | skipped
    for name, first in twins_of({name: digests[name] for name in names}).items():  # no shard saw both
        used.pop(name, None)
        reason = same_content(*(known[one]['path'] or one for one in (name, first)))
        skipped[name] = {'name': name, 'path': known[name]['path'], 'sha256': digests[name], 'reason': reason}
    return {
        'sources': {name: used[name] for name in sorted(used)},
        'skipped': [skipped[name] for name in sorted(skipped)],
    }, settings


def _gather(folders: list[Path], report: dict, work: Path) -> None:
    """The shards' clips and masks, where one run has them; what is there already stays."""
    with writing(work):
        (work / 'sources').mkdir(exist_ok=True)
        for folder in folders:
            for name in report['sources']:
                if (folder / 'sources' / name).exists():
                    os.replace(folder / 'sources' / name, work / 'sources' / name)
            move_masks(folder / MASKS, report['sources'], work / MASKS)


def _check_finished(done: dict, identity: dict, output: Path) -> None:
    """A finished data set is what this run would make; of other shards' sources nothing is known here."""
    names = identity.get('names')
    sources = {source['name']: source['sha256'] for source in (*done['sources'], *done['skipped'])}
    if names is not None:
        sources = {name: sha for name, sha in sources.items() if name in identity['sources'] or name not in names}
    check_same({'settings': done['settings'], 'sources': sources}, identity, output)


def _refuse_finished(done: dict, output: Path, strict: bool) -> None:
    if strict and done['skipped']:
        raise UserError(f'{output}: was prepared without a source: {done["skipped"][0]["reason"]} (--strict)')


def _refuse(report: dict, strict: bool) -> None:
    if strict and report['skipped']:
        raise RefusedError(f'{report["skipped"][0]["reason"]} (--strict)')


def _final(work: Path, error: UserError) -> bool:
    """Once all is cut, the same sources and settings fail again; before, another run may get further."""
    return (work / 'cut.json').exists() and not isinstance(error, RefusedError)


def _cut(
    sources: dict[str, Path], digests: dict[str, str], work: Path, recipe: Recipe, workers: int, strict: bool, progress
) -> dict:
    skips = Skips(strict)
    opened = open_sources(sources, digests, recipe, workers, skips)
    if not opened:
        raise UserError(f'none of the {len(sources)} sources can be used: {"; ".join(skips.reasons.values())}')
    recipe.split.assign(list(opened))  # too few sources: say so before the work, not after
    results = cut_sources(opened, digests, work, recipe, workers, skips, _hidden(progress))
    return report_of(sources, digests, recipe, opened, results, skips)


def _assemble(work: Path, settings: dict, progress: bool | None) -> None:
    """`work`/cut.json and the clips → the splits and `work`/manifest.json."""
    report, recipe = json.loads((work / 'cut.json').read_bytes()), Recipe.of(settings)
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
    manifest = {
        'settings': settings,
        'sources': [
            {**{k: v for k, v in source.items() if k != 'clips'}, 'split': split_of.get(name)}
            for name, source in sources.items()
        ],
        'skipped': report['skipped'],
        'clips': listed,
    }
    write_json(work / 'manifest.json', manifest)


def _publish(work: Path, output: Path) -> dict:
    manifest = json.loads((work / 'manifest.json').read_bytes())
    publish(work, output, {clip['split'] for clip in manifest['clips']})
    return manifest


def _hidden(progress: bool | None) -> bool | None:
    return None if progress is None else not progress
