"""WavLM: hidden states of denoising speech models, through causal windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from voxelzoo_transformers.audio import (
    Bias,
    SpeechEncoder,
    WaveformEncoder,
    WaveformExtractor,
    attention,
)
from voxelzoo_transformers.loading import load_model


class WavLMEncoder(WaveformEncoder):
    """WavLM's network: attention with a relative position bias that each frame gates.

    transformers computes it by the attention that also returns weights; here the gated bias goes
    into scaled dot-product attention as its mask, which computes the same sum in less memory.
    """

    def __init__(self, model: Any, normalise: bool) -> None:
        super().__init__(model, normalise)
        self._bias: Tensor | None = None

    def attend(self, layer: Any, query: Tensor, hidden: Tensor, read: Tensor | None) -> Tensor:
        """Self-attention of ``query``, which is ``hidden`` or its frame ``read``."""
        module = layer.attention
        # (window, head, frame, 8): how strongly each frame minds distance.
        gates = query.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        gates = module.gru_rel_pos_linear(gates).unflatten(-1, (2, 4)).sum(-1)
        gate_a, gate_b = torch.sigmoid(gates).chunk(2, dim=-1)
        gate = gate_a * (gate_b * module.gru_rel_pos_const - 1.0) + 2.0
        distance = self.position_bias(hidden.shape[1])[None]
        if read is not None:
            distance = distance[0][:, read, None].transpose(0, 1)
        return attention(module, query, hidden, Bias(gate, distance))

    def position_bias(self, n_frames: int) -> Tensor:
        """Bias by distance, (head, frame, frame), which the first block holds for all."""
        if self._bias is None or self._bias.shape[-1] != n_frames:
            self._bias = self.model.encoder.layers[0].attention.compute_bias(n_frames, n_frames)
        return self._bias


class WavLMExtractor(WaveformExtractor):
    """Extractor of WavLM. Of the published models only the large one hears normalised windows."""

    def default_frontend(self) -> dict[str, Any]:
        """16 kHz; windows normalised where the convolutions have layer norm, as the large does."""
        return {"sampling_rate": 16000, "do_normalize": self.config.feat_extract_norm == "layer"}

    def open(self) -> SpeechEncoder:
        """Loads the network."""
        model = load_model(self.request, AutoModel, self.config)
        return WavLMEncoder(model, bool(self.frontend["do_normalize"]))
