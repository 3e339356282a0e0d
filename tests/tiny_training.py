"""A training run small enough for tests: a network of three convolutions on clips that are made up on the spot.

Also a script, ``python tiny_training.py COMMAND …``: what a user's own BasicSR script would look like. The environment
variable KILLED_BEFORE=NAME makes it die (kill -9) when the file NAME is about to appear.
"""

import basicsr_ssm  # noqa: F401  # isort: skip  (before BasicSR, which needs its repairs)

import copy
import os
import random
import signal
import sys
from pathlib import Path

import torch
import yaml
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY
from torch import nn
from torch.nn import functional as F

from basicsr_ssm import cli
from basicsr_ssm.errors import UserError

LQ_SIZE = 8
N_FRAMES = 3


@ARCH_REGISTRY.register()
class TinyNet(nn.Module):
    """(n, t, 3, h, w) → (n, t, 3, 2h, 2w), with a part named like a flow network, and dropout to use random numbers."""

    def __init__(self, width: int = 4, dropout: float = 0.2, scale: int = 2):
        super().__init__()
        self.spynet = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.last = nn.Conv2d(2 * width, 3 * scale**2, 3, padding=1)
        self.dropout = dropout
        self.scale = scale

    def forward(self, lq):
        x = lq.flatten(0, 1)
        features = torch.cat([self.spynet(x), self.body(x)], 1).relu()
        features = F.dropout(features, self.dropout, self.training)
        out = F.pixel_shuffle(self.last(features), self.scale) + F.interpolate(x, scale_factor=self.scale)
        return out.unflatten(0, lq.shape[:2])


@ARCH_REGISTRY.register()
class MiddleFrame(nn.Module):
    """(n, t, 3, h, w) → its frame in the middle, (n, 3, h, w): what a perfect sliding-window model does at scale 1."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, lq):
        return lq[:, lq.size(1) // 2]


def made_up_clip(seed):
    gt = torch.rand(N_FRAMES, 3, 2 * LQ_SIZE, 2 * LQ_SIZE, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(gt, 2), gt


@DATASET_REGISTRY.register()
class TinyClips(torch.utils.data.Dataset):
    """Training clips, augmented with noise from (seed, draw). Clip ``bad`` is NaN, clip ``damaged`` cannot be read."""

    def __init__(self, opt):
        self.opt = opt

    def __len__(self):
        return self.opt['clips']

    def __getitem__(self, index):
        if index == self.opt.get('damaged'):
            raise UserError(f'clip{index}: cannot be read')
        lq, gt = made_up_clip(int(index))
        rng = random.Random(f'{self.opt["seed"]} {index.draw}')
        lq = lq + 0.1 * rng.random()
        if index == self.opt.get('bad'):
            lq[0, 0, 0, 0] = float('nan')
        return {'lq': lq, 'gt': gt, 'key': f'clip{int(index)}'}


@DATASET_REGISTRY.register()
class TinyTestClips(torch.utils.data.Dataset):
    """Whole clips, kept in memory as BasicSR's cached sets are; ``gt: false`` leaves the ground truth out."""

    def __init__(self, opt):
        self.opt = opt
        self.folders = opt['folders']
        self.data_info = {'folder': [folder for folder in self.folders for _ in range(N_FRAMES)]}
        self.cached = [made_up_clip(1000 + i) for i in range(len(self.folders))]

    def __len__(self):
        return len(self.folders)

    def __getitem__(self, index):
        lq, gt = self.cached[index]
        item = {'lq': lq, 'gt': gt, 'folder': self.folders[index]}
        if self.opt.get('gt') is False:
            del item['gt']
        return item


OPTIONS = {
    'name': 'tiny',
    'model_type': 'VideoSSMModel',
    'scale': 2,
    'num_gpu': 0,
    'manual_seed': 3,
    'datasets': {
        'train': {
            'name': 'clips',
            'type': 'TinyClips',
            'clips': 9,
            'num_worker_per_gpu': 0,
            'batch_size_per_gpu': 2,
        },
        'val': {'name': 'any name', 'type': 'TinyTestClips', 'folders': ['a', 'b']},
    },
    'network_g': {'type': 'TinyNet'},
    'path': {},
    'train': {
        'total_iter': 10,
        'ema_decay': 0.9,
        'optim_g': {'type': 'Adam', 'lr': 0.002, 'betas': [0.9, 0.99]},
        'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [10], 'restart_weights': [1], 'eta_min': 1e-7},
        'fix_flow': 6,
        'flow_lr_mul': 0.125,
        'pixel_opt': {'type': 'CharbonnierLoss', 'loss_weight': 1.0, 'reduction': 'mean'},
    },
    'val': {
        'val_freq': 5,
        'pbar': False,
        'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}},
    },
    'logger': {'print_freq': 1, 'save_checkpoint_freq': 3},
}


def options(**changes):
    """OPTIONS with changes written as {'train:amp': 'bf16'} under their path; None removes."""
    opt = copy.deepcopy(OPTIONS)
    for path, value in changes.items():
        *sections, key = path.split(':')
        where = opt
        for section in sections:
            where = where.setdefault(section, {})
        if value is None:
            where.pop(key, None)
        else:
            where[key] = copy.deepcopy(value)  # a later path may change what is inside
    return opt


def write_options(folder, **changes):
    path = Path(folder, 'tiny.yml')
    path.write_text(yaml.safe_dump(options(**changes), sort_keys=False))
    return str(path)


def log_below(folder):
    """What the runs below a folder logged: all of a test into the first one's file, for BasicSR opens no other."""
    return '\n'.join(path.read_text() for path in folder.rglob('*.log'))


def _die_before(name):
    really_replace = os.replace

    def replace(source, target):
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        really_replace(source, target)

    os.replace = replace


if __name__ == '__main__':
    torch.set_num_threads(1)
    if 'KILLED_BEFORE' in os.environ:
        _die_before(os.environ['KILLED_BEFORE'])
    sys.exit(cli.main())
