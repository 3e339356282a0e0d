"""Which source goes into which split: whole sources only, so that no clip of a training video is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from basicsr_ssm.errors import UserError

SPLITS = ('train', 'val', 'test')
ROUNDING = 0.0101  # three thirds may be written as 0.33


@dataclass(frozen=True)
class SplitRule:
    """Either shares or lists.

    Attributes:
        shares: split → share of the sources, adding up to 1; used when no list is given.
        lists: split → names of its sources; the sources that no list names go to train.
        seed: another seed draws other sources for the shares.

    Raises:
        UserError: a split that is none of SPLITS, or shares that are none.
    """

    shares: dict[str, float] = field(default_factory=lambda: {'train': 0.8, 'val': 0.1, 'test': 0.1})
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        unknown = [split for split in (*self.shares, *self.lists) if split not in SPLITS]
        if unknown:
            raise UserError(f'there is no split {unknown[0]}; there are {", ".join(SPLITS)}')
        _check_shares(self.shares)

    def assign(self, names: Sequence[str]) -> dict[str, list[str]]:
        """split → its sources, sorted; only splits that were asked for.

        With shares the sources are ordered by a hash of seed and name, so the result depends neither on their order
        nor on the Python version. Every split with a share gets at least one source.

        Raises:
            UserError: more splits than sources.
        """
        if self.lists:
            listed = {name: split for split, its in self.lists.items() for name in its}
            splits = {split: [] for split in SPLITS if split == 'train' or split in self.lists}
            for name in sorted(names):
                splits[listed.get(name, 'train')].append(name)
            return splits if splits['train'] else {k: v for k, v in splits.items() if k != 'train'}
        shares = {split: self.shares[split] for split in SPLITS if self.shares.get(split)}
        if len(names) < len(shares):
            raise UserError(
                f'{len(shares)} splits ({", ".join(shares)}) need as many sources, but there '
                f'{"is" if len(names) == 1 else "are"} {len(names)} that can be used: clips of one source never go '
                f'into two splits. Add sources or ask for fewer splits, for example --split train=1'
            )
        total = sum(shares.values())
        counts = dict.fromkeys(shares, 1)
        for _ in range(len(names) - len(shares)):  # one more to whichever is furthest below its share
            counts[max(shares, key=lambda s: shares[s] / total * len(names) - counts[s])] += 1
        drawn = sorted(names, key=lambda name: hashlib.sha256(f'{self.seed}:{name}'.encode()).digest())
        splits, first = {}, 0
        for split, count in counts.items():
            splits[split] = sorted(drawn[first : first + count])
            first += count
        return splits

    def check_names(self, names: Sequence[str]) -> None:
        """Raise UserError when a list names an unknown source, or one source twice."""
        seen = set()
        for split, its in self.lists.items():
            for name in its:
                if name not in names:
                    raise UserError(f'--{split}: there is no source named {name}; there are {", ".join(sorted(names))}')
                if name in seen:
                    raise UserError(f'--{split}: {name} is listed twice')
                seen.add(name)


def parse_shares(text: str) -> dict[str, float]:
    """'train=0.8,val=0.1,test=0.1' → {'train': 0.8, …}; raises UserError on anything else."""
    shares: dict[str, float] = {}
    for part in text.split(','):
        split, _, value = part.partition('=')
        split = split.strip()
        if split not in SPLITS or split in shares:
            raise UserError(f'--split {text}: expected each of train, val, test at most once, as in train=0.8,val=0.2')
        try:
            shares[split] = float(value)
        except ValueError:
            raise UserError(f'--split {text}: {value!r} is not a number') from None
    _check_shares(shares)
    return shares


def _check_shares(shares: dict[str, float]) -> None:
    text = ','.join(f'{split}={share:g}' for split, share in shares.items())
    if not all(0 <= share <= 1 for share in shares.values()):  # NaN neither
        raise UserError(f'--split {text}: a share is a number from 0 to 1')
    total = sum(shares.values())
    if abs(total - 1) > ROUNDING:
        raise UserError(f'--split {text}: the shares add up to {total:g}, not to 1')
