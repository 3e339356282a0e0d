"""DICOM images and cines, decoded with pydicom."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource, safe_name
from basicsr_ssm.clips.video_source import VideoSource
from basicsr_ssm.errors import UserError


def is_dicom(path: Path) -> bool:
    """By the mark after the preamble; a file without one counts by its suffix."""
    with path.open('rb') as file:
        return file.read(132)[128:] == b'DICM' or path.suffix.lower() in ('.dcm', '.dicom')


def import_pydicom():
    """pydicom, or a UserError that says how to get it."""
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise UserError('reading DICOM needs pydicom: pip install basicsr_ssm[video]') from error
    return pydicom


class DicomSource(FrameSource):
    """Single- and multi-frame DICOM as RGB.

    RGB, YBR and palette colour are converted to RGB; MONOCHROME1 is inverted. Grayscale of more than 8 bits goes
    through the file's rescale and window (PS3.3 C.11.2), as far as they are not empty; without a window the smallest
    and largest value of all frames become black and white, so that brightness does not flicker. H.264, HEVC and
    MPEG-2 inside DICOM are read as video.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = safe_name(self.path.stem)
        pydicom = import_pydicom()
        try:
            header = pydicom.dcmread(self.path, stop_before_pixels=True, force=True)
            if 'Rows' not in header or 'Columns' not in header:
                raise UserError(f'{self.path}: this DICOM file holds no image')
            self.size = (int(header.Rows), int(header.Columns))
            self.frame_count = int(header.get('NumberOfFrames') or 1)
            self.fps = _frame_rate(header)
            self.clock = _clock(header, self.fps, self.frame_count)
        except UserError:
            raise
        except Exception as error:  # pydicom raises many kinds on damaged headers
            raise DamagedSourceError(self.path, None, f'not a readable DICOM file ({error})') from error
        self._header = header
        self._range: tuple[float, float] | None = None
        self._video = self._open_video(pydicom)
        if self._video is not None:
            self.size, self.fps, self.turned = self._video.size, self.fps or self._video.fps, self._video.turned

    def frames(self) -> Iterator[np.ndarray]:
        if self._video is not None:
            count = 0
            for frame in self._video.frames():
                yield frame
                count += 1
            if count < self.frame_count:
                raise DamagedSourceError(self.path, count, f'ends after {count} of {self.frame_count} frames')
            return
        for index, pixels in enumerate(self._pixels()):
            try:
                frame = self._to_rgb(pixels)
            except UserError:
                raise
            except Exception as error:  # whatever a header's values may lead to
                raise DamagedSourceError(self.path, index, f'cannot be converted ({_in_a_line(error)})') from error
            self.check_size(frame, index)
            yield frame

    def found(self) -> dict:
        return {} if self._video is None else self._video.found()

    def _open_video(self, pydicom) -> VideoSource | None:
        if not self._syntax().name.startswith(('MPEG', 'HEVC')):
            return None
        try:
            dataset = pydicom.dcmread(self.path)
            stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
        except Exception as error:
            raise DamagedSourceError(self.path, 0, f'the video inside cannot be read ({error})') from error
        return VideoSource(self.path, io.BytesIO(stream))

    def _syntax(self):
        """The transfer syntax: how the pixels are encoded."""
        header = self._header
        syntax = header.file_meta.get('TransferSyntaxUID', '') if hasattr(header, 'file_meta') else ''
        return import_pydicom().uid.UID(syntax)

    def _pixels(self) -> Iterator[np.ndarray]:
        """Decoded frames, YBR already converted to RGB by pydicom."""
        pydicom = import_pydicom()
        # Frame by frame, pydicom 3.0 corrects the sign of these in the file's own bytes and fails; by number it copies.
        by_number = self._syntax().name.startswith(('JPEG 2000', 'JPEG-LS'))
        count = 0
        try:
            indices = range(self.frame_count) if by_number else None
            # From a path it reads one frame at a time, but does not inflate.
            deflated = self._syntax() == pydicom.uid.DeflatedExplicitVRLittleEndian
            source = pydicom.dcmread(self.path) if deflated else self.path
            if self._has_half_colours():
                every = (pydicom.pixels.pixel_array(self.path, index=i, force=True) for i in range(self.frame_count))
            else:
                every = pydicom.pixels.iter_pixels(source, force=True, indices=indices)
            for pixels in every:
                yield pixels
                count += 1
        except (GeneratorExit, UserError):
            raise
        except Exception as error:
            # A RuntimeError with such a text is about the installation, not about the file.
            if any(text in str(error) for text in ('missing dependencies', 'does not support')):
                raise UserError(f'{self.path}: {_wanted_decoder(self._syntax())}') from error
            raise DamagedSourceError(self.path, count, f'cannot be decoded ({_in_a_line(error)})') from error
        if count < self.frame_count:
            raise DamagedSourceError(self.path, count, f'ends after {count} of {self.frame_count} frames')

    def _has_half_colours(self) -> bool:
        """4:2:2 that is not compressed: from its second frame on, pydicom 3.0 looks in the wrong places when it goes
        from frame to frame, since it then takes the first one's RGB for what is stored."""
        syntax = self._syntax()
        stored = self._header.get('PhotometricInterpretation')
        return stored == 'YBR_FULL_422' and syntax.is_transfer_syntax and not syntax.is_compressed

    def _to_rgb(self, pixels: np.ndarray) -> np.ndarray:
        header = self._header
        if header.get('PhotometricInterpretation') == 'PALETTE COLOR':
            pixels = import_pydicom().pixels.apply_color_lut(pixels, header)
            pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        elif pixels.ndim == 3:
            if pixels.dtype != np.uint8:
                pixels = _scaled(pixels, 0, 2 ** int(header.BitsStored) - 1)
        else:
            pixels = self._gray(pixels)
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        return np.ascontiguousarray(pixels)

    def _gray(self, pixels: np.ndarray) -> np.ndarray:
        header = self._header
        if pixels.dtype != np.uint8 or int(header.get('BitsStored', 8)) > 8:
            values = _rescaled(pixels, header)
            window = _window(header)
            pixels = _windowed(values, *window) if window else _scaled(values, *self._value_range())
        return 255 - pixels if header.get('PhotometricInterpretation') == 'MONOCHROME1' else pixels

    def _value_range(self) -> tuple[float, float]:
        if self._range is None:
            rescaled = (_rescaled(pixels, self._header) for pixels in self._pixels())
            ends = [(float(values.min()), float(values.max())) for values in rescaled]
            self._range = min(low for low, _ in ends), max(high for _, high in ends)
        return self._range


