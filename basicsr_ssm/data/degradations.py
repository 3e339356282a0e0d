"""Low resolution made on the fly from ground truth: blur, down-sampling, noise, compression, as real recordings have
them. For training networks that are to stand such recordings; published test sets have one fixed degradation instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import cv2
import numpy as np

from basicsr_ssm.clips.cutting import DEGRADATIONS
from basicsr_ssm.clips.pyav import import_av
from basicsr_ssm.errors import UserError

CODECS = ('jpeg', 'mjpeg', 'h264')
_PRESET = 'veryfast'  # of libx264: recorders have no time, either

# Section → option → default. Ranges are [low, high]; a value is drawn evenly between them once for all frames.
DEFAULTS: dict[str, dict[str, object]] = {
    'blur': {'prob': 0.5, 'sigma': [0.2, 2.0]},
    'noise': {'prob': 0.5, 'sigma': [0.0, 10.0], 'gray_prob': 0.4},
    'compression': {
        'prob': 0.5,
        'codecs': list(CODECS),
        'jpeg_quality': [30, 95],
        'mjpeg_q': [2, 15],
        'h264_crf': [18, 35],
    },
}
_LIMITS = {'blur.sigma': (0, 20), 'noise.sigma': (0, 255), 'jpeg_quality': (1, 100), 'mjpeg_q': (1, 31)}
_LIMITS |= {'h264_crf': (0, 51)}


class DegradationError(ValueError):
    """Options that no degradation can be made from: each of ``args`` is one thing that is wrong, the message is all."""

    def __str__(self):
        return '; '.join(self.args)


@dataclass(frozen=True)
class Degradation:
    """From frames of ground truth to low resolution.

    Options, each section of which may be left out (then nothing of its kind happens) or empty (then it has its
    defaults, DEFAULTS):

        blur: Gaussian, before down-sampling. ``prob``: share of the windows; ``sigma``: range in GT pixels, drawn
            for width and height apart.
        downsample: ``bicubic`` (default) or ``bd``, as `basicsr-ssm prepare --degradation`.
        noise: Gaussian, on the small frames, other noise in each. ``prob``; ``sigma``: range in levels of 255;
            ``gray_prob``: share of the noisy windows whose noise is the same in all colours.
        compression: of the small frames, last. ``prob``; ``codecs``: any of jpeg (each frame), mjpeg and h264 (all
            frames of the window as one film, through FFmpeg); ``jpeg_quality``, ``mjpeg_q``, ``h264_crf``: ranges.

    Args:
        options: the section ``degradation`` of a data set.
        scale: GT size / LQ size.

    Raises:
        DegradationError: unknown options, or values that make no sense; all of them.
        UserError: mjpeg or h264 without PyAV.
    """

    options: dict
    scale: int

    def __post_init__(self):
        options, problems = _completed(self.options, self.scale)
        if problems:
            raise DegradationError(*problems)
        if {'mjpeg', 'h264'} & {*options.get('compression', {}).get('codecs', ())}:
            import_av()
        object.__setattr__(self, 'options', options)

    def __call__(self, frames: Sequence[np.ndarray], rng: Random) -> list[np.ndarray]:
        """LQ frames: the same frames and the same state of `rng` give the same bytes.

        Args:
            frames: t frames of GT, uint8 BGR (h, w, 3), h and w multiples of the scale.
            rng: a random.Random, or the module.

        Returns:
            t frames, uint8 BGR (h / scale, w / scale, 3).
        """
        options = self.options
        if (blur := options.get('blur')) and rng.random() < blur['prob']:
            sigmas = rng.uniform(*blur['sigma']), rng.uniform(*blur['sigma'])
            frames = [_blurred(frame, *sigmas) for frame in frames]
        shrink = DEGRADATIONS[options['downsample']][1]
        frames = [shrink(np.ascontiguousarray(frame), self.scale) for frame in frames]
        if (noise := options.get('noise')) and rng.random() < noise['prob']:
            sigma, gray = rng.uniform(*noise['sigma']), rng.random() < noise['gray_prob']
            generator = np.random.default_rng(rng.getrandbits(64))
            frames = [_noisy(frame, sigma, gray, generator) for frame in frames]
        if (compression := options.get('compression')) and rng.random() < compression['prob']:
            frames = _compressed(frames, compression, rng)
        return frames


def _completed(given: object, scale: int) -> tuple[dict, list[str]]:
    """The options with their defaults, and what is wrong with them."""
    if not isinstance(given, dict):
        return {}, [f'expected a section of options, got {given!r}']
    downsample = given.get('downsample', 'bicubic')
    options, problems = {'downsample': downsample}, []
    if not isinstance(downsample, str) or downsample not in DEGRADATIONS:
        problems.append(f'downsample: expected {" or ".join(DEGRADATIONS)}, got {downsample!r}')
    elif scale not in DEGRADATIONS[downsample][2]:
        problems.append(f'downsample: {downsample} is not defined for scale {scale}')
    for name, section in given.items():
        if name == 'downsample':
            continue
        if name not in DEFAULTS:
            problems.append(f'{name}: no such option; there are downsample, {", ".join(DEFAULTS)}')
            continue
        section = {} if section is None else section
        if not isinstance(section, dict):
            problems.append(f'{name}: expected a section of options, got {section!r}')
            continue
        for key in section:
            if key not in DEFAULTS[name]:
                problems.append(f'{name}.{key}: no such option; there are {", ".join(DEFAULTS[name])}')
        options[name] = {**DEFAULTS[name], **section}
        problems += [f'{name}.{key}: {fault}' for key, v in options[name].items() if (fault := _fault(name, key, v))]
    return options, problems


def _fault(section: str, key: str, value: object) -> str | None:
    if key in ('prob', 'gray_prob'):
        right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        return None if right else f'expected a number from 0 to 1, got {value!r}'
    if key == 'codecs':
        right = isinstance(value, list) and value and not [codec for codec in value if codec not in CODECS]
        return None if right else f'expected a list of {", ".join(CODECS)}, got {value!r}'
    if key not in DEFAULTS[section]:
        return None
    low, high = _LIMITS.get(f'{section}.{key}') or _LIMITS[key]
    numbers = isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    right = numbers and low <= value[0] <= value[1] <= high
    return None if right else f'expected a range [low, high] within {low} to {high}, got {value!r}'


def _blurred(frame: np.ndarray, sigma_x: float, sigma_y: float) -> np.ndarray:
    sides = tuple(2 * int(np.ceil(3 * sigma)) + 1 for sigma in (sigma_x, sigma_y))
    return cv2.GaussianBlur(frame, sides, max(sigma_x, 1e-6), sigmaY=max(sigma_y, 1e-6))


def _noisy(frame: np.ndarray, sigma: float, gray: bool, generator: np.random.Generator) -> np.ndarray:
    shape = (*frame.shape[:2], 1) if gray else frame.shape
    noise = generator.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return np.rint(frame + noise).clip(0, 255).astype(np.uint8)


def _compressed(frames: list[np.ndarray], options: dict, rng: Random) -> list[np.ndarray]:
    codec = rng.choice(options['codecs'])
    if codec == 'jpeg':
        quality = [cv2.IMWRITE_JPEG_QUALITY, round(rng.uniform(*options['jpeg_quality']))]
        return [cv2.imdecode(cv2.imencode('.jpg', frame, quality)[1], cv2.IMREAD_COLOR) for frame in frames]
    if codec == 'mjpeg':
        q = str(round(rng.uniform(*options['mjpeg_q'])))
        return _through_codec(frames, 'mjpeg', 'mjpeg', 'yuvj420p', {'qmin': q, 'qmax': q, 'threads': '1'})
    crf = str(round(rng.uniform(*options['h264_crf']), 1))
    # one thread, whose result does not depend on how many cores there are
    settings = {'crf': crf, 'preset': _PRESET, 'threads': '1', 'x264-params': 'threads=1:log-level=none'}
    return _through_codec(frames, 'libx264', 'h264', 'yuv420p', settings)


def _through_codec(
    frames: list[np.ndarray], encoder: str, decoder: str, pixels: str, settings: dict
) -> list[np.ndarray]:
    """Frames, uint8 BGR (h, w, 3), encoded and decoded again as one film, in memory."""
    av = import_av()
    h, w = frames[0].shape[:2]
    coder = av.CodecContext.create(encoder, 'w')
    coder.height, coder.width, coder.pix_fmt = h + h % 2, w + w % 2, pixels  # 4:2:0 wants even sizes
    coder.time_base, coder.framerate = Fraction(1, 25), Fraction(25)
    coder.options = settings
    reader = av.CodecContext.create(decoder, 'r')
    reader.thread_count = 1
    packets = []
    for number, frame in enumerate(frames):
        even = np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), mode='edge')
        picture = av.VideoFrame.from_ndarray(_planes(even), format=pixels)
        picture.pts, picture.time_base = number, Fraction(1, 25)
        packets += coder.encode(picture)
    packets += coder.encode(None)
    decoded = [picture for packet in [*packets, None] for picture in reader.decode(packet)]
    if len(decoded) != len(frames):
        raise UserError(f'{encoder}: {len(decoded)} of {len(frames)} frames came back from compression')
    return [_from_planes(picture.to_ndarray())[:h, :w] for picture in decoded]


# FFmpeg's own conversion starts threads for every frame, which small ones do not repay.


def _planes(frame: np.ndarray) -> np.ndarray:
    """BGR (h, w, 3), even sizes → Y, Cb and Cr of all levels with half the colours, (1.5 h, w)."""
    h, w = frame.shape[:2]
    y, cr, cb = cv2.split(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb))
    small = [cv2.resize(plane, (w // 2, h // 2), interpolation=cv2.INTER_AREA) for plane in (cb, cr)]
    return np.concatenate([y.reshape(-1), *(plane.reshape(-1) for plane in small)]).reshape(h * 3 // 2, w)


def _from_planes(planes: np.ndarray) -> np.ndarray:
    h, w = planes.shape[0] * 2 // 3, planes.shape[1]
    cb, cr = planes[h:].reshape(2, h // 2, w // 2)
    whole = [cv2.resize(plane, (w, h), interpolation=cv2.INTER_LINEAR) for plane in (cr, cb)]
    return cv2.cvtColor(cv2.merge([planes[:h], *whole]), cv2.COLOR_YCrCb2BGR)
