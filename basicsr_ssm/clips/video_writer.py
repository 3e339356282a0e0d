"""Write RGB frames to a video file: the source's pace and audio are kept, and the file appears only when complete."""

import contextlib
import os
from errno import EEXIST
from pathlib import Path

import numpy as np

from basicsr_ssm.clips.audio_copy import AudioCopy
from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.clips.pyav import file_for_av, import_av
from basicsr_ssm.clips.video_encoding import Encoding, OutputError
from basicsr_ssm.clips.writer_context import WriterContext, missing_folders, part_beside, putting_in_place, remove_empty

# Pixels are converted with the matrix of BT.709 whatever the size, and the file says so.
_BT709 = 1
_LIMITED_RANGE = 1
# swscale's flags: chroma is the mean of the pixels that share it, without the drift of its faster arithmetic.
_AREA = 0x20
_ACCURATE_ROUNDING = 0x40000


class VideoWriter(WriterContext):
    """Write one video file. As a context manager: leaving it normally finishes the file, an exception removes it.

    Until then the frames are in a hidden file beside it, ``.<name>.<process id>.<…>.part``, which is flushed to the
    disk and moved to ``path`` in one step; where that fails, it stays.

    Args:
        path: the file; its folder is made if it is missing.
        size: (h, w) of every frame.
        encoding: from :func:`~basicsr_ssm.clips.video_encoding.choose_encoding`.
        clock: when each frame of the source is shown.
        start: number of the source's frame that is written first.
        source: the video that the frames come from: its pixel aspect ratio and colour tags are taken over. Its other
            metadata (titles, places, devices) is not.
        audio: copy the audio of ``source``, too.
        replace: whether a file that is there in the end is replaced.

    Attributes:
        whole: set it to False when the source goes on after the last frame: the audio then ends with that frame, too.
        notes: list of str, what the user should know; complete once the file is finished.
        frames_written: int.

    Raises:
        OutputError: naming the file, when it cannot be written or a frame does not fit.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        encoding: Encoding,
        clock: Clock,
        start: int = 0,
        source: str | Path | None = None,
        audio: bool = True,
        replace: bool = True,
    ):
        self.path = Path(path)
        self.size = tuple(size)
        self.frames_written = 0
        self.notes = encoding.notes(self.size)
        self.whole = True
        self._av = import_av()
        self._clock = clock
        self._start = start
        self._replace = replace
        self._part = part_beside(self.path)
        self._made = missing_folders(self.path)
        self._audio = None
        self._container = None
        self._durations: dict[int, int] = {}
        self._waiting = None
        # their packets last until the next one in the file, which with B-frames is not the next that is shown
        self._sums_durations = encoding.container.format in ('mp4', 'mov')
        try:
            with self._naming_the_file():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._open(encoding, source, audio)
        except BaseException:
            self.abort()
            raise

    def _open(self, encoding: Encoding, source: str | Path | None, audio: bool) -> None:
        self._container = self._av.open(file_for_av(self._part), 'w', format=encoding.container.format)
        self._stream = self._container.add_stream(encoding.codec, rate=self._clock.rate, options=encoding.options)
        self._stream.height, self._stream.width = self.size
        self._stream.pix_fmt = encoding.pixel_format(self.size)
        context = self._stream.codec_context
        context.thread_type = 'FRAME'  # slices, PyAV's choice, cost quality at the same size
        if encoding.codec == 'libx265' and encoding.container.format in ('mp4', 'mov'):
            context.codec_tag = 'hvc1'  # the only one that Apple's players accept
        self._convert = {'format': self._stream.pix_fmt}
        if not encoding.rgb:
            context.colorspace = _BT709
            context.color_range = _LIMITED_RANGE
            self._convert |= {'dst_colorspace': 'ITU709', 'interpolation': _AREA | _ACCURATE_ROUNDING}
        if source is not None:
            self._take_over_tags(source)
            if audio:
                self._audio = AudioCopy(source, self._container, self.path.name)
        self._set_times(encoding.container.stores_times)
        try:
            self._container.start_encoding()
        except (self._av.error.ArgumentError, self._av.error.ExternalError) as error:
            h, w = self.size
            what = f'{w}x{h} at {float(self._clock.rate):g} frames a second'
            reason = f'{encoding.codec} cannot encode {what} ({error.strerror}); try another --codec'
            raise OutputError(f'{self.path}: {reason}') from error

    def _take_over_tags(self, source: str | Path) -> None:
        with self._av.open(file_for_av(source)) as container:
            theirs = container.streams.video[0].codec_context
            ours = self._stream.codec_context
            aspect = theirs.sample_aspect_ratio
            if aspect:
                turned = aspect != 1 and round(next(container.decode(video=0)).rotation) % 180 == 90  # shown upright
                ours.sample_aspect_ratio = 1 / aspect if turned else aspect
            ours.color_primaries = theirs.color_primaries
            ours.color_trc = theirs.color_trc

    def _set_times(self, stores_times: bool) -> None:
        clock, start = self._clock, self._start
        first = clock.time(start)
        # The output begins with what comes first, video or audio; a clip cut out of the source begins with its video.
        self._shift = first
        if self._audio and self._audio.first is not None and start == 0 and stores_times:
            self._shift = min(first, self._audio.first)
        if self._audio:
            self._audio.shift = self._shift
            self._audio.cut = start > 0 or not stores_times
        self._even = (clock.ticks is None and first == self._shift) or not stores_times
        if clock.ticks is not None and not stores_times:
            self.notes.append(
                f'{self.path.name}: {self.path.suffix} files cannot store a varying frame rate; '
                f'frames are shown at a constant {float(clock.rate):.6g} a second (.mp4 and .mkv keep the times)'
            )
        self._time_base = 1 / clock.rate if self._even else clock.time_base
        self._stream.codec_context.time_base = self._time_base

    def _ticks(self, index: int) -> int:
        if self._even:
            return index
        return round((self._clock.time(self._start + index) - self._shift) / self._time_base)

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, uint8 RGB of shape (h, w, 3)."""
        if frame.dtype != np.uint8 or frame.shape != (*self.size, 3):
            raise OutputError(
                f'{self.path}: frame {self.frames_written} is {frame.dtype} {frame.shape}, '
                f'expected uint8 {(*self.size, 3)}'
            )
        image = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
        image = image.reformat(**self._convert)
        image.time_base = self._time_base
        image.pts = self._ticks(self.frames_written)
        image.duration = self._ticks(self.frames_written + 1) - image.pts
        self._durations[image.pts] = image.duration
        with self._naming_the_file():
            if self._audio:
                self._audio.mux_until(image.pts * self._time_base)
            self._mux(self._stream.encode(image))
        self.frames_written += 1

    def finish(self) -> None:
        """Complete the file and move it to its name."""
        if self.frames_written == 0:
            self.abort()
            raise OutputError(f'{self.path}: no frame was written, so there is no file')
        try:
            with self._naming_the_file():
                self._mux(self._stream.encode(), last=True)
                if self._audio:
                    self._audio.mux_until(None if self.whole else self._ticks(self.frames_written) * self._time_base)
                    self.notes += self._audio.notes
                self._container.close()
                self._close()
                self._check()
                with open(self._part, 'rb+') as file:
                    os.fsync(file.fileno())
        except BaseException:
            self.abort()
            raise
        with putting_in_place(self._part, self.path):
            if not self._replace and self.path.exists():
                raise FileExistsError(EEXIST, 'something else has appeared there')
            os.replace(self._part, self.path)

    def _mux(self, packets: list, last: bool = False) -> None:
        """All but the last packet, of which it is not known before the end that it is the last."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)  # encoders may lose it
            if self._waiting is None:
                self._first_dts = packet.dts
            else:
                self._container.mux(self._waiting)
            self._waiting = packet
        if last and self._waiting is not None:
            if self._sums_durations:
                shown = self._ticks(self.frames_written) - self._ticks(0)
                self._waiting.duration = max(1, shown - (self._waiting.dts - self._first_dts))
            self._container.mux(self._waiting)
            self._waiting = None

    def _check(self) -> None:
        # FFmpeg buffers its output and may lose a write error on the way; a file that reads back to its end is right.
        with self._av.open(file_for_av(self._part)) as container:
            stored = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
        if stored != self.frames_written:
            raise OutputError(f'{self.path}: only {stored} of {self.frames_written} frames reached the disk')

    def abort(self) -> None:
        """Drop everything: nothing is left at ``path`` that was not there before."""
        with contextlib.suppress(Exception):
            if self._container is not None:
                self._container.close()
        self._close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)
        remove_empty(self._made)

    def _close(self) -> None:
        self._container = self._waiting = None
        if self._audio:
            self._audio.close()
            self._audio = None

    @contextlib.contextmanager
    def _naming_the_file(self):
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise OutputError(f'{self.path}: cannot write the video: {reason}') from error
