"""OPT: every context begins with ``</s>``."""

from __future__ import annotations

from voxelzoo_transformers.api import CausalLMExtractor

END_OF_TEXT = 2
"""The token ``</s>``, with which every text of OPT's training began."""


class OPTExtractor(CausalLMExtractor):
    """Extracts states of OPT.

    OPT-350M projects its output to the width of its embeddings. Its last layer is read before that,
    so that all layers have the same width.
    """

    def first_tokens(self) -> tuple[int, ...]:
        """``</s>``, with any tokenizer."""
        return (END_OF_TEXT,)
