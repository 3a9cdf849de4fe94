"""WavLM's network: attention with a relative position bias that each frame scales."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from voxelzoo_transformers.api import PositionBias, WaveformEncoder, attention


class WavLMEncoder(WaveformEncoder):
    """WavLM's network.

    transformers computes its attention in the form that also returns weights. Here the scaled bias
    is the mask of scaled dot-product attention, which computes the same sum in less memory.

    Parameters
    ----------
    model : nn.Module
        The network as transformers builds it.
    normalise : bool
        Bring each window to zero mean and unit variance.
    """

    def __init__(self, model: Any, normalise: bool) -> None:
        super().__init__(model, normalise)
        self._bias: Tensor | None = None

    def attend(self, layer: Any, query: Tensor, hidden: Tensor, frame: Tensor | None) -> Tensor:
        """Self-attention of ``query``, which is ``hidden`` or its frame ``frame``."""
        module = layer.attention
        # (window, head, frame, 8): how strongly each frame weights distance.
        gates = query.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        gates = module.gru_rel_pos_linear(gates).unflatten(-1, (2, 4)).sum(-1)
        gate_a, gate_b = torch.sigmoid(gates).chunk(2, dim=-1)
        gate = gate_a * (gate_b * module.gru_rel_pos_const - 1.0) + 2.0
        distance = self.position_bias(hidden.shape[1])[None]
        if frame is not None:
            distance = distance[0][:, frame, None].transpose(0, 1)
        return attention(module, query, hidden, PositionBias(gate, distance))

    def position_bias(self, n_frames: int) -> Tensor:
        """Bias by distance, (head, frame, frame); the first block has that of all blocks."""
        if self._bias is None or self._bias.shape[-1] != n_frames:
            self._bias = self.model.encoder.layers[0].attention.compute_bias(n_frames, n_frames)
        return self._bias
