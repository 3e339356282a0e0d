"""The least time that a network's work can take on this device."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from basicsr_ssm.tables.counting import MultiplyAdds, count
from basicsr_ssm.tables.measurements.running import milliseconds_of, tensor_float_32

_MOST = 4  # frames that are counted; each one more costs as much as the last
BYTES = {'fp32': 4, 'bf16': 2}
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}


@dataclass(frozen=True)
class Rates:
    """Bytes a second of a copy, read and written; operations a second of a matrix product, by precision.

    note: how float32 was multiplied.
    """

    bandwidth: float
    products: dict[str, float]
    note: str = ''

    def __str__(self) -> str:
        products = ', '.join(f'{name} {rate / 1e12:.3g}' for name, rate in self.products.items())
        return f'copy {self.bandwidth / 1e12:.3g} TB/s; matrix product, TFLOP/s: {products}{self.note}'


def measured_rates(device: str) -> Rates:
    """Of large copies and products; on a CPU of small ones."""
    on_gpu = device == 'cuda'
    source = torch.randn(2**28 if on_gpu else 2**22, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)
    side, products = 8192 if on_gpu else 256, {}
    for name, dtype in DTYPES.items():
        a = torch.randn(side, side, device=device, dtype=dtype)
        out = torch.empty_like(a)
        with tensor_float_32(True):
            products[name] = 2 * side**3 / _seconds(lambda a=a, out=out: torch.mm(a, a, out=out), device)
    if not on_gpu:  # a product of bfloat16 may be slower than the convolutions, which it should bound
        return Rates(bandwidth, dict.fromkeys(products, max(products.values())))
    return Rates(bandwidth, products, ' (fp32: TF32)')


def _seconds(call, device: str) -> float:
    for _ in range(3):
        call()
    return 1e-3 * median(milliseconds_of(call, torch.device(device)) for _ in range(10))


def counted(net: nn.Module, clip: tuple[int, int, int]) -> MultiplyAdds:
    """Multiply-adds of a clip (t, h, w)."""
    t, *size = clip

    def of(frames: int) -> MultiplyAdds:
        return count(lambda: net(torch.zeros(1, frames, 3, *size)))

    if t <= _MOST:
        return of(t)
    few, more = of(_MOST - 1), of(_MOST)
    return more + (t - _MOST) * (more + (-1) * few)


def floor_of(work: MultiplyAdds, net: nn.Module, rates: Rates, precision: str) -> tuple[float, str]:
    """Milliseconds, and which of the two times it is: 'products' or 'bytes'."""
    numbers = sum(p.numel() for p in net.parameters()) + 2 * work.results
    times = {
        'products': 2 * work.total / rates.products[precision],
        'bytes': BYTES[precision] * numbers / rates.bandwidth,
    }
    longest = max(times, key=times.get)
    return 1e3 * times[longest], longest
