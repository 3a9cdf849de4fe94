"""LLaMA: every context begins with the token that begins a text."""

from __future__ import annotations

from voxelzoo_transformers.text import CausalLMExtractor

BEGIN_OF_TEXT = 1
"""The token ``<s>`` of LLaMA 1 and 2."""


class LlamaExtractor(CausalLMExtractor):
    """States of a LLaMA model."""

    def first_tokens(self) -> tuple[int, ...]:
        """The configuration's ``bos_token_id``, whichever tokenizer is used."""
        begin = self.config.bos_token_id
        return (BEGIN_OF_TEXT if begin is None else int(begin),)
