"""LLaMA: every context begins with the token that begins a text."""

from __future__ import annotations

from voxelzoo_transformers.api import CausalLMExtractor

BEGIN_OF_TEXT = 1
"""The token ``<s>`` of LLaMA 1 and 2."""


class LlamaExtractor(CausalLMExtractor):
    """Extracts states of LLaMA."""

    def first_tokens(self) -> tuple[int, ...]:
        """The configuration's ``bos_token_id``, with any tokenizer."""
        begin = self.config.bos_token_id
        return (BEGIN_OF_TEXT if begin is None else int(begin),)
