import os
import resource
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction

import numpy as np
import pytest
from synthetic_video import audio_packets, frame_times, make_video, mark_of, marked_frames

from basicsr_ssm.clips.clock import Clock, clock_of_video
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.clips.video_encoding import OutputError, choose_encoding
from basicsr_ssm.clips.video_writer import VideoWriter

av = pytest.importorskip('av')

RATE = Fraction(25)


def write(path, frames, clock=None, whole=True, encoding=None, **kwargs):
    encoding = encoding or choose_encoding(path.suffix)
    with VideoWriter(path, frames[0].shape[:2], encoding, clock or Clock.constant(RATE), **kwargs) as writer:
        writer.whole = whole
        for frame in frames:
            writer.write(frame)
    return writer


def read(path):
    return list(open_source(path).frames())


@pytest.mark.parametrize('suffix', ['.mp4', '.mov', '.mkv', '.avi', '.webm'])
def test_frames_come_back_in_order_and_in_their_colours(tmp_path, suffix):
    frames = marked_frames(12)
    write(tmp_path / f'clip{suffix}', frames)
    back = read(tmp_path / f'clip{suffix}')
    assert [mark_of(frame) for frame in back] == list(range(12))
    error = np.stack(back).astype(float) - frames
    assert abs(error.mean(axis=(0, 1, 2))).max() < 3  # the matrix of another standard, or BGR, tints by far more
    assert abs(error).mean() < 4
    assert os.listdir(tmp_path) == [f'clip{suffix}']


def test_colour_conversion_has_no_drift(tmp_path):
    # Quality 0 leaves nothing but the conversion to YCbCr and its rounding.
    frames = np.stack(
        [np.full((16, 16, 3), colour, np.uint8) for colour in np.random.default_rng(0).integers(0, 256, (60, 3))]
    )
    write(tmp_path / 'clip.mp4', frames, encoding=choose_encoding('.mp4', crf=0))
    with av.open(str(tmp_path / 'clip.mp4')) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited
        planes = [frame.to_ndarray()[:16] for frame in container.decode(video=0)]
    luma = np.array([plane.mean() for plane in planes])
    expected = 16 + frames[:, 0, 0] @ np.array([0.2126, 0.7152, 0.0722]) * 219 / 255
    assert abs(luma - expected).max() <= 1
    assert abs((luma - expected).mean()) < 0.1


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi'])
@pytest.mark.parametrize('size', [(33, 47), (32, 48)])
def test_lossless_is_lossless(tmp_path, suffix, size):
    frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    write(tmp_path / f'clip{suffix}', frames, encoding=choose_encoding(suffix, lossless=True))
    assert np.array_equal(np.stack(read(tmp_path / f'clip{suffix}')), frames)


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi', '.webm'])
def test_odd_sizes_are_kept(tmp_path, suffix):
    frames = marked_frames(3, 35, 51)
    writer = write(tmp_path / f'clip{suffix}', frames)
    assert [frame.shape for frame in read(tmp_path / f'clip{suffix}')] == [(35, 51, 3)] * 3
    assert bool(writer.notes) == (suffix != '.webm')
    if writer.notes:
        assert 'yuv444p' in writer.notes[0]


@pytest.mark.parametrize(('suffix', 'audio'), [('.mp4', 'aac'), ('.mkv', 'aac'), ('.mov', 'aac'), ('.avi', 'mp3')])
def test_audio_is_copied_without_recoding(tmp_path, suffix, audio):
    source, result = tmp_path / f'source{suffix}', tmp_path / f'result{suffix}'
    frames = marked_frames(30)
    make_video(source, frames, audio=audio)
    writer = write(result, frames, clock_of_video(source), source=source)
    assert writer.notes == []
    assert [data for _, data in audio_packets(result)] == [data for _, data in audio_packets(source)]
    delta = [a[0] - b[0] for a, b in zip(audio_packets(result), audio_packets(source), strict=True)]
    assert max(map(abs, delta)) < 0.002
    assert open_source(result).has_audio


def test_audio_that_starts_later_or_earlier_stays_in_step(tmp_path):
    source, result = tmp_path / 'source.mkv', tmp_path / 'result.mp4'
    frames = marked_frames(20)
    for video_first, delay in ((0, Fraction(1, 5)), (400, Fraction(0))):
        make_video(
            source, frames, ticks=[video_first + 40 * i for i in range(20)], time_base=Fraction(1, 1000),
            audio='aac', audio_delay=delay,
        )  # fmt: skip
        write(result, frames, clock_of_video(source), source=source)
        # AAC begins with one packet of priming; compare the second.
        gap = [audio_packets(p)[1][0] - float(frame_times(p)[0]) for p in (source, result)]
        assert gap[0] == pytest.approx(gap[1], abs=0.002)
        assert len(read(result)) == 20


