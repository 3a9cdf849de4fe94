"""HuBERT: hidden states of masked-unit speech models, through causal windows."""

from __future__ import annotations

from transformers import AutoModel

from voxelzoo_transformers.audio import SpeechEncoder, WaveformEncoder, WaveformExtractor
from voxelzoo_transformers.loading import load_model


class HubertExtractor(WaveformExtractor):
    """Extractor of HuBERT. Its published models all hear normalised windows."""

    def open(self) -> SpeechEncoder:
        """Loads the network."""
        model = load_model(self.request, AutoModel, self.config)
        return WaveformEncoder(model, bool(self.frontend["do_normalize"]))
