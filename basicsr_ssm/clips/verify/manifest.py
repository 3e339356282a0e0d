"""manifest.json of a data set, as far as it can be relied on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from basicsr_ssm.errors import UserError

KIND = re.compile(r'(GT|B[ID]x(\d+))(\.lmdb)?')


def read_manifest(root: Path) -> tuple[dict | None, list[str]]:
    """The manifest, or None where there is none, without the entries that do not say what they have to.

    Returns:
        The manifest, and what is wrong with those entries.

    Raises:
        UserError: it cannot be read, or is none.
    """
    path = root / 'manifest.json'
    if not path.exists():
        return None, []
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be read ({error})') from error
    if not isinstance(manifest, dict) or not {'settings', 'sources', 'clips'} <= set(manifest):
        raise UserError(f'{path}: is not the manifest of a prepared data set')
    faults = []
    if not isinstance(manifest['settings'], dict):
        faults.append(f'{path}: settings are damaged')
        manifest['settings'] = {}
    for part, fits in (('clips', _CLIP), ('sources', _SOURCE)):
        entries = manifest[part] if isinstance(manifest[part], list) else [manifest[part]]
        manifest[part] = []
        for number, entry in enumerate(entries, 1):
            wrong = _misfits(entry, fits)
            if wrong:
                faults.append(f'{path}: {part}, entry {number}: {", ".join(wrong)} missing or damaged')
            else:
                manifest[part].append(entry)
    return manifest, faults


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and n > 0 for n in value)


def _are_checksums(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(KIND.fullmatch(k) and _is_text(v) for k, v in value.items())


_SOURCE = {'name': _is_text, 'sha256': _is_text}
_CLIP = {
    'name': _is_text,
    'source': _is_text,
    'split': lambda value: isinstance(value, str),  # '' for a data set without splits
    'frames': lambda value: type(value) is int and value > 0,
    'size': _is_size,
    'sha256': _are_checksums,
}


def _misfits(entry: object, fits: dict) -> list[str]:
    if not isinstance(entry, dict):
        return ['all of it']
    return [key for key, fit in fits.items() if not fit(entry.get(key))]
