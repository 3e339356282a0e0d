"""``--force_yml a:b=value``, without eval."""

from __future__ import annotations

from basicsr_ssm.options.errors import OptionError, did_you_mean
from basicsr_ssm.options.yaml_file import read_value


def apply_overrides(opt: dict, entries: list[str], known_keys=lambda opt, path: ()) -> None:
    """Set each ``key:key=value`` in ``opt``; values are read as in an option file, list items are numbered from 0.

    Args:
        opt: the options, changed in place.
        entries: what the command line gave.
        known_keys: called with the options and the path of a section; gives keys that may be set there though the file
            does not have them.

    Raises:
        OptionError: no '=', or a key that is neither in the file nor known.
    """
    for entry in entries:
        path, equals, text = entry.partition('=')
        if not equals:
            raise OptionError(f'--force_yml {entry}: expected KEY:KEY=VALUE')
        *sections, key = (part.strip() for part in path.split(':'))
        where = opt
        for depth, section in enumerate(sections):
            where = where[_existing(where, section, entry)]
            if not isinstance(where, dict | list):
                raise OptionError(f'--force_yml {entry}: {":".join(sections[: depth + 1])} has no options inside')
        key = _existing(where, key, entry, known_keys(opt, tuple(sections)))
        where[key] = read_value(text, f'--force_yml {entry}')


def _existing(where: dict | list, key: str, entry: str, more=()) -> str | int:
    if isinstance(where, list):
        if key.isdigit() and int(key) < len(where):
            return int(key)
        raise OptionError(f'--force_yml {entry}: {key} is no number of the {len(where)} items, counted from 0')
    if key in where or key in more:
        return key
    meant = did_you_mean(key, {*map(str, where), *more})
    raise OptionError(f'--force_yml {entry}: there is no option {key} to change; {meant}')
