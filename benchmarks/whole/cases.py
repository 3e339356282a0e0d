"""The networks and clips."""

from __future__ import annotations

from dataclasses import dataclass, field

MEDVSR = {'type': 'MedVSR'}
VSRM = {'type': 'VSRM'}
PEERS = {
    'BasicVSR': {'type': 'BasicVSR', 'num_feat': 64, 'num_block': 30},
    'BasicVSR++': {'type': 'BasicVSRPlusPlus', 'mid_channels': 64, 'num_blocks': 7},
}


@dataclass(frozen=True)
class Inference:
    """A network on clips of `frames` × `size`; `short` and `reference` frames where it is to be quick or slow is."""

    name: str
    network: dict
    frames: int
    size: tuple[int, int]
    short: int
    reference: int
    peers: dict[str, dict] = field(default_factory=lambda: PEERS)

    def clip(self, short: bool) -> tuple[int, int, int]:
        return (self.short if short else self.frames, *self.size)


@dataclass(frozen=True)
class Training:
    """A network on batches of clips of `frames` × 64 × 64, in the precision of its option file.

    `reference` frames in plain PyTorch; 0 where another case has the same.
    """

    name: str
    network: dict
    batch: int
    frames: int
    precision: str
    reference: int
    size: int = 64
    short: bool = True


INFERENCE = {
    'medvsr-144x180': Inference('MedVSR', MEDVSR, 50, (144, 180), short=10, reference=50),
    'medvsr-512x512': Inference('MedVSR', MEDVSR, 10, (512, 512), short=4, reference=10),
    'vsrm-180x320': Inference('VSRM', VSRM, 6, (180, 320), short=3, reference=2),
}
TRAINING = {
    'train-medvsr-1': Training('MedVSR', MEDVSR, 1, 6, 'fp32', reference=6),
    'train-medvsr-8': Training('MedVSR', MEDVSR, 8, 6, 'fp32', reference=6, short=False),
    'train-vsrm-n6': Training('VSRM', VSRM, 1, 6, 'bf16', reference=2),
    'train-vsrm-n16': Training('VSRM', VSRM, 1, 16, 'bf16', reference=0, short=False),
}

_MEDVSR = {**MEDVSR, 'mid_channels': 32, 'num_blocks': 1, 'n_convfe': 1, 'n_convrec': 2}
_VSRM = {**VSRM, 'embed_dim': 12, 'depths': [1], 'd_state': 4}
_PEERS = {'BasicVSR': {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}}
TINY_INFERENCE = {
    'medvsr-144x180': Inference('MedVSR', _MEDVSR, 2, (64, 64), short=2, reference=2, peers=_PEERS),
    'vsrm-180x320': Inference('VSRM', _VSRM, 2, (32, 32), short=2, reference=2, peers={}),
}
TINY_TRAINING = {
    'train-medvsr-1': Training('MedVSR', _MEDVSR, 1, 2, 'fp32', reference=2),
    'train-vsrm-n6': Training('VSRM', _VSRM, 1, 2, 'bf16', reference=1, size=32),
}
