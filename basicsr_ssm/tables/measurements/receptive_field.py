"""The effective receptive field (Luo et al., 2016): how much each input pixel moves the centre pixel of the result.

As Fig. 6 of VSRM shows it: the gradient of the sum of the centre pixel's channels, in the middle frame, over the clip;
absolute, summed over channels and frames, averaged over clips. In float32, eager. The bilinearly enlarged frame that
these networks add to their result is left out, unless it is asked for: it is the same four pixels in all of them, and
outshines the rest of an untrained one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from basicsr_ssm.errors import UserError
from basicsr_ssm.files import write_file
from basicsr_ssm.tables.field_picture import field_picture, side_by_side
from basicsr_ssm.tables.flow_error import clips_in
from basicsr_ssm.tables.measurements.networks import build, window_of
from basicsr_ssm.tables.measurements.running import check_device, device_that_is_there, environment, tensor_float_32
from basicsr_ssm.tables.measurements.settings import frame_size, read_settings, whole
from basicsr_ssm.tables.peers import deform_conv_that_runs

THRESHOLDS = (0.1, 0.01, 0.001, 0.0001)
SHARES = (0.5, 0.9)
_TEXTURE = 3  # pixels: standard deviation of the blur of the clips that are made up


@dataclass
class Settings:
    """Of the measurement 'receptive_field'.

    Args:
        size: of the LR frames: [height, width], or a side.
        frames: of a clip. A network that makes one frame of a fixed number is given so many.
        clips: over how many to average.
        weights: checkpoint of the network; without one it is measured as it is initialised.
        skip: with what the enlarged frame itself adds.
        data: an LMDB, or a folder of videos or of folders of frames: LR frames, of which the middle is cut. Without it
            the clips are smooth random textures that move by a pixel a frame.
        label: name in pictures and of the files; default: the type of the network.
        device: None is the GPU, or the CPU where there is none.
    """

    size: tuple[int, int] = (64, 64)
    frames: int = 6
    clips: int = 4
    weights: str | None = None
    skip: bool = False
    data: str | None = None
    label: str | None = None
    device: str | None = None

    def __post_init__(self):
        self.size = frame_size('size', self.size)
        whole('frames', self.frames)
        whole('clips', self.clips)
        check_device(self.device)


def measure(network: dict, settings: dict, folder: Path) -> dict:
    """Figures; in the folder receptive_field_<label>.npy, the map, and .png, and receptive_field.png of all maps there.

    'share_above': share of the pixels whose gradient is above a share of the largest. 'radius': of the circle around
    the centre pixel, LR pixels, that holds a share of all gradient. 'by_frame': share of each frame of the clip.
    """
    given = read_settings(Settings, 'receptive_field', settings)
    given.device = device_that_is_there(given.device)
    torch.manual_seed(0)
    net = build(network, given.weights).requires_grad_(False).to(given.device)
    frames = window_of(network) or given.frames
    fields = []
    for clip in _clips(given, frames):
        with tensor_float_32(False), deform_conv_that_runs():
            fields.append(field_of(net, clip.to(given.device), given.skip).cpu().double().numpy())
    field = np.mean(fields, axis=0)
    label = given.label or network['type']
    name = 'receptive_field_' + re.sub(r'[^\w+-]+', '_', label)
    figures = {**figures_of(field), 'clips': len(fields), 'size': list(given.size), 'frames': frames}
    _write_map(folder / f'{name}.npy', field.sum(0))
    _write_picture(folder / f'{name}.png', field_picture(field.sum(0), label, figures['radius']))
    maps = {path.stem.removeprefix('receptive_field_'): np.load(path) for path in folder.glob('receptive_field_*.npy')}
    _write_picture(folder / 'receptive_field.png', side_by_side(maps))
    return {
        'network': network['type'],
        **figures,
        'trained': given.weights is not None,
        'skip': given.skip,
        'data': given.data,
        'map': f'{name}.npy',
        'picture': f'{name}.png',
        'pictures_beside': 'receptive_field.png',
        **environment(given.device),
    }


def field_of(net: nn.Module, clip: torch.Tensor, skip: bool) -> torch.Tensor:
    """(t, h, w): the absolute gradient of the centre pixel over a clip (1, t, 3, h, w), summed over channels."""
    clip = clip.clone().requires_grad_()
    out = net(clip)
    frame = out[:, out.shape[1] // 2] if out.dim() == 5 else out
    if not skip:
        middle = clip[:, clip.shape[1] // 2]
        frame = frame - F.interpolate(middle, size=frame.shape[-2:], mode='bilinear', align_corners=False)
    (gradient,) = torch.autograd.grad(frame[..., frame.shape[-2] // 2, frame.shape[-1] // 2].sum(), clip)
    return gradient[0].abs().sum(1)


def figures_of(field: np.ndarray) -> dict:
    """Of a field (t, h, w); the keys of shares are percentages."""
    space = field.sum(0)
    if not np.isfinite(space).all() or space.max() <= 0:
        raise UserError('receptive_field: the gradient is zero, or not finite')
    return {
        'share_above': {f'{100 * t:g}%': float((space > t * space.max()).mean()) for t in THRESHOLDS},
        'radius': {f'{100 * share:g}%': radius_of(space, share) for share in SHARES},
        'by_frame': [float(share) for share in field.sum((1, 2)) / field.sum()],
    }


def radius_of(space: np.ndarray, share: float) -> float:
    """Of the circle that holds this share of a map (h, w), around the LR pixel that the centre pixel lies in."""
    rows, columns = np.indices(space.shape)
    distance = np.hypot(rows - space.shape[0] // 2, columns - space.shape[1] // 2).ravel()
    order = np.argsort(distance, kind='stable')
    held = np.cumsum(space.ravel()[order]) / space.sum()
    return float(distance[order][min(np.searchsorted(held, share), len(held) - 1)])


def _clips(given: Settings, frames: int) -> Iterator[torch.Tensor]:
    """Clips (1, t, 3, h, w), RGB in [0, 1]."""
    if given.data is None:
        for seed in range(given.clips):
            yield _textures(np.random.default_rng(seed), frames, *given.size)
        return
    taken = 0
    for name, read in islice(clips_in(Path(given.data)).items(), given.clips):
        clip = list(islice(read(), frames))
        height, width = clip[0].shape[:2]
        if len(clip) < frames or height < given.size[0] or width < given.size[1]:
            raise UserError(
                f'receptive_field: {name} of {given.data} has {len(clip)} frames of {width}x{height}, '
                f'less than {frames} of {given.size[1]}x{given.size[0]}'
            )
        top, left = (height - given.size[0]) // 2, (width - given.size[1]) // 2
        cut = np.stack(clip)[:, top : top + given.size[0], left : left + given.size[1]]
        taken += 1
        yield torch.from_numpy(cut.copy()).permute(0, 3, 1, 2).float().div(255)[None]
    if not taken:
        raise UserError(f'receptive_field: no clips in {given.data}')


def _textures(rng: np.random.Generator, frames: int, height: int, width: int) -> torch.Tensor:
    noise = rng.standard_normal((height + frames, width + frames, 3)).astype(np.float32)
    scene = cv2.GaussianBlur(noise, (0, 0), _TEXTURE)
    scene = np.clip(0.5 + 0.15 * scene / scene.std(), 0, 1)
    clip = np.stack([scene[t : t + height, t : t + width] for t in range(frames)])
    return torch.from_numpy(clip).permute(0, 3, 1, 2)[None].contiguous()


def _write_map(path: Path, space: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, space)
    write_file(path, content.getvalue())


def _write_picture(path: Path, image: np.ndarray) -> None:
    write_file(path, cv2.imencode('.png', image)[1].tobytes())
