"""WavLM: hidden states of denoising speech models, through causal windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voxelzoo_transformers.api import WaveformExtractor

if TYPE_CHECKING:
    from voxelzoo_wavlm.encoder import WavLMEncoder


class WavLMExtractor(WaveformExtractor):
    """Extracts states of WavLM. Of its published models only the large hears normalised windows."""

    def default_frontend(self) -> dict[str, Any]:
        """16 kHz; windows are normalised if the convolutions have layer norm (the large model)."""
        return {"sampling_rate": 16000, "do_normalize": self.config.feat_extract_norm == "layer"}

    def build_encoder(self, model: Any) -> WavLMEncoder:
        """The network with WavLM's attention."""
        from voxelzoo_wavlm.encoder import WavLMEncoder

        return WavLMEncoder(model, self.normalises)
