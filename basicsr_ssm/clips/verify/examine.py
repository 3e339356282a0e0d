"""One clip, frame by frame: does it decode, has it its size, is it what was written, does its LQ belong to it?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from basicsr_ssm.clips.cutting import DEGRADATIONS
from basicsr_ssm.clips.folder_source import cut_off
from basicsr_ssm.clips.verify.findings import Finding
from basicsr_ssm.clips.verify.perceptual_hash import perceptual_hash, thumbnail
from basicsr_ssm.clips.verify.stored import Stored
from basicsr_ssm.errors import UserError

HASHED = 4  # frames of a clip, evenly spaced
FLOWS = 8  # pairs of neighbouring frames of a clip that flow is computed for
FLOW_SIDE = 256  # pixels: flow is computed at this size
FOREIGN_PSNR = 30.0  # dB: LQ frames that others made are further from ours only if they are of another frame
JUMP_RATIO, JUMP_LEVELS = 6.0, 20.0  # a difference so many times the clip's median, and as large, is a jump

SHRINK = {start: shrink for start, shrink, _ in DEGRADATIONS.values()}


@dataclass
class Clip:
    """What was seen of a clip.

    Attributes:
        split, name, frames, size: its place, its number of frames, (h, w) of its GT.
        findings: what is wrong, or odd.
        hashes, thumbnails: of some frames, those that are not flat.
        differences: mean absolute difference, in levels of 255, between neighbouring frames; exact zeros are frozen.
        flow: mean length of the optical flow between neighbouring frames, in GT pixels; None where none was computed.
        checksums: how many were compared.
        compared: how many LQ frames were made again.
        decoded: how many frames, GT and LQ.
    """

    split: str
    name: str
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    findings: list[Finding] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    thumbnails: list[np.ndarray] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    flow: float | None = None
    checksums: int = 0
    compared: int = 0
    decoded: int = 0

    def say(self, check: str, what: str, error: bool = True) -> None:
        self.findings.append(Finding(check, what, self.split, self.name, error))

    @property
    def motion(self) -> float:
        return float(np.mean(self.differences)) if self.differences else 0.0


def examine(stored: Stored, split: str, name: str, sample: int, advance: Callable[[], None]) -> Clip:
    """Read every frame of a clip once.

    Args:
        sample: LQ frames of each kind that are made again from GT and compared, evenly spaced; 0 for none.
        advance: called after every frame.
    """
    clip, kinds = Clip(split, name), stored.splits[split]
    frames = kinds['GT'].clips[name] if 'GT' in kinds and name in kinds['GT'].clips else []
    clip.frames = len(frames)
    entry = stored.entries.get((split, name), {})
    sampled = spread(frames, sample) if len(kinds) > 1 else []
    listed = stored.meta.get(split, {}).get(name)
    size = tuple(entry.get('size', ())) or (listed and listed.size) or ()
    kept = _gt(stored, clip, frames, size, entry, sampled, advance)
    ours = stored.manifest is not None and stored.manifest['settings'].get('lq') != 'published'
    for kind in kinds:
        if kind != 'GT' and name in kinds[kind].clips:
            _lq(stored, clip, kind, kept, entry, ours, advance)
    _judge_motion(clip)
    return clip


def spread(items: list, count: int) -> list:
    """`count` of the items, evenly spaced, with the first and the last."""
    if count >= len(items):
        return list(items)
    return [items[i] for i in dict.fromkeys(np.linspace(0, len(items) - 1, count).round().astype(int).tolist())]


def decode(content: bytes) -> np.ndarray:
    """uint8 RGB (h, w, 3); UserError says what is wrong with the file."""
    fault = cut_off(content)
    if fault:
        raise UserError(fault)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as error:
        raise UserError(f'cannot be decoded ({error.err})') from error
    if image is None:
        raise UserError('cannot be decoded as an image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _gt(stored: Stored, clip: Clip, frames: list[str], size: tuple, entry: dict, sampled: list[str], advance) -> dict:
    """Returns the sampled frames: name → pixels."""
    hashed, flowed = set(spread(frames, HASHED)), set(spread(frames[1:], FLOWS))
    kept: dict[str, np.ndarray] = {}
    flows, last = [], None
    for name, image in _images(stored, clip, 'GT', frames, size, entry, advance):
        if image is None:
            last = None
            continue
        clip.size = clip.size if any(clip.size) else image.shape[:2]
        if name in sampled:
            kept[name] = image
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if name in hashed:
            small = thumbnail(gray)
            code = perceptual_hash(small)
            if code is not None:
                clip.hashes.append(code)
                clip.thumbnails.append(small)
        if last is not None and last.shape == gray.shape:
            clip.differences.append(cv2.norm(last, gray, cv2.NORM_L1) / gray.size)
            if name in flowed:
                flows.append(_flow(last, gray))
        last = gray
    clip.flow = float(np.mean(flows)) if flows else None
    return kept


def _lq(stored: Stored, clip: Clip, kind: str, kept: dict[str, np.ndarray], entry: dict, ours: bool, advance) -> None:
    frames, scale = stored.splits[clip.split][kind].clips[clip.name], stored.scales[kind]
    size = tuple(n // scale for n in clip.size)
    shrink = SHRINK.get(kind[:2])
    wrong: list[tuple[str, int, float]] = []
    for name, image in _images(stored, clip, kind, frames, size, entry, advance):
        gt = kept.get(name)
        if gt is None or image is None or shrink is None or min(gt.shape[:2]) < scale:
            continue
        made = shrink(gt, scale)
        if made.shape != image.shape:  # the size is another finding already
            continue
        clip.compared += 1
        difference = cv2.absdiff(made, image)
        if difference.any():
            wrong.append((name, int(difference.max()), cv2.PSNR(made, image)))
    if not wrong:
        return
    name, most, psnr = min(wrong, key=lambda entry: entry[2])
    some = f'{len(wrong)} of the {kind} frames that were made again differ, most {name}: {most} levels, {psnr:.1f} dB'
    if ours:
        clip.say('pairs', some)
    elif psnr < FOREIGN_PSNR:
        clip.say('pairs', f'{some}: it is not of this GT frame')
    else:
        clip.say('pairs', f'{some}: made by another down-sampling', error=False)


def _images(stored: Stored, clip: Clip, kind: str, frames: list[str], size: tuple, entry: dict, advance):
    """(name, pixels or None) of every frame; what is wrong with bytes, list or size is said."""
    store, digest = stored.splits[clip.split][kind], hashlib.sha256()
    unread: list[tuple[str, str]] = []
    odd: list[tuple[str, tuple]] = []
    wanted = tuple(size) if any(size) else None
    for name in frames:
        advance()
        try:
            content = store.read(clip.name, name)
            digest.update(content)
            image = decode(content)
        except UserError as error:
            unread.append((name, str(error)))
            yield name, None
            continue
        clip.decoded += 1
        wanted = wanted or image.shape[:2]
        listed = store.listed.get((clip.name, name), wanted)
        if image.shape[:2] != wanted or listed != wanted:
            odd.append((name, listed if image.shape[:2] == wanted else image.shape[:2]))
        yield name, image
    if unread:
        some = kind if len(unread) == 1 else f'{len(unread)} {kind} frames, first'
        clip.say('decoding', f'{some} {unread[0][0]}: {unread[0][1]}')
    if odd:
        (h, w), (want_h, want_w) = odd[0][1], wanted
        clip.say(
            'sizes', f'{len(odd)} {kind} frames, first {odd[0][0]}: {w}x{h} (width x height), not {want_w}x{want_h}'
        )
    expected = entry.get('sha256', {}).get(kind)
    if expected is not None and not unread:
        clip.checksums += 1
        if digest.hexdigest() != expected:
            clip.say('checksums', f'{kind}: the frames are not those of the manifest')


def _flow(a: np.ndarray, b: np.ndarray) -> float:
    """Mean length of the flow from one frame, uint8 (h, w), to the next, in their pixels."""
    factor = min(1.0, FLOW_SIDE / max(a.shape))
    h, w = (max(16, round(n * factor)) for n in a.shape)  # the method needs some pixels
    a, b = (cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA) for image in (a, b))
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(a, b, None)
    return float(np.linalg.norm(flow, axis=2).mean()) / factor


def _judge_motion(clip: Clip) -> None:
    differences = np.array(clip.differences)
    if not differences.size:
        return
    frozen = int((differences == 0).sum())
    if frozen:
        clip.say('motion', f'{frozen} of {clip.frames} frames repeat the one before', error=False)
    at = int(differences.argmax())
    if differences[at] > max(JUMP_LEVELS, JUMP_RATIO * float(np.median(differences))):
        clip.say('motion', f'jumps by {differences[at]:.0f} levels after frame {at}: a cut?', error=False)
