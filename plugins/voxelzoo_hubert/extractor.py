"""HuBERT: hidden states of masked-unit speech models, through causal windows."""

from __future__ import annotations

from voxelzoo_transformers.api import WaveformExtractor


class HubertExtractor(WaveformExtractor):
    """Extracts states of HuBERT. All of its published models hear normalised windows."""
