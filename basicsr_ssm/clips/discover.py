"""From the paths that a user gives to single sources with names of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from basicsr_ssm.clips.films import images_or_films
from basicsr_ssm.clips.folder_source import broken_link, natural_key
from basicsr_ssm.clips.frame_source import safe_name
from basicsr_ssm.clips.output_folder import is_data_set
from basicsr_ssm.clips.published import name_some
from basicsr_ssm.errors import UserError
from basicsr_ssm.linked_folders import leads_back


def find_sources(
    paths: Iterable[str | Path],
    skip: Callable[[str], None] | None = None,
    leave_out: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Path]:
    """name → path of every source, in a fixed order.

    A file is a source; a folder with images is one source, whatever is below it; any other folder is searched,
    recursively, for videos, DICOM files and folders of images. Names are made of the file's or folder's name, with the
    names of the folders above it in front where that is needed to tell two apart.

    A prepared data set below a path is not searched: its clips are of recordings that are sources already, or could be,
    and in other splits they would leak. Given as a path it is.

    Args:
        skip: told of each folder that holds no source, and of each link in a folder that leads nowhere; without it
            that is an error. So it is if nothing is left.
        leave_out: a folder that is not searched: the output, which another run may have filled with frames.
        note: told of each folder with images whose subfolders are therefore not searched, and of each data set.

    Raises:
        UserError: a path does not exist, holds no source or cannot be one, or is given twice.
    """
    found: list[Path] = []
    unusable: list[str] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f'{path}: {broken_link(path) or "no such file or folder"}')
        broken: list[str] = []
        here = [path] if path.is_file() else list(_search(path, leave_out and leave_out.resolve(), broken, note))
        unusable += broken
        if not here and not broken:
            unusable.append(f'{path}: holds neither videos nor DICOM files nor images')
        found += here
    if unusable and (skip is None or not found):
        raise UserError('; '.join(unusable))
    for reason in unusable:
        skip(reason)
    twice = [p for p, n in Counter(p.resolve() for p in found).items() if n > 1]
    if twice:
        raise UserError(f'{twice[0]}: is given twice')
    return _named(found)


def _search(folder: Path, leave_out: Path | None, broken: list[str], note: Callable[[str], None]):
    """The sources in `folder`; what is wrong with links that lead nowhere goes into `broken`."""
    if folder.resolve() == leave_out:
        return
    try:
        entries = sorted(folder.iterdir(), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise UserError(f'{folder}: cannot be read ({error.strerror})') from error
    images, films = images_or_films(folder)
    entries = [p for p in entries if not p.name.startswith('.')]
    broken += [f'{p}: {wrong}' for p in entries if (wrong := broken_link(p)) and p not in images]
    if images:
        below = [p.name for p in entries if p.is_dir() and p.resolve() != leave_out]
        if below:
            count = f'{len(images)} images' if len(images) > 1 else f'the image {images[0].name}'
            note(f'{folder}: holds {count}, so it is one source; not looked into: {name_some(below)}')
        yield folder
        return
    for entry in entries:
        if entry.is_dir() and not leads_back(entry):
            if entry.resolve() != leave_out and is_data_set(entry):
                note(f'{entry}: is a prepared data set, not looked into')
            else:
                yield from _search(entry, leave_out, broken, note)
        elif entry in films:
            yield entry


def _named(paths: list[Path]) -> dict[str, Path]:
    full = [p.resolve() for p in paths]
    parts = [(*p.parent.parts[1:], p.name if p.is_dir() else p.stem) for p in full]
    depth = [1] * len(parts)

    def name(i: int) -> str:
        return safe_name('_'.join(parts[i][-depth[i] :])[-100:])

    while True:
        names = [name(i) for i in range(len(parts))]
        alike = [i for i, n in enumerate(names) if names.count(n) > 1 and depth[i] < len(parts[i])]
        if not alike:
            break
        for i in alike:
            depth[i] += 1
    # What is still alike differs only in characters that names cannot hold, or in the suffix: numbers tell it apart,
    # and the folders above, which say nothing then, stay out of the names.
    count: Counter[str] = Counter()
    result: dict[str, Path] = {}
    for i in sorted(range(len(parts)), key=lambda i: (names[i], str(full[i]))):
        if names.count(names[i]) > 1:
            base = safe_name(parts[i][-1])[:90]
            count[base] += 1
            result[f'{base}_{count[base]}'] = paths[i]
        else:
            result[names[i]] = paths[i]
    if len(result) < len(paths):
        raise UserError('the names of the sources are too much alike; rename some of them')
    return result
