"""What the checks of a data set found, by check."""

from __future__ import annotations

from dataclasses import dataclass, field

CHECKS = {
    'decoding': 'every frame decodes',
    'counts': 'clips and frames are those that are listed',
    'sizes': 'all frames of a clip have its size',
    'pairs': 'LQ frames belong to their GT frames',
    'checksums': 'nothing has changed since it was made',
    'sources': 'no source video in two splits',
    'duplicates': 'no near-duplicate clips across splits',
    'motion': 'no frozen frames, no jumps',
}


@dataclass(frozen=True)
class Finding:
    """
    Attributes:
        check: a key of CHECKS.
        what: in words.
        split, clip: where, as far as it is in one place.
        error: False for what is only worth a look.
    """

    check: str
    what: str
    split: str = ''
    clip: str = ''
    error: bool = True

    @property
    def where(self) -> str:
        return '/'.join(part for part in (self.split, self.clip) if part)


@dataclass
class Findings:
    """
    Attributes:
        found: everything, in no order.
        not_done: check → why it could not be made, or not everywhere.
        done: check → what was looked at, in words.
    """

    found: list[Finding] = field(default_factory=list)
    not_done: dict[str, str] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)

    def of(self, check: str) -> list[Finding]:
        """In order, errors first."""
        return sorted((f for f in self.found if f.check == check), key=lambda f: (not f.error, f.where, f.what))

    def verdict(self, check: str) -> str:
        """'failed', 'look', 'passed' or 'not checked'."""
        findings = self.of(check)
        if any(finding.error for finding in findings):
            return 'failed'
        if findings:
            return 'look'
        return 'not checked' if check not in self.done else 'passed'

    @property
    def failed(self) -> bool:
        return any(finding.error for finding in self.found)
