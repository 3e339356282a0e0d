"""What real recordings need before they are cut into clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from basicsr_ssm.errors import UserError

Region = tuple[int, int, int, int]  # x, y, width, height in pixels of the source's frames

CUTS = ('avoid', 'ignore')
DUPLICATES = ('keep', 'drop', 'avoid')
DAMAGED = ('refuse', 'avoid')
DEINTERLACE = ('off', 'bwdif')


@dataclass(frozen=True)
class Footage:
    """How recordings are treated; the default changes no pixel and no order of frames.

    Attributes:
        cuts: 'avoid': no clip spans an abrupt cut; 'ignore': they are only reported.
        duplicates: frames that repeat the one before. 'keep': only reported; 'drop': left out, and clips go on over
            the gap; 'avoid': no clip holds one.
        damaged: 'refuse': a source with a damaged frame is not used; 'avoid': no clip holds one. Of a video the
            frames after the damage are not used, either.
        deinterlace: 'bwdif': FFmpeg's filter of this name for sources whose frames show combing; 'off': only reported.
        crop_borders: crop each source to the smallest rectangle that holds its field of view.
        masks: save each source's field of view as a PNG. Cropping saves it, too.
        blank: regions that become black, before anything else.
        drop_regions: regions that are cropped away: the largest rectangle beside them stays.

    Raises:
        UserError: an unknown word, or a region without area.
    """

    cuts: str = 'avoid'
    duplicates: str = 'keep'
    damaged: str = 'refuse'
    deinterlace: str = 'off'
    crop_borders: bool = False
    masks: bool = False
    blank: tuple[Region, ...] = ()
    drop_regions: tuple[Region, ...] = ()

    def __post_init__(self):
        words = {'cuts': CUTS, 'duplicates': DUPLICATES, 'damaged': DAMAGED, 'deinterlace': DEINTERLACE}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise UserError(f'{name}: {getattr(self, name)} is not one of {", ".join(known)}')
        for x, y, w, h in (*self.blank, *self.drop_regions):
            if min(x, y) < 0 or min(w, h) < 1:
                raise UserError(f'region {x},{y},{w},{h}: x and y start at 0, width and height at 1')

    @classmethod
    def of(cls, settings: Mapping) -> Footage:
        """From what `settings` gave, also by way of a file."""
        regions = {
            name: tuple(tuple(map(int, region)) for region in settings[name]) for name in ('blank', 'drop_regions')
        }
        return cls(**{**settings, **regions})

    @property
    def edits(self) -> bool:
        """Whether any pixel may change."""
        return bool(self.crop_borders or self.masks or self.blank or self.drop_regions or self.deinterlace != 'off')

    def settings(self) -> dict:
        """For the manifest."""
        lists = {name: [list(region) for region in getattr(self, name)] for name in ('blank', 'drop_regions')}
        return {**asdict(self), **lists}


def parse_region(text: str) -> Region:
    """'x,y,width,height' → Region.

    Raises:
        UserError: anything else.
    """
    try:
        x, y, w, h = (int(part) for part in text.split(','))
    except ValueError:
        raise UserError(f'region {text}: expected x,y,width,height in pixels, as in 0,0,320,40') from None
    return x, y, w, h
