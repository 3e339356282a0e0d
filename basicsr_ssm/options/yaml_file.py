"""Reading option files: plain YAML, nothing executed, every mistake with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from basicsr_ssm.options.errors import OptionError


class _OptionLoader(yaml.SafeLoader):
    """SafeLoader that also reads 2e-4 as a number, and refuses a key that is written twice."""

    def construct_mapping(self, node, deep=False):
        seen = {}
        for key_node, _ in node.value:
            if key_node.tag == 'tag:yaml.org,2002:merge':
                continue
            key, problem = key_node.value, None
            if not isinstance(key_node, yaml.ScalarNode):
                problem = 'the name of an option is one word'
            elif key in seen:
                problem = f'option {key} is written twice, first in line {seen[key] + 1}'
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen[key] = key_node.start_mark.line
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML follows, wants a dot and a sign in an exponent; people write 2e-4.
_OptionLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$'), list('-+0123456789')
)


def read_options(path: str | Path) -> dict:
    """The mapping in an option file, in its order.

    Raises:
        OptionError: no such file, no YAML, no mapping, a key written twice, or a tag beyond plain values
            (``!!python/…`` would run code).
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f'cannot read option file {path}: {error}') from error
    opt = _load(text, str(path))
    if not isinstance(opt, dict):
        raise OptionError(f'{path}: an option file is a mapping of options, this is {_kind(opt)}')
    return opt


def read_value(text: str, where: str) -> object:
    """One value, as it would be read in an option file; BasicSR's ``None`` is understood, too."""
    return None if text.strip().lower() == 'none' else _load(text, where)


def _load(text: str, source: str) -> object:
    try:
        return _unshared(yaml.load(text, Loader=_OptionLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f'{source}, line {mark.line + 1}' if mark else source
        problem = error.problem or str(error)
        if 'could not determine a constructor' in problem:
            tag = re.sub(r"^.*tag '(tag:yaml.org,2002:)?([^']*)'.*$", r'\2', problem)
            problem = f'tag !!{tag} is not allowed: option files hold plain values, nothing that runs code'
        raise OptionError(f'{line}: {problem}') from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: !!float abc, an impossible date
        raise OptionError(f'{source}: {error}') from error


def _unshared(value: object, around: tuple[int, ...] = ()) -> object:
    """A copy in which every alias has a section of its own: BasicSR takes options out of sections as it uses them."""
    if not isinstance(value, dict | list):
        return value
    if id(value) in around:
        raise ValueError('an alias stands inside of what it is an alias of')
    around = (*around, id(value))
    if isinstance(value, list):
        return [_unshared(item, around) for item in value]
    return {key: _unshared(item, around) for key, item in value.items()}


def _kind(value: object) -> str:
    return 'empty' if value is None else f'a {type(value).__name__}'
