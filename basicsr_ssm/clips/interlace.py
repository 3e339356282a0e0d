"""Interlaced video: frames woven of two fields taken at different times, and the filter that makes whole frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from basicsr_ssm.clips.pyav import import_av
from basicsr_ssm.errors import UserError

COMB_STEP = 12  # levels by which a row has to stand out from both of its neighbours
COMBED_PIXELS = 0.01  # share of such pixels in a combed frame,
COMB_RATIO = 3.0  # and how many times more there are along columns than along rows: texture has as many of both
COMBED_FRAMES = 0.1  # share of combed frames that makes a source interlaced; frames without motion show nothing

_TICK = Fraction(1, 25)


def is_combed(frame: np.ndarray, turned: bool = False) -> bool:
    """Whether moving edges of a frame, uint8 (h, w, 3), are teeth of single rows; of columns where it was turned."""
    green = frame[..., 1].astype(np.int16)
    if turned:
        green = green.T
    teeth = _teeth(green)
    return teeth > COMBED_PIXELS and teeth > COMB_RATIO * _teeth(green.T)


def _teeth(values: np.ndarray) -> float:
    """Share of the pixels that are brighter, or darker, than the rows above and below; (h, w)."""
    if len(values) < 3:
        return 0.0
    step = np.diff(values, axis=0)
    peaks = (step[:-1] > COMB_STEP) & (step[1:] < -COMB_STEP)
    dips = (step[:-1] < -COMB_STEP) & (step[1:] > COMB_STEP)
    return float((peaks | dips).mean())


def deinterlaced(frames: Iterable) -> Iterator:
    """PyAV frames through FFmpeg's bwdif (all frames, one for one; fields in the order that their flags tell, else top
    first).

    Raises:
        UserError: an FFmpeg without this filter.
    """
    av = import_av()
    graph = source = sink = None
    for number, frame in enumerate(frames):
        if graph is None:
            if 'bwdif' not in av.filter.filters_available:
                raise UserError('this FFmpeg has no filter bwdif; prepare without --deinterlace')
            graph, source, sink = _graph(av, frame)
        # by order: time stamps may be missing
        frame.pts, frame.time_base = number, _TICK
        source.push(frame)
        yield from _ready(av, sink)
    if graph is not None:
        source.push(None)
        yield from _ready(av, sink)


def deinterlaced_arrays(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same for uint8 RGB (h, w, 3)."""
    av = import_av()
    planes = (av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format='gbrp') for frame in frames)
    for frame in deinterlaced(planes):
        yield frame.to_ndarray(format='rgb24')


def _graph(av, frame):
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=_TICK)
    weave = graph.add('bwdif', 'mode=send_frame:parity=auto:deint=all')
    sink = graph.add('buffersink')
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    return graph, source, sink


def _ready(av, sink) -> Iterator:
    while True:
        try:
            yield sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
