"""Random inputs of the windowed SSD, and its two forms by name."""

import torch

from basicsr_ssm.ops import cross_window_ssd, inner_window_ssd

FORMS = {'cross': cross_window_ssd, 'inner': inner_window_ssd}
NAMES = {
    'cross': (
        'projected', 'readout', 'conv_weight', 'conv_bias', 'readout_weight', 'readout_bias', 'pe', 'dt_bias', 'A_log',
        'D', 'norm_weight',
    ),
    'inner': ('projected', 'conv_weight', 'conv_bias', 'dt_bias', 'A_log', 'D', 'norm_weight', 'norm_bias'),
}  # fmt: skip
ACTIVATIONS = ('projected', 'readout')


def inputs(form, batch=2, length=16, heads=2, seed=0):
    """{name: tensor}, float64."""
    g = torch.Generator().manual_seed(seed)
    d, width = 16 * heads, 16 * heads if form == 'cross' else 32 * heads
    scanned = d + (16 if form == 'cross' else 32)

    def normal(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=g, dtype=torch.float64)

    every = dict(
        projected=normal(batch, length, d + scanned + heads),
        readout=normal(batch, length, 16),
        conv_weight=normal(scanned, 3, scale=0.5),
        conv_bias=normal(scanned, scale=0.1),
        readout_weight=normal(16, 3, scale=0.5),
        readout_bias=normal(16, scale=0.1),
        pe=normal(16, 3, 3, scale=0.3),
        dt_bias=normal(heads) - 3,
        A_log=torch.empty(heads, dtype=torch.float64).uniform_(1, 16, generator=g).log(),
        D=normal(heads),
        norm_weight=1 + normal(width, scale=0.1),
        norm_bias=normal(width, scale=0.1),
    )
    return {name: every[name] for name in NAMES[form]}


def results(function, tensors):
    """The result and the gradients of all tensors under a fixed random weighting of the result."""
    given = {name: v.detach().requires_grad_() for name, v in tensors.items()}
    y = function(*given.values())
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).bfloat16().to(y)
    return dict(zip(['result', *given], [y, *torch.autograd.grad(y, list(given.values()), weight)], strict=True))