def test_a_cut_keeps_the_audio_of_its_time(tmp_path):
    source, result = tmp_path / 'source.mp4', tmp_path / 'result.mp4'
    frames = marked_frames(50)
    make_video(source, frames, audio='aac')
    write(result, frames[20:35], clock_of_video(source), whole=False, start=20, source=source)
    theirs = {data: time for time, data in audio_packets(source)}
    ours = audio_packets(result)
    assert ours[0][0] < 0.03
    assert ours[-1][0] == pytest.approx(0.6, abs=0.03)
    assert all(theirs[data] - 0.8 == pytest.approx(time, abs=0.025) for time, data in ours)
    assert frame_times(result)[0] == 0


def test_audio_that_does_not_fit_the_file_type_is_named(tmp_path):
    source, result = tmp_path / 'source.mp4', tmp_path / 'result.webm'
    frames = marked_frames(4)
    make_video(source, frames, audio='aac')
    writer = write(result, frames, clock_of_video(source), source=source)
    assert 'aac' in writer.notes[0] and '.mkv' in writer.notes[0]
    assert not open_source(result).has_audio
    assert len(read(result)) == 4


def test_audio_can_be_left_out(tmp_path):
    source, result = tmp_path / 'source.mp4', tmp_path / 'result.mp4'
    frames = marked_frames(4)
    make_video(source, frames, audio='aac')
    write(result, frames, clock_of_video(source), source=source, audio=False)
    assert not open_source(result).has_audio


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv'])
def test_varying_frame_rate_keeps_its_times(tmp_path, suffix):
    source, result = tmp_path / 'source.mp4', tmp_path / f'result{suffix}'
    ticks = [0, 40, 50, 120, 400, 410, 420, 1000, 1040]
    frames = marked_frames(len(ticks))
    make_video(source, frames, ticks=ticks, time_base=Fraction(1, 1000))
    clock = clock_of_video(source)
    assert clock.ticks is not None
    write(result, frames, clock, source=source)
    assert [round(time * 1000) for time in frame_times(result)] == ticks


def length(path):
    """Seconds, as the file says of its video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize('suffix', ['.mp4', '.mov'])
@pytest.mark.parametrize('ticks', [(0, 40, 80, 120, 160), (0, 40, 50, 120, 400)], ids=['even', 'uneven'])
def test_a_last_frame_that_is_held_is_held(tmp_path, suffix, ticks):
    source, result = tmp_path / f'source{suffix}', tmp_path / f'result{suffix}'
    frames = marked_frames(len(ticks))
    held = Fraction(ticks[-1] + 2000, 1000)
    write(source, frames, Clock(RATE, Fraction(1, 1000), ticks, end=held))
    assert length(source) == float(held)
    clock = clock_of_video(source)
    assert (clock.time(len(ticks)), clock.time(len(ticks) + 1)) == (held, held + 1 / clock.rate)
    write(result, frames, clock, source=source)
    assert [round(time * 1000) for time in frame_times(result)] == list(ticks)
    assert length(result) == float(held)


def test_a_cut_ends_where_the_next_frame_began(tmp_path):
    clock = Clock(RATE, Fraction(1, 1000), (0, 40, 50, 120, 400, 410))
    write(tmp_path / 'cut.mp4', marked_frames(3), clock, start=1)
    assert [round(time * 1000) for time in frame_times(tmp_path / 'cut.mp4')] == [0, 10, 80]
    assert length(tmp_path / 'cut.mp4') == pytest.approx(0.36)


def test_a_last_frame_that_is_a_little_longer_makes_no_varying_rate(tmp_path):
    """As it is where 30000/1001 a second are rounded to milliseconds, or a muxer guesses."""
    ticks = tuple(round(i * 1001 / 30) for i in range(30))
    for last in (None, 0, 20, 33, 34, 47):
        clock = Clock.of_ticks(Fraction(30000, 1001), Fraction(1, 1000), ticks, Fraction(1, 1000), last)
        assert clock.ticks is None and clock.end is None
    assert Clock.of_ticks(Fraction(30000, 1001), Fraction(1, 1000), ticks, Fraction(1, 1000), 60).ticks == ticks


def test_varying_frame_rate_in_avi_is_named(tmp_path):
    ticks = (0, 40, 50, 120)
    clock = Clock(RATE, Fraction(1, 1000), ticks)
    writer = write(tmp_path / 'clip.avi', marked_frames(4), clock)
    assert 'varying frame rate' in writer.notes[0]
    assert len(read(tmp_path / 'clip.avi')) == 4


def make_avi(path, frames, codec, ticks, options=None):
    """Write an AVI of 25 frames a second; between the ticks FFmpeg puts empty chunks, for frames that were dropped."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        for tick, frame in zip(ticks, frames, strict=True):
            image = av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format=stream.pix_fmt)
            image.pts, image.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(image))
        container.mux(stream.encode())


