"""LLaMA: every context begins with the token that begins a text."""

from __future__ import annotations

from voxelzoo_transformers.api import CausalLMExtractor


class LlamaExtractor(CausalLMExtractor):
    """Extracts states of LLaMA; contexts begin as :class:`CausalLMExtractor` begins them."""
