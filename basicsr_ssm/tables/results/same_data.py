"""Whether tests of the same name were of the same clips, as far as their options and this machine tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

from basicsr_ssm.errors import UserError
from basicsr_ssm.metrics import takes_mask
from basicsr_ssm.tables.results.described import described
from basicsr_ssm.tables.results.results import Results


def check_same_selection(name: str, models: list[Results], options: dict | None, metrics: Iterable[dict]) -> None:
    """What of a data set is measured: inside of which masks, and, of Vimeo-90K, which frames.

    Clips have names and need no check, but Vimeo-90K's are the frames of one, called by their places in a list. Paths
    tell nothing, for a test may have run on another machine: where they differ, what they lead to is compared, if it
    is here.

    Args:
        name: of the data set.
        options: of the option file, which measures bicubic.
        metrics: the options of those that were measured.

    Raises:
        UserError: two tests differ.
    """
    tests = [(one.name, described(one.options, name), 'vimeo90k' in one.means[name]) for one in models]
    if options is not None:
        tests.append(('the option file (-opt)', described(options, name), True))
    masked = any(map(takes_mask, metrics))
    for (one, its, in_list), (other, others, also) in combinations(tests, 2):
        for key, matters, read in (('mask', masked, _masks), ('meta_info_file', in_list and also, _listed)):
            if matters and its and others and _differ(its.get(key), others.get(key), read):
                raise UserError(
                    f'{name}: {one} and {other} cannot be compared: measured with {key} {its.get(key)} and with '
                    f'{others.get(key)}, which differ; test both with the same one'
                )


def _differ(one: str | None, other: str | None, read: Callable[[Path], dict | None]) -> bool:
    if one is None or other is None:
        return one != other
    if Path(one).resolve() == Path(other).resolve():
        return False
    ones, others = read(Path(one)), read(Path(other))
    if ones is None or others is None:
        return False  # not on this machine
    shared = ones.keys() & others.keys()
    return not shared or any(ones[key] != others[key] for key in shared)


def _masks(folder: Path) -> dict[str, bytes] | None:
    try:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*.png')} or None
    except OSError:
        return None


def _listed(path: Path) -> dict[str, list[str]] | None:
    try:
        return {'clips': [line.split(' ')[0] for line in path.read_text(encoding='utf-8').splitlines()]}
    except (OSError, ValueError):
        return None


def places(name: str, models: list[Results]) -> dict[str, list[str]]:
    """{where data lies, in words: the models that were tested on it}, of the models whose options tell."""
    found: dict[str, list[str]] = {}
    for one in models:
        opt = described(one.options, name) or {}
        roots = [str(Path(opt[key]).resolve()) for key in ('dataroot_gt', 'dataroot_lq', 'mask') if opt.get(key)]
        if roots:
            found.setdefault(', '.join(roots), []).append(one.name)
    return found
