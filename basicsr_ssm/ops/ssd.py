"""State-space duality (SSD), the scan of Mamba-2."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from basicsr_ssm.ops.dispatch import Backend, Operator


def ssd(
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    chunk_size: int = 64,
    backend: str | None = None,
) -> torch.Tensor:
    """The state-space scan with one scalar decay a head, in chunked matrix form.

    Per head: h_t = exp(dt_t·A)·h_{t−1} + dt_t·x_t ⊗ B_t,  y_t = h_t·C_t + D·x_t,  h_0 = 0
    (Dao & Gu, "Transformers are SSMs", 2024, Sec. 6 and Listing 1).

    Args:
        x: (b, l, h, p) inputs of h heads of size p.
        dt: (b, l, h) step sizes, positive (after softplus).
        A: (h,) decay rates, negative.
        B: (b, l, g, n) input matrices of g groups, g divides h; state size n.
        C: (b, l, g, n) output matrices.
        D: (h,) skip weights or None.
        chunk_size: tokens a chunk; changes speed and rounding, not the function.
        backend: force one; see `basicsr_ssm.ops.dispatch`.

    Returns:
        (b, l, h, p) in the dtype of x; the state and all sums are float32 or better.

    Raises:
        ValueError: shapes do not fit.
    """
    batch, length, heads, _ = x.shape
    groups = B.shape[2]
    if dt.shape != (batch, length, heads) or A.shape != (heads,):
        raise ValueError(f'ssd: x {(*x.shape,)} wants dt (b, l, h) and A (h,), got {(*dt.shape,)} and {(*A.shape,)}')
    if B.shape != C.shape or B.shape[:2] != (batch, length) or heads % groups:
        raise ValueError(
            f'ssd: x {(*x.shape,)} wants B and C (b, l, g, n), g a divisor of h; got {(*B.shape,)} and {(*C.shape,)}'
        )
    if D is not None and D.shape != (heads,):
        raise ValueError(f'ssd: D {(heads,)} expected, got {(*D.shape,)}')
    return _OPERATOR(backend, x, dt, A, B, C, D, chunk_size)


def _reference(x, dt, A, B, C, D, chunk_size):
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        y = _chunked(*(v.to(dtype) for v in (x, dt, A, B, C)), min(chunk_size, x.shape[1]))
        if D is not None:
            y = y + D.to(dtype)[:, None] * x
    return y.to(x.dtype)


def _chunked(x, dt, A, B, C, q):
    batch, length, heads, size = x.shape
    groups, state = B.shape[2:]
    chunks = -(-length // q)
    if pad := chunks * q - length:  # dt = 0 decays nothing and adds nothing
        x, B, C = (F.pad(v, (0, 0, 0, 0, 0, pad)) for v in (x, B, C))
        dt = F.pad(dt, (0, 0, 0, pad))
    per_group = heads // groups
    # (b, chunk, group, head in group, token, …)
    u = (x * dt[..., None]).view(batch, chunks, q, groups, per_group, size).permute(0, 1, 3, 4, 2, 5)
    B, C = (v.view(batch, chunks, q, groups, state).transpose(2, 3).unsqueeze(3) for v in (B, C))
    # the decay between two tokens is a difference of running sums: float64, or it loses digits where the sums are large
    total = (dt * A).view(batch, chunks, q, groups, per_group).permute(0, 1, 3, 4, 2).double().cumsum(-1)

    # within a chunk: (C Bᵀ ∘ L) u, L_ts = exp(total_t − total_s) for s ≤ t
    gap = (total[..., :, None] - total[..., None, :]).to(x.dtype)
    future = torch.ones(q, q, dtype=torch.bool, device=x.device).triu(1)
    y = (C @ B.mT * gap.masked_fill(future, -torch.inf).exp()) @ u
    if chunks > 1:
        # between chunks: what each adds to the state, the states carried on, what they give to each token
        to_end = (total[..., -1:] - total).to(x.dtype).exp()
        added = (B.mT * to_end[..., None, :]) @ u
        decay = total[..., -1].to(x.dtype).exp()[..., None, None]
        carried, before = torch.zeros_like(added[:, 0]), []
        for chunk in range(chunks):
            before.append(carried)
            carried = decay[:, chunk] * carried + added[:, chunk]
        y = y + (C * total.to(x.dtype).exp()[..., None]) @ torch.stack(before, 1)
    return y.permute(0, 1, 4, 2, 3, 5).reshape(batch, chunks * q, heads, size)[:, :length]


_OPERATOR = Operator('ssd', Backend('reference', _reference))
