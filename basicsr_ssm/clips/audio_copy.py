"""Carry the audio of a source video over to a new file, packet by packet, without decoding it."""

from fractions import Fraction
from pathlib import Path

from basicsr_ssm.clips.pyav import file_for_av, import_av


class AudioCopy:
    """The audio streams of ``source``, added to the PyAV container ``output`` and copied as the video advances.

    Attributes:
        first: seconds on the source's clock at which its first audio starts, None without audio.
        shift: seconds that are subtracted from the source's times; set it before the first ``mux_until``.
        cut: leave out what sounds before ``shift`` (the clip was cut out of the source).
        notes: what could not be kept, and why.
    """

    def __init__(self, source: str | Path, output, name: str):
        av = import_av()
        self.shift = Fraction(0)
        self.cut = False
        self.notes: list[str] = []
        self._source, self._damage = source, av.FFmpegError
        self._output = output
        self._input = av.open(file_for_av(source))
        self._copies = {}
        for stream in self._input.streams.audio:
            codec = stream.codec_context.name
            if stream.codec.canonical_name not in output.supported_codecs:
                self.notes.append(f'{name}: this file type cannot hold {codec} audio, so it is left out; .mkv can')
            else:
                self._copies[stream.index] = output.add_stream_from_template(stream)
        starts = [s.start_time * s.time_base for s in self._input.streams.audio if s.start_time is not None]
        self.first = min(starts, default=None)
        self._waiting = None
        self._packets = self._read()

    def _read(self):
        streams = [self._input.streams[index] for index in self._copies]
        if not streams:
            return
        try:
            for packet in self._input.demux(streams):
                if packet.size and packet.dts is not None:
                    yield packet
        except self._damage as error:
            self.notes.append(f'{self._source}: the audio is damaged and was kept up to there ({error})')

    def mux_until(self, end: Fraction | None) -> None:
        """Copy the packets that start before ``end`` seconds of the output's clock; None: all that are left."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            time = packet.dts * packet.time_base - self.shift
            if end is not None and time >= end:
                self._waiting = packet
                return
            if self.cut and time < 0:
                continue
            ticks = round(self.shift / packet.time_base)
            packet.dts -= ticks
            if packet.pts is not None:
                packet.pts -= ticks
            packet.stream = self._copies[packet.stream_index]
            self._output.mux_one(packet)

    def close(self) -> None:
        self._input.close()
