"""Small videos made from nothing, with sound and with any frame times."""

from fractions import Fraction

import numpy as np
import pytest


def marked_frames(count, h=48, w=64):
    """Smooth frames (h, w, 3) uint8: frame i is recognized by its left half, whose gray level is 10 + 5 * i."""
    ramp = np.linspace(0, 255, w)[None, :, None] * np.ones((h, 1, 1))
    frame = np.concatenate([ramp, ramp[:, ::-1], np.full((h, w, 1), 90.0)], axis=2).astype(np.uint8)
    frames = np.repeat(frame[None], count, axis=0)
    for i in range(count):
        frames[i, :, : w // 2] = 10 + 5 * i
    return frames


def mark_of(frame):
    """The number i of a marked frame, also after compression and enlargement."""
    h, w = frame.shape[:2]
    return round((float(frame[h // 4 : 3 * h // 4, w // 8 : 3 * w // 8].mean()) - 10) / 5)


def make_video(path, frames, rate=25, ticks=None, time_base=None, audio=None, audio_delay=Fraction(0)):
    """Write H.264 with the given frame times, and a tone in the codec ``audio`` over the same time."""
    av = pytest.importorskip('av')
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate, options={'crf': '10', 'g': '8'})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = time_base or Fraction(1, rate)
        sound = None
        if audio:
            sound = container.add_stream(audio, rate=48000)
            sound.layout = 'mono'
        for i, frame in enumerate(frames):
            image = av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format='yuv420p')
            image.pts = ticks[i] if ticks else i
            image.time_base = stream.codec_context.time_base
            container.mux(stream.encode(image))
        container.mux(stream.encode())
        if sound:
            _write_tone(container, sound, Fraction(len(frames), rate), audio_delay)


def _write_tone(container, stream, seconds, delay):
    av = pytest.importorskip('av')
    samples = np.sin(np.arange(int(seconds * 48000)) * (2 * np.pi * 440 / 48000)) * 8000
    for first in range(0, len(samples), 1024):
        piece = samples[first : first + 1024].astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format='s16', layout='mono')
        frame.sample_rate = 48000
        frame.pts = first + int(delay * 48000)
        frame.time_base = Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def frame_times(path):
    """Presentation times in seconds of the decoded frames."""
    av = pytest.importorskip('av')
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def audio_packets(path):
    """(time in seconds, bytes) of each audio packet of the first audio stream."""
    av = pytest.importorskip('av')
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets if p.size]
