"""`basicsr-ssm upscale INPUT OUTPUT --model CHECKPOINT`: restore a video, a DICOM cine or a folder of frames."""

import argparse
import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from basicsr_ssm.archs.recognition import build_from_checkpoint
from basicsr_ssm.clips.clock import DEFAULT_RATE, Clock, clock_of_video
from basicsr_ssm.clips.output import Output, plan_output
from basicsr_ssm.clips.sources import DamagedSourceError, FrameSource, open_source
from basicsr_ssm.clips.video_encoding import CODECS, CONTAINERS
from basicsr_ssm.clips.video_source import VideoSource
from basicsr_ssm.clips.writer_context import parts_beside
from basicsr_ssm.errors import UserError
from basicsr_ssm.inference.memory_plan import GIB, measured_on_gpu, plan, worth_copies
from basicsr_ssm.inference.precision import cast_weights
from basicsr_ssm.inference.restore import restore_clip
from basicsr_ssm.options.yaml_file import read_options
from basicsr_ssm.segments.chunks import OVERLAP, SEGMENT, usual_overlap
from basicsr_ssm.segments.tiles import LEAST_TILE

HELP = 'restore a video, DICOM cine or folder of frames with a trained network'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('input', type=Path, help='video file, DICOM file, or folder of frames')
    parser.add_argument(
        'output', type=Path, help=f'video file ({" ".join(CONTAINERS)}), or without suffix a folder of PNG frames'
    )
    parser.add_argument('--model', type=Path, required=True, metavar='CHECKPOINT', help='weights (.pth)')
    parser.add_argument(
        '--opt', type=Path, help='option file whose network_g built the network; else inferred from the weights'
    )
    parser.add_argument(
        '--frames', type=_frame_range, default=(0, None), metavar='START:STOP', help='only these frames'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing output')
    parser.add_argument(
        '--keep-partial', action='store_true', help='if the input turns out damaged, finish with the frames before'
    )
    running = parser.add_argument_group('running')
    running.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    running.add_argument('--precision', choices=('fp32', 'bf16', 'fp16'), default='fp32')
    running.add_argument('--segment', type=int, help=f'frames restored at a time ({SEGMENT}); less needs less memory')
    running.add_argument(
        '--overlap',
        type=int,
        help=f'frames that neighbouring segments share as context ({OVERLAP}; of segments below {SEGMENT}, 2/5)',
    )
    running.add_argument(
        '--tile',
        type=int,
        metavar='SIZE',
        help='restore large frames in tiles of so many pixels a side, 0: never (default: smaller ones each time that '
        'memory does not suffice)',
    )
    running.add_argument(
        '--offload',
        action='store_true',
        help="keep features that wait for their next use in the CPU's memory: a GPU needs less, the CPU more",
    )
    running.add_argument(
        '--max-memory',
        type=float,
        metavar='GIB',
        help='of a GPU: choose segment and tile to stay within it, and --offload where that spares small tiles',
    )
    video = parser.add_argument_group('video files')
    video.add_argument('--codec', choices=CODECS, help='default: H.264, in .webm VP9')
    video.add_argument('--crf', type=int, help='quality, 0 is best (default: 17 for H.264, visually lossless)')
    video.add_argument('--lossless', action='store_true', help='FFV1 (.mkv .avi) or H.264 in RGB (.mp4 .mov)')
    video.add_argument('--fps', type=_rate, help="frames per second, e.g. 25 or 30000/1001, instead of the input's own")
    video.add_argument('--no-audio', action='store_true', help='leave the audio out')


def run(args: argparse.Namespace) -> int:
    """Restore args.input into args.output.

    Returns:
        0, or 1 when the input was damaged and --keep-partial finished an incomplete output.

    Raises:
        UserError: whatever is wrong with input, checkpoint, output or settings; there is no output then.
    """
    _check_running(args)
    output = plan_output(
        args.output, args.input, overwrite=args.overwrite, codec=args.codec, crf=args.crf, lossless=args.lossless
    )
    source = open_source(args.input)
    if source.gaps:
        gaps = f'{len(source.gaps)} gaps in the numbers of its frames, the first before frame {source.gaps[0]}'
        _say(f'note: {source.path}: {gaps}; they are restored as one clip')
    clock, keep_audio = _clock_and_audio(source, output, args.fps, args.no_audio)
    net, device, dtype = _network(args)

    start, stop = args.frames
    segment, tile = _segment_and_tile(args, net, device, dtype, source)
    overlap = usual_overlap(segment) if args.overlap is None else args.overlap
    frames = _Frames(source, start, stop, args.keep_partial)
    restored = restore_clip(
        net,
        frames,
        segment=segment,
        overlap=overlap,
        tile=tile,
        smaller_tiles=args.tile is None,
        device=device,
        dtype=dtype,
        first=start,
    )
    began = time.monotonic()
    for part in parts_beside(output.path):
        _say(f'note: {part} is of a run that was killed, or is still at work there')
    with _termination_as_exit(), contextlib.ExitStack() as stack:
        writer = None
        for frame in _with_progress(restored, _expected(source, start, stop)):
            if writer is None:
                video = source.path if isinstance(source, VideoSource) else None
                writer = output.open(frame.shape[:2], clock, start, video, keep_audio)
                stack.enter_context(writer)
            writer.write(frame)
        if writer is None:
            raise frames.damage or UserError(f'{source.path}: has no frame {start}, so there is nothing to restore')
        writer.whole = stop is None and frames.damage is None
    for note in writer.notes:
        _say(f'note: {note}')
    h, w = writer.size
    taken = time.monotonic() - began
    print(f'{writer.path}: {writer.frames_written} frames of {w}x{h} in {taken:.1f} s')
    if frames.damage:
        _say(f'error: {frames.damage}; the output ends there')
        return 1
    if stop is not None and start + writer.frames_written < stop:
        _say(f'note: {source.path} ends before frame {stop}: it has {start + writer.frames_written}')
    return 0


class _Frames:
    """The frames START … STOP of a source. With ``keep_partial`` damage ends them and is kept, else it is raised."""

    def __init__(self, source: FrameSource, start: int, stop: int | None, keep_partial: bool):
        self._source = source
        self._range = (start, stop)
        self._keep_partial = keep_partial
        self.damage: DamagedSourceError | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            yield from islice(self._source.frames(), *self._range)
        except DamagedSourceError as error:
            if not self._keep_partial:
                raise
            self.damage = error


def _device(args: argparse.Namespace) -> str:
    name = args.device
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    elif name == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: PyTorch finds no CUDA device here')
    if name == 'cpu' and args.precision == 'fp16':
        raise UserError('--precision fp16 is for GPUs; on the CPU use fp32 or bf16')
    if name == 'cpu' and args.max_memory is not None:
        raise UserError('--max-memory is for GPUs; on the CPU give --segment and --tile')
    return name


def _network(args: argparse.Namespace) -> tuple[torch.nn.Module, str, torch.dtype]:
    name = _device(args)
    try:
        net, description = build_from_checkpoint(args.model, _network_options(args.opt))
    except (KeyError, TypeError, ValueError) as error:
        if args.opt is None:
            raise
        raise UserError(f'{args.opt}: its network_g builds no network: {error}') from error
    if args.offload and not _offload(net):
        raise UserError(f'--offload: {type(net).__name__} has no features that wait for their next use')
    _say(f'{description}, on {name} in {args.precision}')
    dtype = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}[args.precision]
    net = net.eval().to(name)
    cast_weights(net, dtype)
    return net, name, dtype


