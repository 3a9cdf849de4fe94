"""What the two families have of their own."""

from __future__ import annotations

from voxelzoo_transformers.api import CausalLMExtractor, WaveformExtractor


class GemmaExtractor(CausalLMExtractor):
    """Extracts states of Gemma, which expects ``<bos>`` before every text."""

    def first_tokens(self) -> tuple[int, ...]:
        """``<bos>``, with any tokenizer."""
        return (2,)


class UniSpeechExtractor(WaveformExtractor):
    """Extracts states of UniSpeech, which is built like wav2vec 2.0."""
