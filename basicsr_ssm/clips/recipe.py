"""Everything that decides what a data set that is cut from recordings holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.edited_source import open_footage
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.frame_source import FrameSource
from basicsr_ssm.clips.imresize import SCALES
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.errors import UserError
from basicsr_ssm.version import __version__

FORMS = ('lmdb', 'png')


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the data set holds.

    Attributes:
        cutting: length, stride, number and scales of the clips.
        split: which sources go where.
        form: 'lmdb' or 'png'.
        footage: how recordings are treated before they are cut.
        anonymous: the manifest names no file or folder of a source.
    """

    cutting: Cutting
    split: SplitRule = field(default_factory=SplitRule)
    form: str = 'lmdb'
    footage: Footage = field(default_factory=Footage, kw_only=True)
    anonymous: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        cutting = self.cutting
        most = 1 if cutting.max_clips is None else cutting.max_clips
        if min(cutting.clip_length, cutting.stride, most) < 1:
            raise UserError('clip length, stride and the most clips of a source must be at least 1')
        if not cutting.scales or set(cutting.scales) - set(SCALES) or len(set(cutting.scales)) < len(cutting.scales):
            raise UserError(f'scales must be different ones of {", ".join(map(str, SCALES))}')
        cutting.check_degradations()
        if self.form not in FORMS:
            raise UserError(f'format {self.form} is not one of {", ".join(FORMS)}')

    @classmethod
    def of(cls, settings: dict) -> Recipe:
        """The recipe of these `settings()`, without what a kind of data set adds to them."""
        split = settings['split']
        listed = any(isinstance(value, list) for value in split.values())
        cutting = Cutting(
            settings['clip_length'],
            settings['stride'],
            settings['max_clips'],
            tuple(settings['scales']),
            None,
            tuple(settings['degradations']),
        )
        rule = {'lists': {k: tuple(v) for k, v in split.items()}} if listed else {'shares': split}
        return Recipe(
            cutting,
            SplitRule(**rule, seed=settings['seed']),
            settings['format'],
            footage=Footage.of(settings['footage']),
            anonymous=settings['anonymous'],
        )

    def cutting_of(self, name: str, source: FrameSource) -> Cutting:
        """How the source of this name is cut; a recipe that lists the clips of each source overrides it."""
        return replace(self.cutting, gaps=source.gaps)

    def note_of(self, name: str, path: Path) -> dict:
        """What the manifest says of a source beyond what all recipes say; a recipe that plans clips overrides it."""
        return {}

    def open(self, path: Path) -> FrameSource:
        """The frames of a source as they are cut; a recipe that fixes their size overrides it."""
        return open_footage(path, self.footage)

    def check_sources(self, digests: dict[str, str]) -> None:
        """Raise UserError for sources (name → checksum) that it was not made for; a recipe that knows overrides it."""

    def settings(self) -> dict:
        """For the manifest, and for telling whether an output was begun with the same settings."""
        cutting, split = self.cutting, self.split
        return {
            'package_version': __version__,
            'clip_length': cutting.clip_length,
            'stride': cutting.stride,
            'max_clips': cutting.max_clips,
            'scales': list(cutting.scales),
            'format': self.form,
            'split': {k: list(v) for k, v in split.lists.items()} if split.lists else split.shares,
            'seed': split.seed,
            'degradations': list(cutting.degradations),
            'footage': self.footage.settings(),
            'anonymous': self.anonymous,
        }