def _wanted_decoder(syntax) -> str:
    """What to install for files of this transfer syntax, which what is installed cannot decode."""
    missing = {}
    for line in import_pydicom().pixels.get_decoder(syntax).missing_dependencies:
        plugin, _, needs = line.partition(' - requires ')
        missing[plugin] = re.findall(r'[A-Za-z][\w-]*(?=>=|,| and |$)', needs)
    packages = missing.get('pylibjpeg') or next(iter(missing.values()), None)
    if not packages:
        return f'none of the installed decoders can read its pixels ({syntax.name})'
    return f'a decoder for its pixels ({syntax.name}) is missing: pip install {" ".join(packages)}'


def _frame_rate(header) -> Fraction | None:
    """Frames a second from whichever of the cine module's attributes is there."""
    times = _increments(header)[1:]
    if header.get('FrameTime'):
        rate = 1000 / max(float(header.FrameTime), 1e-3)
    elif sum(times) > 0:
        rate = 1000 * len(times) / sum(times)
    else:
        rate = float(header.get('CineRate') or header.get('RecommendedDisplayFrameRate') or 0)
    return Fraction(rate).limit_denominator(1001) if 0 < rate < 1000 else None


def _clock(header, rate: Fraction | None, frames: int) -> Clock | None:
    """The times of a FrameTimeVector that has one for each frame, and rises; None where there is none."""
    increments = _increments(header)
    if header.get('FrameTime') or rate is None or len(increments) != frames:
        return None
    ticks = tuple(round(1000 * time) for time in accumulate(increments))  # microseconds
    if increments[0] < 0 or any(later <= tick for tick, later in pairwise(ticks)):
        return None
    # many write whole milliseconds
    return Clock.of_ticks(rate, Fraction(1, 1_000_000), ticks, jitter=Fraction(1, 1000))


def _increments(header) -> list[float]:
    """The FrameTimeVector: milliseconds before each frame; [] where it is not there or holds no numbers."""
    try:
        value = header.get('FrameTimeVector')
        values = [] if value is None or value == '' else value if hasattr(value, '__len__') else [value]
        increments = [float(increment) for increment in values]
    except (TypeError, ValueError):
        return []
    return increments if all(map(math.isfinite, increments)) else []


def _in_a_line(error: Exception) -> str:
    return ' '.join(str(error).split())


def _number(header, name: str) -> float | None:
    """The first value of an attribute; None where it is not there, or there and empty."""
    value = header.get(name)
    if hasattr(value, '__len__') and not isinstance(value, str):
        value = value[0] if len(value) else None
    return None if value in (None, '') else float(value)


def _rescaled(pixels: np.ndarray, header) -> np.ndarray:
    line = _number(header, 'RescaleSlope'), _number(header, 'RescaleIntercept')
    if not header.get('ModalityLUTSequence') and None in line:
        return pixels
    return import_pydicom().pixels.apply_modality_lut(pixels, header)


def _window(header) -> tuple[float, float, str] | None:
    """(centre, width, function) of the first window in the file."""
    centre, width = _number(header, 'WindowCenter'), _number(header, 'WindowWidth')
    if centre is None or width is None:
        return None
    function = header.get('VOILUTFunction') or 'LINEAR'
    least = 1 if function == 'LINEAR' else 0
    return (centre, width, function) if width > least else None


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    if function == 'SIGMOID':
        with np.errstate(over='ignore'):
            return np.rint(255 / (1 + np.exp(-4 * (values - centre) / width))).astype(np.uint8)
    if function == 'LINEAR_EXACT':
        return _scaled(values, centre - width / 2, centre + width / 2)
    return _scaled(values, centre - width / 2, centre + width / 2 - 1)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map low…high to 0…255 in uint8, clipping what lies outside."""
    span = high - low or 1
    return np.rint((values.astype(np.float64) - low).clip(0, span) * (255 / span)).astype(np.uint8)
