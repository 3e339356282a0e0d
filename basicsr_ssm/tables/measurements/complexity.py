"""Parameters and multiply-adds of a network, without computing anything: a clip of 50 frames takes seconds.

One multiply-add is two FLOPs. Both papers write FLOPs where they count multiply-adds. What counts, and what is stated
apart: see `basicsr_ssm.tables.counting.MultiplyAdds`. MedVSR's table counts convolutions and linear maps alone
('multiply_adds_of_modules', 9.45 T for 50 frames of 144×180 beside the published 9.46 T); VSRM's counts one frame in
the midst of a clip ('step').
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from basicsr_ssm.tables.complexity import count_parameters, recurrent_step
from basicsr_ssm.tables.counting import MultiplyAdds, count
from basicsr_ssm.tables.measurements.networks import build, window_of
from basicsr_ssm.tables.measurements.settings import frame_size, read_settings, whole

CONVENTION = (
    'Multiply-adds of convolutions, deformable convolutions, linear maps, attention and scans; FLOPs are twice as many.'
    ' The short convolutions inside of Mamba, bilinear sampling, norms, activations and gates are not in the total.'
)


@dataclass
class Settings:
    """Of the measurement 'complexity'.

    Args:
        size: of the LR frames: [height, width], or a side.
        frames: of the clip. A network that makes one frame of a fixed number is given so many.
        step: count one frame in the midst of a clip instead: of VSRM by the parts of a step, of others what one frame
            more costs.
    """

    size: tuple[int, int] = (64, 64)
    frames: int = 6
    step: bool = False

    def __post_init__(self):
        self.size = frame_size('size', self.size)
        whole('frames', self.frames)


def measure(network: dict, settings: dict, folder: Path) -> dict:
    """'parameters', 'multiply_adds' (of the whole clip, or of the step), 'flops', 'scans' and the rest by kind."""
    given = read_settings(Settings, 'complexity', settings)
    net = build(network)
    window = window_of(network)
    frames = window or (1 if given.step else given.frames)
    counted = _step(net, network, given.size) if given.step and not window else _clip(net, frames, given.size)
    kinds = asdict(counted)
    results = kinds.pop('results')
    return {
        'network': network['type'],
        'parameters': count_parameters(net),
        'multiply_adds': counted.total,
        'flops': 2 * counted.total,
        'multiply_adds_per_frame': counted.total // (1 if window else frames),
        'multiply_adds_of_modules': counted.convolutions + counted.linear,
        **kinds,
        'numbers_written': results,
        'size': list(given.size),
        'frames': frames,
        'step': given.step,
        'convention': CONVENTION,
    }


def _clip(net, frames: int, size: tuple[int, int]) -> MultiplyAdds:
    return count(lambda: net(torch.zeros(1, frames, 3, *size)))


def _step(net, network: dict, size: tuple[int, int]) -> MultiplyAdds:
    if network['type'] == 'VSRM' and size[0] == size[1]:
        return recurrent_step(net, size[0])
    reach = getattr(
        net, 'num_propagated', 2
    )  # frames back that propagation reaches: of the second order where it is one
    return _clip(net, reach + 2, size) + (-1) * _clip(net, reach + 1, size)
