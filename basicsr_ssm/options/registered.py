"""Sections whose options are the arguments of what their ``type`` names: where they are, and which names there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from basicsr_ssm.options.kinds import Kind, anything, count, limits, number, numbers, of_signature, one_of, section
from basicsr_ssm.options.known import METRICS_OF_TENSORS


@dataclass(frozen=True)
class Registered:
    """What the ``type`` of a section may name.

    Attributes:
        what: how messages call it.
        entries: pairs of name and class or function; a name may end in BasicSR's suffix.
        unfit: names that are there, but of no use here.
        given: arguments that are no options, for BasicSR gives them.
        kinds: of arguments of BasicSR's, PyTorch's and ours whose signature does not say it.
        needed: arguments that BasicSR needs, though they have a default.
        beside: options that BasicSR reads beside the arguments.
        strict: their ``**kwargs`` take no further options.
    """

    what: str
    entries: Iterable[tuple[str, Callable]]
    unfit: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    beside: Mapping[str, Kind] = field(default_factory=dict)
    strict: bool = False

    def objects(self) -> dict[str, Callable]:
        fit = [(name, value) for name, value in self.entries if name not in self.unfit]
        return {key: value for name, value in fit for key in (name.removesuffix('_basicsr'), name)}

    def arguments(self, function: Callable) -> tuple[dict[str, Kind], list[str], bool]:
        """Kinds of all options by name; the names of those that are needed; whether there may be further ones."""
        kinds, needed, open_ended = of_signature(function, self.given)
        if function.__module__.startswith(('basicsr.', 'basicsr_ssm.', 'torch.')):
            kinds.update({name: kind for name, kind in self.kinds.items() if name in kinds})
            open_ended = open_ended and not self.strict
        return {'type': anything, **kinds, **self.beside}, [*needed, *self.needed], open_ended


MODEL = Registered('model', MODEL_REGISTRY)
DATASET = Registered('dataset', DATASET_REGISTRY)
NETWORK = Registered('arch', ARCH_REGISTRY)
# BasicSR 1.4.2 knows no other
OPTIMIZER = Registered(
    'optimizer', [('Adam', torch.optim.Adam)], given=('params',), kinds={'lr': number}, needed=('lr',)
)
SCHEDULER = Registered(
    'scheduler',
    [
        ('MultiStepLR', lr_scheduler.MultiStepRestartLR),
        ('MultiStepRestartLR', lr_scheduler.MultiStepRestartLR),
        ('CosineAnnealingRestartLR', lr_scheduler.CosineAnnealingRestartLR),
    ],
    given=('optimizer',),
    kinds={'periods': limits, 'milestones': numbers},
)
# 'none' would leave no single number to go down from
LOSS = Registered('loss', LOSS_REGISTRY, kinds={'reduction': one_of('mean', 'sum'), 'layer_weights': section})
METRIC = Registered(
    'metric',
    METRIC_REGISTRY,
    unfit=METRICS_OF_TENSORS,
    given=('img', 'img2', 'mask'),
    kinds={'crop_border': count, 'input_order': one_of('HWC', 'CHW'), 'convert_to': one_of('y', 'gray')},
    beside={'better': one_of('higher', 'lower')},
    strict=True,
)


def registered_at(path: tuple[str, ...]) -> Registered | None:
    """What describes the section at ``path``, if it is one of these."""
    match path:
        case [name] if name.startswith('network_'):
            return NETWORK
        case ['train', 'scheduler']:
            return SCHEDULER
        case ['train', name] if name.startswith('optim_'):
            return OPTIMIZER
        case ['train', name] if name.endswith('_opt'):
            return LOSS
        case ['train', 'extra_losses', _]:
            return LOSS
        case ['val', 'metrics', _]:
            return METRIC
    return None
