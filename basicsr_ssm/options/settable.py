"""Which options --force_yml may add to a file."""

from __future__ import annotations

from basicsr_ssm.options import known
from basicsr_ssm.options.registered import registered_at


def known_keys(opt: dict, path: tuple[str, ...]) -> set[str]:
    """Keys that may be set in the section at ``path``, also if the file does not have them."""
    type_ = _type_at(opt, path)
    if registered := registered_at(path):
        function = registered.objects().get(type_)
        return {*registered.arguments(function)[0]} if function else set()
    match path:
        case []:
            return {*known.GENERAL, *known.GENERAL_OURS}
        case ['datasets', _]:
            return {*known.LOADER, *known.DATASETS.get(type_, ())}
        case ['path']:
            return {*known.PATH, *known.path_of_networks(known.starting_with(opt, 'network_'))}
        case ['train']:
            return {*known.TRAIN, *known.TRAIN_OTHER, *known.TRAIN_OURS}
        case ['val']:
            return {*known.VAL, *known.VAL_OURS}
        case ['logger']:
            return {*known.LOGGER}
        case ['logger', 'wandb']:
            return {*known.WANDB}
        case ['dist_params']:
            return {*known.DIST_PARAMS}
    return set()


def _type_at(opt: dict, path: tuple[str, ...]) -> str | None:
    here = opt
    for key in path:
        if isinstance(here, list):
            here = here[int(key)] if key.isdigit() and int(key) < len(here) else None
        else:
            here = here.get(key) if isinstance(here, dict) else None
    name = here.get('type') if isinstance(here, dict) else None
    return name if isinstance(name, str) else None
