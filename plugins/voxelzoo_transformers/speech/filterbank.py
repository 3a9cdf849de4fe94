"""w2v-BERT 2.0: a filterbank, two of its frames at a time, then conformer blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

from voxelzoo_transformers.speech.encoder import Block, SoundBatch, SpeechEncoder, at_frame


class FilterbankEncoder(SpeechEncoder):
    """The network of w2v-BERT 2.0.

    Each window's bands are normalised over that window, so overlapping windows share nothing. A
    conformer block mixes neighbouring frames after attention: the last block is computed whole.

    Parameters
    ----------
    model : nn.Module
        The network as transformers builds it.
    settings : mapping of str to Any
        Settings of the filterbank.
    """

    batch_size = 4

    def __init__(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        self.model: Any = model
        self.filterbank: Any = SeamlessM4TFeatureExtractor(**settings)
        self.dtype = next(model.parameters()).dtype

    def embed(self, batch: SoundBatch) -> tuple[Tensor, Tensor]:
        """Filterbank and projection; every window ends with its last whole pair of frames."""
        features = self.filterbank(
            [batch.sound(i).cpu().numpy() for i in range(len(batch))],
            sampling_rate=self.filterbank.sampling_rate,
            pad_to_multiple_of=None,
            return_tensors="pt",
        )["input_features"]
        features = features.to(batch.span.device, self.dtype)
        hidden: Tensor = self.model.feature_projection(features)[0]
        last = torch.full((len(batch),), hidden.shape[1] - 1, device=hidden.device)
        return hidden, last

    def blocks(self) -> Sequence[Block]:
        """The encoder's conformer blocks."""
        return [self._block(layer) for layer in self.model.encoder.layers]

    def _block(self, layer: Any) -> Block:
        def block(hidden: Tensor, frame: Tensor | None) -> Tensor:
            positions = self.model.encoder.embed_positions
            embedded = None if positions is None else positions(hidden)
            out = layer(hidden, relative_position_embeddings=embedded)
            return at_frame(out if isinstance(out, Tensor) else out[0], frame)

        return block
