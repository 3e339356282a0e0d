"""Under which name a test saves a frame, and finds it again."""

from __future__ import annotations

from pathlib import Path


def frame_stem(item: dict, frame: int | None) -> str:
    """What comes before _<suffix>.png in the name of a saved frame.

    Args:
        item: of the test's data set.
        frame: its number in a clip that is restored as a whole; None for the one frame of a sliding window, which keeps
            the name of its own file.
    """
    if frame is not None:
        return f'{frame:08d}'
    path = Path(item.get('lq_path') or 'center')
    # Vimeo-90K's frames all have the same name in folders of their own
    return '_'.join(path.parts[-3:-1]) if item['folder'] == 'vimeo90k' else path.stem
