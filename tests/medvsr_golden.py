"""The golden check of MedVSR: weights that are a function of their key, an input that is a function of a seed.

The stored outputs are those of the authors' own model in float64, with these weights and inputs.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / 'goldens' / 'medvsr'
NAMES = ('golden_64x64', 'golden_70x83')


def published_shapes():
    """{key: shape} of the published state dict."""
    return {key: tuple(shape) for key, shape in json.loads((FOLDER / 'state_dict_shapes.json').read_text()).items()}


def fill(key, shape):
    """The weight of a key, float32: standard normals seeded with crc32(key), scaled by kind."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith('A_log'):
        value = np.log(1 + 15 * rng.random(shape))
    elif key.endswith('dt_bias'):
        dt = np.exp(rng.random(shape) * (np.log(0.1) - np.log(0.001)) + np.log(0.001))
        value = dt + np.log(-np.expm1(-dt))
    elif key.endswith('.D') or (len(shape) == 1 and 'norm' in key and key.endswith('weight')):
        value = 1 + 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        value = 0.02 * rng.standard_normal(shape)
    else:
        value = rng.standard_normal(shape) * (0.7 / np.sqrt(int(np.prod(shape[1:]))))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def fill_network(net):
    """Fills all weights; SpyNet keeps its ImageNet constants."""
    state = net.state_dict()
    for key, value in state.items():
        if not key.endswith(('spynet.mean', 'spynet.std')):
            state[key] = fill(key, tuple(value.shape))
    net.load_state_dict(state)
    return net.eval()


def load(name):
    """config, input (n, t, 3, h, w) float64, output[..., ::8, ::8], crop 64:128 of the middle frame."""
    stored = np.load(FOLDER / f'{name}.npz')
    clip = np.random.default_rng(int(stored['input_seed'])).random(tuple(stored['input_shape']))
    return json.loads(str(stored['config'])), torch.from_numpy(clip), stored['output_stride8'], stored['mid_frame_crop']


def worst_error(output, stride8, crop):
    """Maximum absolute error against what is stored."""
    output = output.double().cpu().numpy()
    middle = output[0, output.shape[1] // 2, :, 64:128, 64:128]
    return max(np.abs(output[..., ::8, ::8] - stride8).max(), np.abs(middle - crop).max())