def _network_options(path: Path | None) -> dict | None:
    if path is None:
        return None
    options = read_options(path).get('network_g')
    if not isinstance(options, dict) or 'type' not in options:
        raise UserError(f'{path}: has no section network_g with a type')
    return options


def _check_running(args: argparse.Namespace) -> None:
    """What can be said of segment, overlap, tile and memory before anything is opened."""
    if args.segment is not None and args.segment < 1:
        raise UserError(f'--segment {args.segment}: at least 1 frame has to be restored at a time')
    segment = SEGMENT if args.segment is None else args.segment
    if args.overlap is not None and not 0 <= args.overlap < segment:
        raise UserError(f'--overlap {args.overlap}: has to be 0 … {segment - 1}, less than --segment {segment}')
    if args.tile is not None and args.tile != 0 and args.tile < LEAST_TILE:
        raise UserError(f'--tile {args.tile}: has to be at least {LEAST_TILE} pixels, or 0 for whole frames')
    if args.max_memory is not None and not 0 < args.max_memory < math.inf:
        raise UserError(f'--max-memory {args.max_memory:g}: has to be a number of GiB above 0')


def _segment_and_tile(
    args: argparse.Namespace, net: torch.nn.Module, device: str, dtype: torch.dtype, source: FrameSource
) -> tuple[int, int]:
    segment = SEGMENT if args.segment is None else args.segment
    if args.max_memory is None:
        return segment, args.tile or 0
    least = 1 if args.overlap is None else args.overlap + 1
    if args.segment is None:  # a short clip is one segment, and leaves room for larger tiles
        segment = max(least, min(segment, _expected(source, *args.frames) or segment))
    else:
        least = segment
    limit, segments = args.max_memory * GIB, range(segment, least - 1, -1)

    def planned() -> tuple[int, int]:
        model = measured_on_gpu(net, torch.device(device), dtype, limit, segments[0])
        return plan(model, limit, *source.size, segments, args.tile)

    choice, offloaded, can_offload = None, '', hasattr(net, 'cpu_cache_length') and not args.offload
    try:
        choice = planned()
    except UserError:
        if not can_offload:
            raise
    # after an error, whose traceback may hold a trial's memory
    if choice is None or (can_offload and (choice[0] < segments[0] or (choice[1] and args.tile is None))):
        on_gpu = net.cpu_cache_length
        _offload(net)
        other = planned()
        if choice is None or worth_copies(choice, other, *source.size):
            choice, offloaded = other, ', with --offload'
        else:
            net.cpu_cache_length = on_gpu
    segment, tile = choice
    part = f'tiles of {tile} pixels' if tile else 'whole frames'
    _say(f'--max-memory {args.max_memory:g}: {segment} frames at a time, in {part}{offloaded}')
    return segment, tile


