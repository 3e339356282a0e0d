"""The recipe that travels with a data set: which sources, which frames, which split, so that others get the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.medical.fitted_source import RULE
from basicsr_ssm.clips.splits import SPLITS
from basicsr_ssm.errors import UserError

VERSION = 1
FILE = 'recipe.yml'


@dataclass(frozen=True)
class SourceClips:
    """The clips of one source.

    Attributes:
        file: path below the data set's folder.
        sha256: of the file, or of the folder's images one after the other.
        split: where its clips go.
        starts: their first frames, rising.
    """

    file: str
    sha256: str
    split: str
    starts: tuple[int, ...]


@dataclass(frozen=True)
class ClipRecipe:
    """Clips of a data set.

    Attributes:
        dataset: the word after `prepare`.
        size: (h, w) of the ground truth.
        clip_length: frames in a clip.
        scales: low resolutions, each 1/scale.
        seed: what the splits were drawn with.
        sources: name → its clips.
        degradations: how low resolutions are made.
        footage: how recordings are treated.
    """

    dataset: str
    size: tuple[int, int]
    clip_length: int
    scales: tuple[int, ...]
    seed: int
    sources: dict[str, SourceClips]
    degradations: tuple[str, ...] = ('bicubic',)
    footage: Footage = field(default_factory=Footage)

    @classmethod
    def of(cls, manifest: dict) -> ClipRecipe:
        """What a finished data set was made by; sources without a clip are left out.

        A listed clip that a cut has spoilt stays listed: clips are numbered by the list.
        """
        settings = manifest['settings']
        starts: dict[str, list[int]] = {}
        for clip in manifest['clips']:
            starts.setdefault(clip['source'], []).append(clip['first_frame'])
        sources = {
            source['name']: SourceClips(
                source['file'],
                source['sha256'],
                source['split'],
                tuple(source.get('starts') or starts[source['name']]),
            )
            for source in manifest['sources']
            if source['name'] in starts
        }
        size, scales = tuple(settings['size']), tuple(settings['scales'])
        treated = tuple(settings['degradations']), Footage.of(settings['footage'])
        return cls(settings['dataset'], size, settings['clip_length'], scales, settings['seed'], sources, *treated)

    @classmethod
    def read(cls, path: Path) -> ClipRecipe:
        """
        Raises:
            UserError: no such file, or not a recipe of this version.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f'{path}: cannot be read ({getattr(error, "strerror", None) or "is not text"})') from error
        except yaml.YAMLError as error:
            raise UserError(f'{path}: is not YAML ({" ".join(str(error).split())})') from error
        if not isinstance(content, Mapping) or content.get('recipe') != VERSION:
            raise UserError(f'{path}: is not a recipe of version {VERSION}')
        if content.get('fit') != RULE:
            raise UserError(f'{path}: fits sizes in a way that is unknown here: {content.get("fit")!r}')
        try:
            sources = {str(name): _source_clips(entry) for name, entry in content['sources'].items()}
            numbers = {key: int(content[key]) for key in ('clip_length', 'seed')}
            h, w = map(int, content['size'])
            return cls(
                str(content['dataset']),
                (h, w),
                scales=tuple(map(int, content['scales'])),
                sources=sources,
                degradations=tuple(map(str, content['degradations'])),
                footage=Footage.of(content['footage']),
                **numbers,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f'{path}: is not a complete recipe ({type(error).__name__}: {error})') from error

    def text(self) -> str:
        """As the file holds it; the same recipe gives the same bytes."""
        content = {
            'recipe': VERSION,
            'dataset': self.dataset,
            'size': list(self.size),
            'fit': RULE,
            'clip_length': self.clip_length,
            'scales': list(self.scales),
            'degradations': list(self.degradations),
            'footage': self.footage.settings(),
            'seed': self.seed,
            'sources': {
                name: {'file': s.file, 'sha256': s.sha256, 'split': s.split, 'starts': list(s.starts)}
                for name, s in sorted(self.sources.items())
            },
        }
        head = f'# basicsr-ssm prepare {self.dataset} --recipe FILE … makes these clips again.\n'
        return head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110)

    @property
    def digest(self) -> str:
        """Tells recipes apart."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def _source_clips(entry: dict) -> SourceClips:
    starts = tuple(int(start) for start in entry['starts'])
    if not starts or any(a >= b for a, b in zip(starts, starts[1:], strict=False)) or starts[0] < 0:
        raise ValueError(f'starts {list(starts)} do not rise')
    if entry['split'] not in SPLITS:
        raise ValueError(f'there is no split {entry["split"]}')
    return SourceClips(str(entry['file']), str(entry['sha256']), entry['split'], starts)
