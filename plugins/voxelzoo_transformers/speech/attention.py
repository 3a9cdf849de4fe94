"""Multi-head attention of speech encoders, in the form that suits the device and the queries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

CACHE_BYTES = 2_500_000
"""Scores that stay in a CPU's cache between the steps of attention."""


@dataclass(frozen=True)
class PositionBias:
    """What is added to the scores of attention: a bias by distance, scaled for each query."""

    gate: Tensor
    """(window, head, query, 1)."""
    distance: Tensor
    """(window or 1, head, query, key)."""

    def all_heads(self) -> Tensor:
        """The bias, (window, head, query, key)."""
        return self.gate * self.distance

    def of(self, window: int, head: int) -> Tensor:
        """The bias of one head, (query, key).

        Parameters
        ----------
        window, head : int
            Which one.

        Returns
        -------
        Tensor
            (query, key).
        """
        distance = self.distance[min(window, len(self.distance) - 1), head]
        return self.gate[window, head] * distance


def attention(
    module: Any, query: Tensor, hidden: Tensor, bias: PositionBias | None = None
) -> Tensor:
    """Multi-head attention of some frames to all frames.

    Parameters
    ----------
    module : nn.Module
        Has ``num_heads`` and the projections ``q_proj``, ``k_proj``, ``v_proj`` and ``out_proj``,
        as transformers names them.
    query : Tensor
        Frames that attend, (window, query, unit): all of ``hidden``, or one frame of it.
    hidden : Tensor
        Frames that are attended to, (window, frame, unit).
    bias : PositionBias, optional
        Added to the scores.

    Returns
    -------
    Tensor
        (window, query, unit).
    """
    if query.shape[1] == 1:
        return _attend_once(module, query, hidden, bias)

    def heads(states: Tensor) -> Tensor:
        split: Tensor = states.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        return split

    q, k, v = (
        heads(module.q_proj(query)),
        heads(module.k_proj(hidden)),
        heads(module.v_proj(hidden)),
    )
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        attended = _attend_by_head(q, k, v, bias)
    else:
        mask = None if bias is None else bias.all_heads()
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out: Tensor = module.out_proj(attended.transpose(1, 2).flatten(2))
    return out


def _attend_once(module: Any, query: Tensor, hidden: Tensor, bias: PositionBias | None) -> Tensor:
    """Attention of one frame, without computing keys and values.

    The products of a query ``q`` with all keys are those of ``W_k' q`` with ``hidden``, and the
    mean of the values is ``W_v`` times a mean of ``hidden``. The bias of ``k_proj`` adds the same
    to every score and so has no effect.
    """
    n_heads = module.num_heads
    q = module.q_proj(query).unflatten(-1, (n_heads, -1)).transpose(1, 2)
    q = q * q.shape[-1] ** -0.5
    keys = module.k_proj.weight.unflatten(0, (n_heads, -1))
    scores = (q @ keys)[:, :, 0] @ hidden.transpose(1, 2)  # (window, head, frame)
    if bias is not None:
        scores = scores + bias.all_heads()[:, :, 0]
    mean = torch.softmax(scores, -1) @ hidden
    values = module.v_proj.weight.unflatten(0, (n_heads, -1))
    attended = (values @ mean[..., None])[..., 0].flatten(1)
    if module.v_proj.bias is not None:
        attended = attended + module.v_proj.bias
    out: Tensor = module.out_proj(attended)[:, None]
    return out


def _attend_by_head(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias | None) -> Tensor:
    """Attention one head at a time: nearly twice as fast as torch's in bfloat16 on a CPU.

    A part of one head's scores stays in the cache, in memory that is allocated once. Scores are
    rounded to bfloat16, as their factors were; the softmax computes in float32.
    """
    out = torch.empty(q.shape, dtype=q.dtype)
    q = q * q.shape[-1] ** -0.5
    n, n_keys = q.shape[-2], k.shape[-2]
    step = math.ceil(n / math.ceil(n * n_keys * q.itemsize / CACHE_BYTES))
    scores = torch.empty(step, n_keys, dtype=q.dtype)
    weights = torch.empty_like(scores)
    for window in range(q.shape[0]):
        for head in range(q.shape[1]):
            added = None if bias is None else bias.of(window, head)
            for start in range(0, n, step):
                rows = slice(start, min(start + step, n))
                part, share = scores[: rows.stop - start], weights[: rows.stop - start]
                torch.mm(q[window, head, rows], k[window, head].T, out=part)
                if added is not None:
                    part += added[rows]
                torch.softmax(part, -1, out=share)
                torch.mm(share, v[window, head], out=out[window, head, rows])
    return out
