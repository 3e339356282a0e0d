"""All checks of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
from tqdm import tqdm

from basicsr_ssm.clips.published import name_some
from basicsr_ssm.clips.threads import for_all, thread_count
from basicsr_ssm.clips.verify.examine import Clip, examine
from basicsr_ssm.clips.verify.findings import Finding, Findings
from basicsr_ssm.clips.verify.perceptual_hash import look_alike, near_pairs
from basicsr_ssm.clips.verify.stored import Stored

SAMPLE = 3  # LQ frames of a clip that are made again


def verify(
    stored: Stored, *, sample: int = SAMPLE, workers: int | None = None, progress: bool | None = None
) -> tuple[list[Clip], Findings]:
    """Read every frame once and compare everything that can be compared.

    Args:
        sample: see examine.
        workers: threads; None for one a core.
        progress: show a bar on stderr; None for when that is a terminal.
    """
    workers, findings = thread_count(workers), Findings()
    _counts(stored, findings)
    places = [(split, clip) for split, kinds in stored.splits.items() for clip in _names(kinds)]
    frames = sum(len(names) for store in stored.stores for names in store.clips.values())
    with tqdm(total=frames, desc='verify', unit='frame', disable=None if progress is None else not progress) as bar:
        clips = for_all(lambda place: examine(stored, *place, sample, bar.update), places, workers)
    for clip in clips:
        findings.found += clip.findings
    _say_what_was_done(stored, clips, findings)
    _sources(stored, findings)
    _duplicates(stored, clips, findings)
    return clips, findings


def _names(kinds: dict) -> list[str]:
    return sorted(set().union(*(store.clips for store in kinds.values())))


def _counts(stored: Stored, findings: Findings) -> None:
    def say(what: str, split: str = '', clip: str = '', error: bool = True) -> None:
        findings.found.append(Finding('counts', what, split, clip, error))

    for fault in (*stored.faults, *(fault for store in stored.stores for fault in store.faults)):
        say(fault)
    for split, kinds in stored.splits.items():
        listed = {clip: entry['frames'] for (part, clip), entry in stored.entries.items() if part == split}
        meta = {clip: listed.count for clip, listed in stored.meta.get(split, {}).items()}
        for kind, store in kinds.items():
            counts = {clip: len(frames) for clip, frames in store.clips.items()}
            for name, expected in (('manifest.json', listed), ('meta_info.txt', meta)):
                _compare(counts, expected, f'{kind} and {name}', stored.manifest is None, partial(say, split=split))
        gt = kinds.get('GT')
        for kind, store in kinds.items():
            if gt is None or kind == 'GT':
                continue
            for clip in sorted(set(gt.clips) | set(store.clips)):
                if gt.clips.get(clip) != store.clips.get(clip):
                    what = f'GT and {kind} do not have the same frames'
                    findings.found.append(Finding('pairs', what, split, clip))
    findings.done['counts'] = f'{sum(len(store.clips) for store in stored.stores)} clips'


def _compare(
    counts: dict[str, int], expected: dict[str, int | None], what: str, selects: bool, say: Callable[..., None]
) -> None:
    """
    Args:
        expected: clip → frames, None where the list does not say how many.
        selects: the list may leave clips out, as one of plain folders does that are not all to be used.
        say: told of what differs: in words, and of which clip if of one.
    """
    if not expected:
        return
    for only, where, wrong in (
        (set(expected) - set(counts), 'missing', True),
        (set(counts) - set(expected), 'not listed', not selects),
    ):
        if only:
            say(f'{what}: {len(only)} clips are {where} ({name_some(only)})', error=wrong)
    for clip in sorted(set(counts) & set(expected)):
        if expected[clip] not in (None, counts[clip]):
            say(f'{what}: {counts[clip]} frames, listed are {expected[clip]}', clip=clip)


def _say_what_was_done(stored: Stored, clips: list[Clip], findings: Findings) -> None:
    decoded, compared = sum(clip.decoded for clip in clips), sum(clip.compared for clip in clips)
    findings.done['decoding'] = findings.done['sizes'] = f'{decoded} frames'
    if len(stored.scales) < 2:
        findings.not_done['pairs'] = 'there are no LQ frames'
    elif compared:
        findings.done['pairs'] = f'{compared} LQ frames made again'
    else:
        findings.not_done['pairs'] = 'no LQ frame was made again'
    checksums = sum(clip.checksums for clip in clips)
    if checksums:
        findings.done['checksums'] = f'{checksums} checksums'
    else:
        findings.not_done['checksums'] = 'there is no manifest'
    if any(clip.differences for clip in clips):
        findings.done['motion'] = f'{sum(len(clip.differences) for clip in clips)} pairs of frames'
    else:
        findings.not_done['motion'] = 'no clip has two frames'


def _sources(stored: Stored, findings: Findings) -> None:
    """By the manifest: which source a clip was cut from, and what the source's file holds."""
    if len(stored.splits) < 2:
        findings.not_done['sources'] = 'there is one split'
        return
    splits_of: dict[str, set[str]] = defaultdict(set)
    published = stored.manifest is not None and 'first_frame' not in next(iter(stored.entries.values()), {})
    if stored.manifest is None or published:  # each clip is a video of its own
        for split, kinds in stored.splits.items():
            for clip in _names(kinds):
                splits_of[clip].add(split)
        findings.done['sources'] = f'{len(splits_of)} clips by their names'
        what = 'is a clip of'
    else:
        content = {source['name']: source['sha256'] for source in stored.manifest['sources']}
        for (split, _), entry in stored.entries.items():
            splits_of[entry['source']].add(split)
        findings.done['sources'] = f'{len(splits_of)} sources'
        what = 'is a source of'
        by_content: dict[str, list[str]] = defaultdict(list)
        for source in splits_of:
            by_content[content.get(source, source)].append(source)
        for names in by_content.values():
            if len(names) > 1 and len(set().union(*(splits_of[name] for name in names))) > 1:
                findings.found.append(Finding('sources', f'{", ".join(names)} have the same content'))
    for name, splits in sorted(splits_of.items()):
        if len(splits) > 1:
            findings.found.append(Finding('sources', f'{name} {what} {" and ".join(sorted(splits))}'))


def _duplicates(stored: Stored, clips: list[Clip], findings: Findings) -> None:
    if len(stored.splits) < 2:
        findings.not_done['duplicates'] = 'there is one split'
        return
    frames = {
        split: [(clip, i) for clip in clips if clip.split == split for i in range(len(clip.hashes))]
        for split in stored.splits
    }
    hashes = {split: np.array([clip.hashes[i] for clip, i in its], np.uint64) for split, its in frames.items()}
    for a, b in combinations(stored.splits, 2):
        alike: dict[tuple[int, int], set[int]] = defaultdict(set)
        of_clip: dict[int, Clip] = {}
        for i, j in near_pairs(hashes[a], hashes[b]):
            (one, k), (other, m) = frames[a][i], frames[b][j]
            if look_alike(one.thumbnails[k], other.thumbnails[m]):
                alike[id(one), id(other)].add(k)
                of_clip[id(one)], of_clip[id(other)] = one, other
        for (one, other), matches in alike.items():
            one, other = of_clip[one], of_clip[other]
            some = f'{len(matches)} of {len(one.hashes)} frames compared look as in {other.split}/{other.name}'
            surely = 2 * len(matches) >= len(one.hashes)
            findings.found.append(Finding('duplicates', some, one.split, one.name, surely))
    findings.done['duplicates'] = f'{sum(map(len, hashes.values()))} frames'
