"""What an adapter finds in the folders of a published medical data set, before a frame is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from basicsr_ssm.clips.folder_source import image_files
from basicsr_ssm.clips.published import name_some
from basicsr_ssm.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The clips of a data set.

    Attributes:
        size: (h, w) of the ground truth, from the paper.
        stride: frames from clip to clip; the paper does not say.
        max_clips: most clips of one source, None for all; the paper does not say.
        cuts: what abrupt cuts do, see Footage; frames that are seconds apart all look like cuts.
    """

    size: tuple[int, int]
    stride: int
    max_clips: int | None = None
    cuts: str = 'avoid'


@dataclass
class Found:
    """All of a data set.

    Attributes:
        kind: the word after `prepare`.
        name: the data set's own.
        root: the folder that paths are given from.
        plan: the clips to make.
        sources: name → video or folder of frames.
        fixed: source → the split that its owners put it in; the others are drawn.
        runs: source → stretches of frames without a gap, for sources that have one: no clip spans it.
        faults: source, list or folder → what is missing or wrong.
        extra: what is there and does not belong to the data set as published, and other remarks.
    """

    kind: str
    name: str
    root: Path
    plan: Plan
    sources: dict[str, Path] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[range]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)

    def usable(self) -> dict[str, Path]:
        return {name: path for name, path in self.sources.items() if name not in self.faults}

    def gaps(self) -> dict[str, tuple[int, ...]]:
        """Source → the frames that do not follow on the one before, for sources that have a gap."""
        return {name: tuple(run.start for run in runs[1:]) for name, runs in self.runs.items()}

    def refuse(self, skip_missing: bool) -> None:
        """Raise UserError for faults, unless they are to be skipped, and for an empty data set."""
        if self.faults and not skip_missing:
            lines = [f'{name}: {fault}' for name, fault in self.faults.items()]
            more = f'\n  and {len(lines) - 10} more' if len(lines) > 10 else ''
            listed = '\n  '.join(lines[:10])
            raise UserError(f'{self.name} is not as published; --skip-missing uses what is there:\n  {listed}{more}')
        if not self.usable():
            why = next(iter(self.faults.values()), 'no videos')
            raise UserError(f'{self.root}: holds nothing of {self.name}: {why}')


def folder_with(root: Path, marks: Iterable[str], names: Iterable[str]) -> Path:
    """`root` or the folder of one of these `names` in it, whichever holds one of `marks`; else where they should be."""
    inner = [root / name for name in names]
    marked = [folder for folder in (root, *inner) if any((folder / mark).exists() for mark in marks)]
    return next(iter([*marked, *filter(Path.is_dir, inner)]), root)


def runs_of(folder: Path) -> list[range]:
    """Stretches of images whose numbers follow one another, as positions in natural order; one where they have none."""
    names = [path.stem for path in image_files(folder)]
    numbers = [re.search(r'\d+$', name) for name in names]
    if not names or not all(numbers):
        return [range(len(names))]
    values = [int(number.group()) for number in numbers]
    cuts = [i for i in range(1, len(values)) if values[i] != values[i - 1] + 1]
    return [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]


def starts_in(runs: Iterable[range], length: int, plan: Plan) -> tuple[int, ...]:
    """First frames of the clips that lie within one run each."""
    starts = [i for run in runs for i in range(run.start, run.stop - length + 1, plan.stride)]
    return tuple(starts[: plan.max_clips])


def compare(found: Found, there: Iterable[str], expected: Iterable[str], where: Path, what: str) -> None:
    """Note what of `expected` is missing as one fault, and what is beyond it as extra."""
    there, expected = set(there), set(expected)
    if expected - there:
        missing = expected - there
        found.faults[what] = f'{where}: {len(missing)} of {len(expected)} missing ({name_some(missing)})'
    if there - expected:
        found.extra.append(f'{where}: {what} {name_some(there - expected)}')
