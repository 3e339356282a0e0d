"""What `prepare` does alike for all medical data sets: check the tree, draw the splits, cut, write the recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container
from dataclasses import dataclass, field, replace
from pathlib import Path

from basicsr_ssm.clips.cutting import DEGRADATIONS, Cutting
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.frame_source import FrameSource
from basicsr_ssm.clips.imresize import SCALES
from basicsr_ssm.clips.medical.clip_recipe import FILE, ClipRecipe
from basicsr_ssm.clips.medical.fitted_source import RULE, FittedSource
from basicsr_ssm.clips.medical.found import Found, Plan, starts_in
from basicsr_ssm.clips.recipe import FORMS, Recipe
from basicsr_ssm.clips.recipe_arguments import (
    add_footage_arguments,
    add_running_arguments,
    describe,
    footage_of,
    make,
)
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.clips.splits import SPLITS, SplitRule, parse_shares
from basicsr_ssm.clips.threads import for_all, thread_count
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file

LENGTH = 50  # frames in a clip, from the paper
SHARES = {'train': 0.8, 'val': 0.1, 'test': 0.1}  # the paper does not say
SHARES_BESIDE_TEST = {'train': 0.9, 'val': 0.1}  # where the owners say what the test is


@dataclass(frozen=True)
class MedicalRecipe(Recipe):
    """A recipe with one size for all sources and, for some or all of them, listed clips.

    Attributes:
        dataset: the word after `prepare`.
        size: (h, w) of the ground truth.
        root: the folder that the recipe file gives paths from.
        starts: source → first frames of its clips.
        gaps: source → frames that do not follow on the one before; others say it themselves.
        given: the recipe that was given back, if any.
    """

    dataset: str = ''
    size: tuple[int, int] = (0, 0)
    root: Path = Path()
    starts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    gaps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    given: ClipRecipe | None = None

    def cutting_of(self, name: str, source: FrameSource) -> Cutting:
        return replace(self.cutting, starts=self.starts.get(name), gaps=self.gaps.get(name, source.gaps))

    def note_of(self, name: str, path: Path) -> dict:
        path, root = path.resolve(), self.root.resolve()
        file = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        return {'file': file, **({'starts': list(self.starts[name])} if name in self.starts else {})}

    def open(self, path: Path) -> FrameSource:
        return FittedSource(super().open(path), self.size)

    def check_sources(self, digests: dict[str, str]) -> None:
        for name, source in (self.given.sources if self.given else {}).items():
            if digests.get(name, source.sha256) != source.sha256:  # a shard knows only its own
                raise UserError(f'source {name} ({source.file}) has another content than the recipe was made with')

    def settings(self) -> dict:
        listed = {} if self.given is None else {'recipe': self.given.digest}
        return {**super().settings(), 'dataset': self.dataset, 'size': list(self.size), 'fit': RULE, **listed}


def add_medical_arguments(parser: argparse.ArgumentParser, plan: Plan) -> None:
    most = 'all' if plan.max_clips is None else plan.max_clips
    parser.add_argument('--source', required=True, type=Path, metavar='DIR', help="the owners' folder, unpacked")
    parser.add_argument('--output', required=True, type=Path, metavar='DIR', help='where the data set goes')
    parser.add_argument('--format', choices=FORMS, default='lmdb', help='default: %(default)s')
    parser.add_argument('--scale', type=int, nargs='+', choices=SCALES, metavar='N', help='2, 3, 4, 6, 8 (default: 4)')
    parser.add_argument('--degradation', nargs='+', choices=DEGRADATIONS, metavar='KIND', help='default: bicubic')
    parser.add_argument('--clip-length', type=int, metavar='N', help=f'frames in a clip (default: {LENGTH})')
    parser.add_argument('--stride', type=int, metavar='N', help=f'frames from clip to clip (default: {plan.stride})')
    parser.add_argument('--max-clips', type=int, metavar='N', help=f'most clips of a source (default: {most})')
    parser.add_argument('--split', metavar='SHARES', help='shares of the sources, as in train=0.8,val=0.1,test=0.1')
    parser.add_argument('--seed', type=int, metavar='N', help='draws the sources for the splits (default: 0)')
    parser.add_argument('--recipe', type=Path, metavar='FILE', help=f"another's {FILE}: make the very same clips")
    parser.add_argument('--skip-missing', action='store_true', help='use what is there of an incomplete data set')
    add_running_arguments(parser)
    add_footage_arguments(parser)
    parser.set_defaults(cuts=plan.cuts)


def run_medical(args: argparse.Namespace, found: Found) -> int:
    for extra in found.extra:
        print(f'note: {extra}')
    if args.recipe is None:
        found.refuse(args.skip_missing)
        sources, recipe = found.usable(), _planned(args, found)
    else:
        sources, recipe = _given(args, found)
    # what a recipe lists is all wanted; of a whole data set a damaged video is left out, and noted
    manifest = make(sources, args, recipe, strict=args.recipe is not None)
    if manifest is not None:
        finish(manifest, args.output)
    return 0


def finish(manifest: dict, output: Path) -> None:
    """Write the recipe beside the finished splits, and say what was made."""
    write_file(output / FILE, ClipRecipe.of(manifest).text().encode())
    print(describe(manifest, output))
    if 'recipe' in manifest['settings']:  # it was given
        listed = sum(len(source['starts']) for source in manifest['sources'])
        if len(manifest['clips']) < listed:
            missing = listed - len(manifest['clips'])
            print(f'  {missing} clips of the recipe are not there: a cut or a gap lies within them')


def _planned(args: argparse.Namespace, found: Found) -> MedicalRecipe:
    asked = {name: getattr(args, name) for name in ('stride', 'max_clips') if getattr(args, name) is not None}
    plan = replace(found.plan, **asked)
    length = LENGTH if args.clip_length is None else args.clip_length
    degradations = tuple(args.degradation or ('bicubic',))
    cutting = Cutting(length, plan.stride, plan.max_clips, _scales(args, (4,)), None, degradations)
    unfit, footage = _unfit(found, args.workers), footage_of(args)
    try:
        split = draw_splits(found, args.split, args.seed or 0, unfit)
    except UserError:
        for reason in unfit.values():  # else `prepare` reports them
            print(f'skipped: {reason}', file=sys.stderr)
        raise
    Recipe(cutting, split, args.format, footage=footage)  # checks the numbers, which come next
    starts = {name: starts_in(runs, length, plan) for name, runs in found.runs.items() if name in found.usable()}
    return MedicalRecipe(
        cutting, split, args.format, found.kind, plan.size, found.root, starts, found.gaps(), footage=footage
    )


def _unfit(found: Found, workers: int | None) -> dict[str, str]:
    """Sources that cannot be opened or are too small → why."""

    def fault(path: Path) -> str | None:
        try:
            FittedSource(open_source(path), found.plan.size)
        except UserError as error:
            return str(error)
        return None

    sources = found.usable()
    faults = for_all(fault, sources.values(), thread_count(workers))
    return {name: reason for name, reason in zip(sources, faults, strict=True) if reason}


def draw_splits(found: Found, shares: str | None, seed: int, unfit: Container[str] = ()) -> SplitRule:
    """The owners' test split, where there is one, and the rest by lot; as lists, so that later damage moves nobody.

    Args:
        shares: as --split has them, None for the defaults.
        unfit: sources that get no place.

    Raises:
        UserError: a share for the test where the owners chose it, or too few sources.
    """
    usable = [name for name in found.usable() if name not in unfit]
    fixed = {name: found.fixed[name] for name in usable if name in found.fixed}
    free = [name for name in usable if name not in fixed]
    default = SHARES_BESIDE_TEST if 'test' in fixed.values() else SHARES
    wanted = default if shares is None else parse_shares(shares)
    if 'test' in fixed.values() and wanted.get('test'):
        raise UserError(f'--split {shares}: {found.name} has a test split of its own; give shares of train and val')
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    drawn = SplitRule(shares=wanted, seed=seed).assign(free) if free else {}
    for split, names in drawn.items():
        lists[split] += names
    for name, split in fixed.items():
        lists[split].append(name)
    return SplitRule(lists={split: tuple(sorted(names)) for split, names in lists.items() if names}, seed=seed)


def _given(args: argparse.Namespace, found: Found) -> tuple[dict[str, Path], MedicalRecipe]:
    for name in ('degradation', 'clip_length', 'stride', 'max_clips', 'split', 'seed'):
        if getattr(args, name) is not None:
            raise UserError(f'--{name.replace("_", "-")}: the recipe says it already; leave out one of the two')
    if footage_of(args) != Footage(cuts=found.plan.cuts):
        raise UserError('--recipe says already how recordings are treated; leave out the options for that')
    given = ClipRecipe.read(args.recipe)
    if given.dataset != found.kind:
        raise UserError(f'{args.recipe}: is a recipe for {given.dataset}, not for {found.kind}')
    missing = [name for name in given.sources if name not in found.sources]
    if missing:
        first = given.sources[missing[0]].file
        raise UserError(f'{found.root}: {len(missing)} sources of the recipe are missing, first {first}')
    lists: dict[str, list[str]] = {}
    for name, source in sorted(given.sources.items()):
        lists.setdefault(source.split, []).append(name)
    split = SplitRule(lists={name: tuple(its) for name, its in lists.items()}, seed=given.seed)
    given = replace(given, scales=_scales(args, given.scales))
    cutting = Cutting(given.clip_length, given.clip_length, None, given.scales, None, given.degradations)
    starts = {name: source.starts for name, source in given.sources.items()}
    sources = {name: found.sources[name] for name in given.sources}
    what = given.dataset, given.size, found.root, starts, found.gaps(), given
    return sources, MedicalRecipe(cutting, split, args.format, *what, footage=given.footage)


def _scales(args: argparse.Namespace, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(args.scale)) if args.scale else default
