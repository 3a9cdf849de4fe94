"""wav2vec 2.0, data2vec-audio and w2v-BERT 2.0: hidden states through causal windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, SeamlessM4TFeatureExtractor

from voxelzoo.api import UsageError
from voxelzoo_transformers.audio import (
    Batch,
    Block,
    SpeechEncoder,
    WaveformEncoder,
    WaveformExtractor,
    at_frame,
)
from voxelzoo_transformers.loading import load_model

KNOWN = ("wav2vec2", "data2vec-audio", "wav2vec2-bert")
"""Values of a configuration's ``model_type`` that are read here."""

FILTERBANK_FRAME = 400
FILTERBANK_HOP = 160
"""Samples of a frame of w2v-BERT's filterbank, and from one to the next: 25 and 10 ms."""


class FilterbankEncoder(SpeechEncoder):
    """w2v-BERT 2.0: a filterbank, two of its frames at a time, then conformer blocks.

    Each window's bands are normalised over that window, so overlapping windows share nothing. A
    conformer block mixes neighbouring frames after attention: the last one is computed whole.
    """

    batch = 4

    def __init__(self, model: nn.Module, filterbank: SeamlessM4TFeatureExtractor) -> None:
        self.model: Any = model
        self.filterbank: Any = filterbank
        self.dtype = next(model.parameters()).dtype

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Filterbank and projection; every window ends with its last whole pair of frames."""
        heard = self.filterbank(
            [batch.sound(i).cpu().numpy() for i in range(len(batch))],
            sampling_rate=self.filterbank.sampling_rate,
            pad_to_multiple_of=None,
            return_tensors="pt",
        )["input_features"]
        hidden: Tensor = self.model.feature_projection(heard.to(batch.span.device, self.dtype))[0]
        last = torch.full((len(batch),), hidden.shape[1] - 1, device=hidden.device)
        return hidden, last

    def blocks(self) -> Sequence[Block]:
        """The encoder's conformer blocks."""
        return [self._block(layer) for layer in self.model.encoder.layers]

    def _block(self, layer: Any) -> Block:
        def block(hidden: Tensor, read: Tensor | None) -> Tensor:
            positions = self.model.encoder.embed_positions
            embedded = None if positions is None else positions(hidden)
            out = layer(hidden, relative_position_embeddings=embedded)
            return at_frame(out if isinstance(out, Tensor) else out[0], read)

        return block


class SpeechModelExtractor(WaveformExtractor):
    """Extractor of speech encoders that have no plugin of their own."""

    @cached_property
    def config(self) -> Any:
        """The network's configuration, of a kind that is known here."""
        config = super().config
        if config.model_type not in KNOWN:
            raise UsageError(
                f"{self.request.model.name}: model_type {config.model_type!r} is not one of "
                f"{', '.join(KNOWN)}"
            )
        return config

    def convolutions(self) -> list[tuple[int, int]]:
        """Of w2v-BERT: its filterbank, two frames at a time."""
        if self.config.model_type == "wav2vec2-bert":
            return [(FILTERBANK_FRAME, FILTERBANK_HOP), (2, 2)]
        return super().convolutions()

    def convolution_flops(self, n_samples: int) -> float:
        """A filterbank takes next to nothing."""
        if self.config.model_type == "wav2vec2-bert":
            return 0.0
        return super().convolution_flops(n_samples)

    def check_window(self) -> None:
        """The first window, one stride long, must hold a frame."""
        if self.config.model_type != "wav2vec2-bert":
            super().check_window()
            return
        if self.shortest_window() < FILTERBANK_FRAME + FILTERBANK_HOP:
            raise self.too_short()

    def open(self) -> SpeechEncoder:
        """Loads the network."""
        model = load_model(self.request, AutoModel, self.config)
        if self.config.model_type == "wav2vec2-bert":
            settings = {k: v for k, v in self.frontend.items() if k != "do_normalize"}
            return FilterbankEncoder(model, SeamlessM4TFeatureExtractor(**settings))
        return WaveformEncoder(model, bool(self.frontend["do_normalize"]))
