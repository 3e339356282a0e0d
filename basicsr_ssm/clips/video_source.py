"""Video files, decoded with FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from basicsr_ssm.clips.frame_source import DamagedSourceError, FrameSource, safe_name
from basicsr_ssm.clips.interlace import deinterlaced
from basicsr_ssm.clips.pyav import file_for_av, import_av
from basicsr_ssm.errors import UserError


class VideoSource(FrameSource):
    """One video stream, in display order, upright, converted to full-range RGB.

    Colour follows the stream's own matrix and range tags; an untagged stream is taken as BT.601, as FFmpeg does.
    Every decoded frame counts once, whatever its time stamp: variable frame rates neither drop nor repeat frames.

    Args:
        path: the file, and the name in errors.
        content: read from here instead of `path` (a seekable binary file), for streams wrapped in another format.
    """

    def __init__(self, path: str | Path, content: BinaryIO | None = None):
        self.path = Path(path)
        self.name = safe_name(self.path.stem)
        self._content = content
        with closing(self._open()) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            self.fps = Fraction(rate) if rate else None
            self.has_audio = bool(container.streams.audio)
            self.frame_count = stream.frames or _estimated_count(container, stream)
        # The size after rotation is known for certain only from a decoded frame.
        with closing(self._decoded()) as decoded:
            first = next(decoded, None)
        if first is None:
            raise DamagedSourceError(self.path, 0, 'holds no decodable video frame')
        self.size, self.turned = _to_rgb(first, self.path, 0).shape[:2], round(first.rotation) % 180 == 90

    def frames(self) -> Iterator[np.ndarray]:
        for index, frame in enumerate(self._decode()):
            self.check_size(frame, index)
            yield frame

    def progressive_frames(self) -> Iterator[np.ndarray]:
        # before the conversion to RGB, which would mix the colours of the two fields
        for index, frame in enumerate(deinterlaced(self._decoded())):
            rgb = _to_rgb(frame, self.path, index)
            self.check_size(rgb, index)
            yield rgb

    def found(self) -> dict:
        return self._notes.as_dict()

    def _open(self):
        av = import_av()
        if self._content is not None:
            self._content.seek(0)
        try:
            container = av.open(file_for_av(self.path) if self._content is None else self._content)
        except av.error.InvalidDataError as error:
            reason = 'not a video file, or one whose header is missing or cut off'
            raise DamagedSourceError(self.path, None, reason) from error
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f'{self.path}: cannot be opened as video ({error.strerror})') from error
        # FFmpeg would also play a text file as terminal output, and single images.
        if container.format.name in ('tty', 'image2') or container.format.name.endswith('_pipe'):
            container.close()
            raise UserError(f'{self.path}: is not a video (for images, give the folder that holds them)')
        if not container.streams.video:
            container.close()
            raise UserError(f'{self.path}: holds no video stream')
        return container

    def _decode(self) -> Iterator[np.ndarray]:
        for index, frame in enumerate(self._decoded()):
            yield _to_rgb(frame, self.path, index)

    def _decoded(self) -> Iterator:
        """The decoder's own frames."""
        av = import_av()
        count, packets = 0, 0
        self._notes = _Notes()
        coverage = _Coverage()
        with closing(self._open()) as container:
            stream = container.streams.video[0]
            # FFmpeg's frame threads swallow some decoding errors; speed comes from working on many frames at once.
            stream.thread_type = 'NONE'
            try:
                for packet in container.demux(stream):
                    if packet.is_corrupt:
                        raise DamagedSourceError(self.path, count, 'the file is cut off or damaged here')
                    packets += packet.size > 0
                    coverage.add(packet)
                    for frame in packet.decode():
                        if frame.is_corrupt:
                            raise DamagedSourceError(self.path, count, 'the frame decodes with errors')
                        self._notes.add(frame)
                        yield frame
                        count += 1
            except av.error.FFmpegError as error:
                raise DamagedSourceError(self.path, count, f'cannot be decoded ({error.strerror})') from error
            missing = coverage.missing_seconds(container, stream, packets)
            if missing:
                reason = f'ends after {count} frames, {missing:.2f} s short of what its header promises'
                raise DamagedSourceError(self.path, count, reason)


