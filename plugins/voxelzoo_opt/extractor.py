"""OPT: every context begins with ``</s>``."""

from __future__ import annotations

from voxelzoo_transformers.text import CausalLMExtractor

END_OF_TEXT = 2
"""The token ``</s>``, with which OPT was trained to begin every text."""


class OPTExtractor(CausalLMExtractor):
    """States of an OPT model.

    OPT-350M narrows what it returns to the width of its embeddings. Its last layer is read before
    that, so that all layers are of one width.
    """

    def first_tokens(self) -> tuple[int, ...]:
        """``</s>``, whichever tokenizer is used."""
        return (END_OF_TEXT,)
