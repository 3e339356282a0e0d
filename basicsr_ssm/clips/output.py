"""Where restored frames go: a video file or a folder of PNG frames, told apart by the path's suffix."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.clips.frame_folder_writer import FrameFolderWriter, holds_only_frames
from basicsr_ssm.clips.mount_point import is_mount_point
from basicsr_ssm.clips.video_encoding import CONTAINERS, Encoding, OutputError, choose_encoding
from basicsr_ssm.clips.video_writer import VideoWriter
from basicsr_ssm.clips.writer_context import missing_folders, part_beside, remove_empty

TRIED = 1 << 20  # bytes that have to fit on the disk: no video is smaller for long


@dataclass(frozen=True)
class Output:
    """A checked destination, not yet opened.

    Attributes:
        path: the file or folder.
        encoding: None for a folder of frames.
        replace: whether what is there when all is written may be replaced.
    """

    path: Path
    encoding: Encoding | None
    replace: bool

    def open(
        self, size: tuple[int, int], clock: Clock, start: int = 0, source: Path | None = None, audio: bool = True
    ) -> VideoWriter | FrameFolderWriter:
        """Start writing frames of (h, w); see VideoWriter for the arguments."""
        if self.encoding is None:
            return FrameFolderWriter(self.path, size, start, self.replace)
        return VideoWriter(self.path, size, self.encoding, clock, start, source, audio, self.replace)


def plan_output(
    path: str | Path,
    source: str | Path,
    *,
    overwrite: bool = False,
    codec: str | None = None,
    crf: int | None = None,
    lossless: bool = False,
) -> Output:
    """Check that ``path`` can be written, by trying it, before any time is spent on the frames.

    Args:
        path: with a suffix a video file (see CONTAINERS), without one, or an existing folder, a folder of PNG frames.
        source: what is being restored; it is never overwritten.
        overwrite: allow an existing file, or an existing folder that holds nothing but frames, to be replaced.
        codec, crf, lossless: see choose_encoding; not for folders.

    Raises:
        OutputError: naming the path and what to do.
    """
    path, source = Path(path), Path(source)
    # names are needed for what lies beside it; where a link leads is where there should be room
    if path.name in ('', '..') or path.is_symlink():
        path = path.resolve()
    output = _chosen(path, source, overwrite, codec, crf, lossless)
    if is_mount_point(path):
        raise OutputError(f'{path}: is a mount point, which nothing can be put in place of; choose a name inside of it')
    _try_to_write(path)
    return output


def _chosen(path: Path, source: Path, overwrite: bool, codec: str | None, crf: int | None, lossless: bool) -> Output:
    if path.exists() and source.exists() and path.samefile(source):
        raise OutputError(f'{path}: is the input itself; choose another output')
    if path.name.lower() in CONTAINERS and not path.is_dir():
        raise OutputError(f'{path}: is a suffix without a name')
    if path.is_dir() or not path.suffix:
        return Output(_checked_folder(path, source, overwrite, codec or crf is not None or lossless), None, overwrite)
    encoding = choose_encoding(path.suffix, codec, crf, lossless, name=str(path))
    if path.exists() and not path.is_file():
        raise OutputError(f'{path}: exists and is no file')
    if path.exists() and not overwrite:
        raise OutputError(f'{path}: exists already; --overwrite replaces it')
    return Output(path, encoding, overwrite)


def _checked_folder(path: Path, source: Path, overwrite: bool, encoding_asked: bool) -> Path:
    if encoding_asked:
        raise OutputError(f'{path}: is a folder of PNG frames; --codec, --crf and --lossless are for video files')
    if path.exists():
        if not path.is_dir():
            raise OutputError(f'{path}: exists and is no folder (a video file needs a suffix such as .mp4)')
        if not holds_only_frames(path):
            raise OutputError(f'{path}: holds other things than frames; choose a new folder')
        if any(path.iterdir()) and not overwrite:
            raise OutputError(f'{path}: holds frames already; --overwrite replaces them')
    if source.is_dir() and source.resolve() in path.resolve().parents:
        raise OutputError(f'{path}: lies inside the input folder; choose another output')
    return path


def _try_to_write(path: Path) -> None:
    """Make what the writer is going to make beside ``path``, and take it away again."""
    made, part = missing_folders(path), part_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, 'wb') as file:
            file.write(bytes(TRIED))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        above = next((folder for folder in path.parents if folder.exists()), path)
        reason = f'{above} is no folder' if not above.is_dir() else error.strerror
        raise OutputError(f'{path}: cannot be written ({reason})') from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        remove_empty(made)