def _offload(net: torch.nn.Module) -> bool:
    """Whether the network can keep its features on the CPU, for clips of any length; from here on it does."""
    if not hasattr(net, 'cpu_cache_length'):
        return False
    net.cpu_cache_length = 0
    return True


def _clock_and_audio(source: FrameSource, output: Output, fps: Fraction | None, silent: bool) -> tuple[Clock, bool]:
    if output.encoding is None:
        if fps is not None:
            raise UserError(f'--fps {fps}: {output.path} is a folder of PNG frames, which holds no frame rate')
        if source.has_audio:
            _say('note: a folder of frames holds no audio')
        return Clock.constant(DEFAULT_RATE), False
    if fps is not None and fps != source.fps:
        if source.has_audio and not silent:
            _say(f'note: at --fps {fps} the audio would not fit the pictures; left out')
        return Clock.constant(fps), False
    if isinstance(source, VideoSource):
        return clock_of_video(source.path), source.has_audio and not silent
    if source.fps is None:
        _say(f'note: {source.path} tells no frame rate; taking {DEFAULT_RATE} a second (--fps sets another)')
    return source.clock or Clock.constant(source.fps or DEFAULT_RATE), False


def _expected(source: FrameSource, start: int, stop: int | None) -> int | None:
    if source.frame_count is None:
        return None if stop is None else stop - start
    return max(0, min(source.frame_count, source.frame_count if stop is None else stop) - start)


def _with_progress(frames: Iterator[np.ndarray], total: int | None) -> Iterator[np.ndarray]:
    with tqdm(total=total, unit='frame', dynamic_ncols=True) as bar:
        for frame in frames:
            yield frame
            bar.update()


@contextlib.contextmanager
def _termination_as_exit():
    """Let SIGTERM, and a terminal that is closed, unwind like Ctrl-C, so that unfinished files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: sys.exit(128 + number)) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _frame_range(text: str) -> tuple[int, int | None]:
    start, colon, stop = text.partition(':')
    try:
        first, last = int(start or 0), int(stop) if stop else None
    except ValueError:
        colon = ''
    if not colon or first < 0 or (last is not None and last <= first):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no range START:STOP of frame numbers, START from 0, STOP excluded'
        )
    return first, last


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f'{text!r} is no frame rate such as 25, 29.97 or 30000/1001')
    return rate


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