class _Notes:
    """What the decoded frames say about themselves."""

    def __init__(self):
        self._format, self._interlaced = '', 0
        self._last: Fraction | None = None
        self._intervals: set[Fraction] = set()

    def add(self, frame) -> None:
        self._format = self._format or frame.format.name
        self._interlaced += bool(frame.interlaced_frame)
        if frame.pts is None or not frame.time_base:
            return
        time = frame.pts * frame.time_base
        if self._last is not None and len(self._intervals) < 10_000:
            self._intervals.add(time - self._last)
        self._last = time

    def as_dict(self) -> dict:
        shortest, longest = min(self._intervals, default=Fraction(0)), max(self._intervals, default=Fraction(0))
        # whole milliseconds, as in Matroska, let a steady rate seem to jump by one of them
        varies = longest - shortest > Fraction(2, 1000) and longest > shortest * Fraction(6, 5)
        notes: dict = {'pixel_format': self._format, 'flagged_interlaced': self._interlaced}
        notes['variable_frame_rate'] = [round(float(1000 * t), 3) for t in (shortest, longest)] if varies else None
        return notes


class _Coverage:
    """How much of the promised time the packets that were read cover."""

    def __init__(self):
        self.start = self.end = None
        self.longest = 0.0

    def add(self, packet) -> None:
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None or packet.is_discard:
            return
        time, duration = (float(t * packet.time_base) for t in (ticks, packet.duration or 0))
        if self.start is None:
            self.start = self.end = time
        self.longest = max(self.longest, duration)
        self.start, self.end = min(self.start, time), max(self.end, time + duration)

    def missing_seconds(self, container, stream, packets: int) -> float:
        """Seconds between the last packet and the end that the header promises; 0 where it promises nothing."""
        if self.start is None:
            return 0.0
        covered = self.end - self.start
        kind = container.format.name
        if stream.frames:  # mp4, mov, avi: the header counts the frames
            if packets >= stream.frames:
                return 0.0
            # An edit list may hide some of the counted frames, so the time has to be short, too. The duration
            # of a cut AVI is guessed from the file's size: only its frame count can be believed.
            by_count = kind == 'avi' and stream.average_rate
            promised = stream.frames / stream.average_rate if by_count else (stream.duration or 0) * stream.time_base
            slack = 0.6 * self.longest
        elif 'matroska' in kind:
            covered = max(covered, self.end)  # its durations count from the file's zero, wherever the video starts
            promised = _matroska_seconds(container, stream)
            slack = max(0.5, 1.5 * self.longest)
        else:  # transport streams and raw streams promise nothing
            return 0.0
        missing = float(promised) - covered
        return missing if missing > slack else 0.0


def _matroska_seconds(container, stream) -> float:
    tag = stream.metadata.get('DURATION') or stream.metadata.get('DURATION-eng')
    try:
        hours, minutes, seconds = tag.split(':')
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (AttributeError, ValueError):
        alone = len(container.streams) == 1
        return container.duration / 1e6 if alone and container.duration else 0.0


def _estimated_count(container, stream) -> int | None:
    if stream.duration:
        seconds = stream.duration * stream.time_base
    elif container.duration:
        seconds = Fraction(container.duration, 1_000_000)
    else:
        return None
    return max(1, round(seconds * stream.average_rate)) if stream.average_rate else None


# SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND by value: older PyAV has no names for them.
# Without them swscale takes a shortcut to RGB that repeats chroma samples and darkens by about one level.
_CONVERSION = 0x4 | 0x2000 | 0x4000 | 0x40000


def _to_rgb(frame, path: Path, index: int) -> np.ndarray:
    rgb = frame.to_ndarray(format='rgb24', interpolation=_CONVERSION)
    turns, rest = divmod(round(frame.rotation), 90)  # degrees, counter-clockwise
    if rest:
        raise UserError(f'{path}, frame {index}: a rotation by {frame.rotation} degrees is not supported')
    return np.ascontiguousarray(np.rot90(rgb, turns % 4))