GAPS = [0, 1, 2, 12, 13, 14]


@pytest.mark.parametrize('codec, options', [('mjpeg', {}), ('mpeg4', {}), ('libx264', {'bf': '0'})])
@pytest.mark.parametrize('ticks', [GAPS, [0, 1, 2, 4, 5, 6]])  # one dropped frame is no jitter
def test_dropped_frames_of_an_avi_keep_their_time(tmp_path, codec, options, ticks):
    source, result = tmp_path / 'source.avi', tmp_path / 'result.mp4'
    frames = marked_frames(6)
    make_avi(source, frames, codec, ticks, options)
    assert len(read(source)) == 6
    write(result, frames, clock_of_video(source), source=source)
    assert [time * 25 for time in frame_times(result)] == ticks


@pytest.mark.parametrize(
    'codec, options, ticks',
    [
        *((codec, {}, range(6)) for codec in ('mjpeg', 'mpeg4', 'libx264')),
        ('libx264', {'bf': '0'}, range(6)),
        ('mpeg4', {'bf': '2'}, range(6)),
        ('mpeg4', {'bf': '2'}, GAPS),  # of B-frames nothing tells when they are shown
        ('libx264', {}, GAPS),
    ],
)
def test_other_avis_have_a_constant_clock(tmp_path, codec, options, ticks):
    make_avi(tmp_path / 'clip.avi', marked_frames(6), codec, ticks, options)
    assert clock_of_video(tmp_path / 'clip.avi') == Clock.constant(RATE)


def test_chunks_of_an_avi_that_hold_no_frame_have_no_time(tmp_path):
    path = tmp_path / 'clip.avi'
    make_avi(path, marked_frames(6), 'mpeg4', range(6))
    with av.open(str(path)) as container:
        chunks = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    # an MPEG-4 picture that is marked as not coded: its start, type P, no whole second, tick 2 of 25 (5 bits), 0
    empty = bytes.fromhex('000001b6') + bytes([0b01_0_1_0001, 0b0_1_0_11111])
    content = path.read_bytes()
    path.write_bytes(content.replace(chunks[2], empty.ljust(len(chunks[2]), b'\0')))
    assert len(read(path)) == 5
    clock = clock_of_video(path)
    assert [clock.time(i) * 25 for i in range(5)] == [0, 1, 3, 4, 5]


@pytest.mark.parametrize('rate', [Fraction(25), Fraction(30000, 1001), Fraction(15, 2)])
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi'])
def test_frame_rate_survives_a_second_pass(tmp_path, rate, suffix):
    first, second = tmp_path / f'first{suffix}', tmp_path / f'second{suffix}'
    frames = marked_frames(30)
    write(first, frames, Clock.constant(rate))
    clock = clock_of_video(first)
    assert clock.ticks is None  # Matroska's rounding to milliseconds is not taken for a varying rate
    assert float(clock.rate) == pytest.approx(float(rate), rel=1e-3)
    write(second, frames, clock)
    times = frame_times(second)
    assert [float(time - times[0]) for time in times] == pytest.approx([float(i / rate) for i in range(30)], abs=0.003)


def test_frames_past_the_known_times_go_on_at_the_nominal_rate():
    clock = Clock(RATE, Fraction(1, 1000), (0, 50, 60))
    assert [clock.time(i) * 1000 for i in range(5)] == [0, 50, 60, 100, 140]


