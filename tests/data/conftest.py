"""Tiny clips on disk and in LMDB. LQ is every scale-th pixel of GT, so that alignment can be checked exactly."""

import random
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

import basicsr_ssm  # noqa: F401  makes BasicSR importable, before the tests import it


class ClipMaker:
    """Writes clips below ``root``: GT in one store, LQ = GT[::scale, ::scale] in another."""

    def __init__(self, root: Path, scale: int = 2):
        self.root, self.scale = root, scale
        self.frames: dict[str, list[np.ndarray]] = {}

    def clip(self, name: str, count: int, size=(24, 32)) -> 'ClipMaker':
        rng = np.random.default_rng(len(self.frames))
        self.frames[name] = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
        return self

    def pairs(self):
        for name, frames in self.frames.items():
            for i, frame in enumerate(frames):
                yield name, i, frame, np.ascontiguousarray(frame[:: self.scale, :: self.scale])

    def to_folders(self, gt_name='{:08d}.png', lq_name='{:08d}.png') -> dict:
        for name, i, gt, lq in self.pairs():
            for folder, frame, frame_name in (('GT', gt, gt_name), ('LQ', lq, lq_name)):
                path = self.root / folder / name / frame_name.format(i)
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), frame)
        return self.options(self.root / 'GT', self.root / 'LQ', 'disk')

    def to_lmdb(self) -> dict:
        for k, folder in ((0, 'GT'), (1, 'LQ')):
            root = self.root / f'{folder}.lmdb'
            environment = lmdb.open(str(root), map_size=1 << 24)
            lines = []
            with environment.begin(write=True) as transaction:
                for name, i, *frames in self.pairs():
                    h, w, c = frames[k].shape
                    transaction.put(f'{name}/{i:08d}'.encode(), cv2.imencode('.png', frames[k])[1].tobytes())
                    lines.append(f'{name}/{i:08d}.png ({h},{w},{c}) 1\n')
            environment.close()
            (root / 'meta_info.txt').write_text(''.join(lines))
        return self.options(self.root / 'GT.lmdb', self.root / 'LQ.lmdb', 'lmdb')

    def write_meta_info(self, path: Path) -> None:
        lines = [f'{name} {len(f)} ({f[0].shape[0]},{f[0].shape[1]},3)\n' for name, f in self.frames.items()]
        path.write_text(''.join(lines))

    def options(self, gt, lq, backend) -> dict:
        return {
            'name': 'tiny',
            'dataroot_gt': str(gt),
            'dataroot_lq': str(lq),
            'io_backend': {'type': backend},
            'scale': self.scale,
            'num_frame': 3,
            'gt_size': 16,
        }


@pytest.fixture
def make(tmp_path) -> ClipMaker:
    return ClipMaker(tmp_path)


@pytest.fixture
def rgb():
    """uint8 BGR frames, as the maker keeps them, into what a dataset should return."""

    def convert(frames):
        return np.stack([frame[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255.0 for frame in frames])

    return convert


@pytest.fixture(autouse=True)
def _fixed_global_random():
    random.seed(0)
