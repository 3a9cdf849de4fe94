"""The extractor of wav2vec 2.0, data2vec-audio and w2v-BERT 2.0."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from voxelzoo.api import UsageError
from voxelzoo_transformers.configuration import NetworkConfig
from voxelzoo_transformers.cost import block_size, conformer_block_size
from voxelzoo_transformers.speech.extractor import WaveformExtractor

if TYPE_CHECKING:
    from voxelzoo_transformers.speech.encoder import SpeechEncoder

MODEL_TYPES = ("wav2vec2", "data2vec-audio", "wav2vec2-bert")
"""Supported values of a configuration's ``model_type``."""

FILTERBANK_FRAME = 400
FILTERBANK_HOP = 160
"""Samples of a frame of w2v-BERT's filterbank, and from one to the next: 25 and 10 ms."""


class SpeechModelExtractor(WaveformExtractor):
    """Extracts states of speech encoders that have no plugin of their own."""

    @cached_property
    def config(self) -> NetworkConfig:
        """The network's configuration; :class:`UsageError` for another type of network."""
        config = super().config
        if config.model_type not in MODEL_TYPES:
            raise UsageError(
                f"{self.request.model.name}: model_type {config.model_type!r} is not one of "
                f"{', '.join(MODEL_TYPES)}"
            )
        return config

    @property
    def _has_filterbank(self) -> bool:
        return bool(self.config.model_type == "wav2vec2-bert")

    def convolutions(self) -> list[tuple[int, int]]:
        """Of w2v-BERT: its filterbank, then two frames at a time."""
        if self._has_filterbank:
            return [(FILTERBANK_FRAME, FILTERBANK_HOP), (2, 2)]
        return super().convolutions()

    def block_size(self, width: int, inner: int) -> int:
        """Of w2v-BERT: that of a conformer block."""
        size = conformer_block_size if self._has_filterbank else block_size
        return size(width, inner)

    def convolution_flops(self, n_samples: int) -> float:
        """Of w2v-BERT: none to speak of."""
        return 0.0 if self._has_filterbank else super().convolution_flops(n_samples)

    def check_window(self) -> None:
        """The shortest window must make at least one frame."""
        if not self._has_filterbank:
            super().check_window()
        elif self.shortest_window() < FILTERBANK_FRAME + FILTERBANK_HOP:
            raise self.too_short()

    def build_encoder(self, model: Any) -> SpeechEncoder:
        """The network behind its waveform or its filterbank."""
        if not self._has_filterbank:
            return super().build_encoder(model)
        from voxelzoo_transformers.speech.filterbank import FilterbankEncoder

        settings = {k: v for k, v in self.frontend.items() if k != "do_normalize"}
        return FilterbankEncoder(model, settings)
