"""Which codec, pixel format and settings a video file is written with: decided from its suffix, before any work."""

from dataclasses import dataclass, field

from basicsr_ssm.errors import UserError


class OutputError(UserError):
    """An output that cannot be written as asked: the message names the path and the reason."""


@dataclass(frozen=True)
class Container:
    """A video file type: FFmpeg's name for it, the codecs we put into it, and whether it stores times per frame."""

    format: str
    codec: str
    lossless_codec: str | None
    codecs: tuple[str, ...]
    stores_times: bool = True


CONTAINERS = {
    '.mp4': Container('mp4', 'libx264', 'libx264rgb', ('libx264', 'libx265', 'libvpx-vp9')),
    '.m4v': Container('mp4', 'libx264', 'libx264rgb', ('libx264', 'libx265')),
    '.mov': Container('mov', 'libx264', 'libx264rgb', ('libx264', 'libx265')),
    '.mkv': Container('matroska', 'libx264', 'ffv1', ('libx264', 'libx265', 'libvpx-vp9', 'ffv1')),
    '.webm': Container('webm', 'libvpx-vp9', None, ('libvpx-vp9',)),
    '.avi': Container('avi', 'libx264', 'ffv1', ('libx264', 'ffv1'), stores_times=False),
}
CODECS = ('libx264', 'libx265', 'libvpx-vp9', 'ffv1')
# Visually lossless for each codec: restored detail is what was paid for, so the file may be large.
DEFAULT_CRF = {'libx264': 17, 'libx265': 19, 'libvpx-vp9': 22}
LARGEST_CRF = {'libx264': 51, 'libx265': 51, 'libvpx-vp9': 63}


@dataclass(frozen=True)
class Encoding:
    """The decision: ``rgb`` says that pixels are stored as RGB, not as YCbCr; ``notes`` are for the user to read."""

    container: Container
    codec: str
    rgb: bool
    options: dict[str, str] = field(default_factory=dict)

    def pixel_format(self, size: tuple[int, int]) -> str:
        """FFmpeg's name of the pixel format for frames of (h, w)."""
        if self.rgb:
            return 'rgb24' if self.codec == 'libx264rgb' else 'bgr0'
        # H.264 and H.265 store halved chroma for even sizes only; full chroma keeps an odd size as it is.
        odd = size[0] % 2 or size[1] % 2
        return 'yuv444p' if odd and self.codec != 'libvpx-vp9' else 'yuv420p'

    def notes(self, size: tuple[int, int]) -> list[str]:
        """What a user should know about a file of this kind with frames of (h, w)."""
        if self.codec == 'libx264rgb':
            return ['lossless H.264 in RGB: FFmpeg, mpv and VLC play it, browsers and phones do not']
        if self.pixel_format(size) == 'yuv444p':
            return [
                f'frames of odd size {size[1]}x{size[0]} are stored as yuv444p to keep every pixel: FFmpeg, mpv, VLC '
                'and Chrome play it, QuickTime and most phones do not'
            ]
        return []


def choose_encoding(
    suffix: str, codec: str | None = None, crf: int | None = None, lossless: bool = False, name: str = 'output'
) -> Encoding:
    """Decide how a video file with this suffix is encoded.

    Args:
        suffix: of the file, with the dot; one of CONTAINERS.
        codec: one of CODECS; None takes the container's own.
        crf: quality, 0 best; None takes DEFAULT_CRF of the codec.
        lossless: every 8-bit RGB value comes back as it was (FFV1, or H.264 in RGB for mp4 and mov).
        name: of the file, for messages.

    Raises:
        OutputError: for a suffix, codec or quality that cannot be served.
    """
    container = CONTAINERS.get(suffix.lower())
    if container is None:
        raise OutputError(
            f'{name}: cannot write files of type {suffix!r}; known are {", ".join(CONTAINERS)}, '
            'and a path without suffix for a folder of PNG frames'
        )
    if lossless:
        if codec or crf is not None:
            raise OutputError(f'{name}: --lossless chooses codec and quality itself; leave out --codec and --crf')
        if container.lossless_codec is None:
            raise OutputError(f'{name}: {suffix} has no lossless codec here; use .mkv')
        # crf 0 would be lossless too, but only at 8 bits and not by contract; qp 0 is.
        options = {'qp': '0'} if container.lossless_codec == 'libx264rgb' else {}
        return _checked(Encoding(container, container.lossless_codec, rgb=True, options=options), name)
    codec = codec or container.codec
    if codec not in container.codecs:
        raise OutputError(f'{name}: {suffix} is written with {" or ".join(container.codecs)}, not {codec!r}')
    if codec == 'ffv1':
        if crf is not None:
            raise OutputError(f'{name}: ffv1 is lossless and has no --crf')
        return _checked(Encoding(container, codec, rgb=True), name)
    crf = DEFAULT_CRF[codec] if crf is None else crf
    if not 0 <= crf <= LARGEST_CRF[codec]:
        raise OutputError(f'{name}: --crf of {codec} goes from 0 (best) to {LARGEST_CRF[codec]}, not {crf}')
    options = {'crf': str(crf)}
    if codec == 'libx265':
        options['x265-params'] = 'log-level=error'
    if codec == 'libvpx-vp9':
        options |= {'b': '0', 'row-mt': '1', 'cpu-used': '2'}  # VP9 obeys crf alone only with a bit rate of 0
    if not container.stores_times:
        options['bf'] = '0'  # AVI has no presentation times, so frames must be stored in the order they are shown
    return _checked(Encoding(container, codec, rgb=False, options=options), name)


def _checked(encoding: Encoding, name: str) -> Encoding:
    from basicsr_ssm.clips.pyav import import_av

    if encoding.codec not in import_av().codecs_available:
        raise OutputError(f"{name}: this PyAV's FFmpeg was built without {encoding.codec}; choose another --codec")
    return encoding
