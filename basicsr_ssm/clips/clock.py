"""When each frame of a video is shown, read from the file's packets: a restored video keeps the source's pace."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from basicsr_ssm.clips.pyav import file_for_av, import_av

# What a folder of images or a cine without a frame rate plays at.
DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True)
class Clock:
    """Presentation times of the frames of one clip.

    Attributes:
        rate: frames per second, nominal where the rate varies.
        time_base: seconds per tick.
        ticks: for each frame its time in ticks, or None where frames follow each other at exactly ``rate``.
        first: time of frame 0 in seconds, on the source's own clock.
        end: until when the last frame is shown, where the file says so; else for as long as ``rate`` has it.
    """

    rate: Fraction
    time_base: Fraction
    ticks: tuple[int, ...] | None = None
    first: Fraction = Fraction(0)
    end: Fraction | None = None

    @classmethod
    def constant(cls, rate: Fraction) -> 'Clock':
        """A clip that starts at 0 and shows ``rate`` frames a second."""
        return cls(rate, 1 / rate)

    @classmethod
    def of_ticks(
        cls,
        rate: Fraction,
        time_base: Fraction,
        ticks: tuple[int, ...],
        jitter: Fraction | int,
        last: int | None = None,
    ) -> 'Clock':
        """A clip with these times, or at a constant rate if they are that up to ``jitter`` seconds.

        Args:
            last: ticks for which the last frame is shown, if that is known.
        """
        first = ticks[0] * time_base
        end = (ticks[-1] + last) * time_base if last is not None and last > 0 else None
        constant = all(abs(tick * time_base - first - index / rate) <= jitter for index, tick in enumerate(ticks))
        # many files round or guess how long their last frame lasts
        if constant and (end is None or abs(end - first - len(ticks) / rate) <= 1 / (2 * rate)):
            return cls(rate, time_base, None, first)
        return cls(rate, time_base, ticks, first, end)

    def time(self, index: int) -> Fraction:
        """Seconds at which frame ``index`` is shown; past the last known frame's end the nominal rate goes on."""
        if self.ticks is None:
            return self.first + index / self.rate
        count = len(self.ticks)
        if index < count:
            return self.ticks[index] * self.time_base
        end = self.ticks[-1] * self.time_base + 1 / self.rate if self.end is None else self.end
        return end + (index - count) / self.rate


def clock_of_video(path: str | Path) -> Clock:
    """Read the clock of a video file, without decoding it unless it is AVI.

    Packets carry the presentation times; sorted, they are the frames' times. An AVI shows a frame for each of its
    chunks, and an empty one, for a frame that was dropped, shows the frame before it for longer: the numbers of the
    others are the times, except with B-frames, of which it tells no times. Such files and others whose packets carry
    no times (raw streams) get a constant clock. A file that cannot be read to its end gives the times up to there:
    whoever decodes the frames meets the same damage and reports it.
    """
    av = import_av()
    ticks: list[int | None] = []
    shown = 0
    with av.open(file_for_av(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
        time_base = stream.time_base
        avi = container.format.name == 'avi'
        # in MP4 and QuickTime every packet lasts until the next one, in their order in the file, and so does their sum
        has_end = 'mp4' in container.format.name
        if avi and stream.codec_context.has_b_frames:
            return Clock.constant(Fraction(rate))
        try:
            for packet in container.demux(stream):
                if avi:
                    ticks += _ticks_in_avi(packet)
                elif packet.size and not packet.is_discard:
                    ticks.append(packet.pts)
                    shown += packet.duration or 0
        except av.FFmpegError:
            pass
    rate = Fraction(rate)
    if not ticks or None in ticks or (avi and ticks != sorted(ticks)) or len(set(ticks)) < len(ticks):
        return Clock.constant(rate)
    ordered = tuple(sorted(ticks))
    last = ordered[0] + shown - ordered[-1] if has_end else None
    # Containers round times to ticks, so one tick of jitter is still a constant rate. A tick of an AVI is a frame.
    return Clock.of_ticks(rate, time_base, ordered, 0 if avi else time_base, last)


def _ticks_in_avi(packet) -> list[int | None]:
    """The time of each frame that the packet decodes to: some repeat the frame before by decoding to none.

    That of decoding: the other one is FFmpeg's guess, for H.264 a frame late.
    """
    return [packet.dts for _ in packet.decode()] if not packet.is_discard else []