def test_pixel_aspect_ratio_is_taken_over_and_titles_are_not(tmp_path):
    source, result = tmp_path / 'source.mkv', tmp_path / 'result.mkv'
    frames = marked_frames(3)
    with av.open(str(source), 'w') as container:
        container.metadata['title'] = 'name of a patient'
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    write(result, frames, clock_of_video(source), source=source)
    with av.open(str(result)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert 'title' not in {key.lower() for key in container.metadata}


@pytest.mark.parametrize(('rotation', 'shown'), [(90, Fraction(3, 4)), (180, Fraction(4, 3)), (0, Fraction(4, 3))])
def test_the_pixel_aspect_ratio_of_squares_is_turned_with_them(tmp_path, rotation, shown):
    pytest.importorskip('av', minversion='17')  # older ones cannot write the rotation
    source, result = tmp_path / 'source.mp4', tmp_path / 'result.mp4'
    frames = marked_frames(3)[:, :48, :48]
    with av.open(str(source), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 48, 'yuv420p'
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(rotation)
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    write(result, frames, clock_of_video(source), source=source)
    with av.open(str(result)) as container:
        assert container.streams.video[0].sample_aspect_ratio == shown


def test_an_exception_leaves_nothing_and_the_old_file_untouched(tmp_path):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(b'before')
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(path, (48, 64), choose_encoding('.mp4'), Clock.constant(RATE)) as w,
    ):
        for frame in marked_frames(5):
            w.write(frame)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ['clip.mp4']
    assert path.read_bytes() == b'before'


def test_a_killed_process_leaves_nothing_at_the_final_name(tmp_path):
    script = """
        import os, signal, sys
        from fractions import Fraction
        import numpy as np
        from basicsr_ssm.clips.clock import Clock
        from basicsr_ssm.clips.video_encoding import choose_encoding
        from basicsr_ssm.clips.video_writer import VideoWriter
        writer = VideoWriter(sys.argv[1], (48, 64), choose_encoding('.mp4'), Clock.constant(Fraction(25)))
        for _ in range(60):
            writer.write(np.zeros((48, 64, 3), np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(script), str(tmp_path / 'clip.mp4')])
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / 'clip.mp4').exists()


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi', '.webm'])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, suffix):
    frames = np.random.default_rng(0).integers(0, 256, (20, 96, 128, 3), dtype=np.uint8)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        with pytest.raises(OutputError, match=r'clip.*cannot write the video'):
            write(tmp_path / f'clip{suffix}', frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r'frame 1 .*\(40, 64, 3\)'):
        write(tmp_path / 'clip.mp4', [*marked_frames(1), *marked_frames(1, 40, 64)])
    assert os.listdir(tmp_path) == []


def test_no_frames_make_no_file(tmp_path):
    with (
        pytest.raises(OutputError, match='no frame'),
        VideoWriter(tmp_path / 'clip.mp4', (48, 64), choose_encoding('.mp4'), Clock.constant(RATE)),
    ):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ('suffix', 'settings', 'message'),
    [
        ('.gif', {}, r'\.gif.*\.mp4'),
        ('.mp4', {'codec': 'ffv1'}, 'libx264 or libx265'),
        ('.mp4', {'crf': 52}, '0 .best. to 51'),
        ('.mp4', {'lossless': True, 'crf': 3}, '--lossless'),
        ('.webm', {'lossless': True}, 'use .mkv'),
        ('.mkv', {'codec': 'ffv1', 'crf': 3}, 'lossless'),
    ],
)
def test_settings_that_cannot_be_served_are_explained(suffix, settings, message):
    with pytest.raises(OutputError, match=message):
        choose_encoding(suffix, **settings)


def test_smaller_crf_means_larger_file(tmp_path):
    rng = np.random.default_rng(0)
    frames = (marked_frames(8) // 2 + rng.integers(0, 60, (8, 48, 64, 3))).astype(np.uint8)
    for crf in (10, 40):
        write(tmp_path / f'{crf}.mp4', frames, encoding=choose_encoding('.mp4', crf=crf))
    assert (tmp_path / '10.mp4').stat().st_size > 2 * (tmp_path / '40.mp4').stat().st_size


@pytest.mark.skipif('libx265' not in av.codecs_available, reason='this FFmpeg has no libx265')
def test_frames_that_a_codec_does_not_take(tmp_path):
    encoding = choose_encoding('.mp4', 'libx265')
    with pytest.raises(OutputError, match='clip.mp4: libx265 cannot encode 10x6 at 25 frames a second'):
        write(tmp_path / 'clip.mp4', np.zeros((1, 6, 10, 3), np.uint8), encoding=encoding)
    assert os.listdir(tmp_path) == []
