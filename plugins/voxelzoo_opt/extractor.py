"""OPT: every context begins with ``</s>``."""

from __future__ import annotations

from voxelzoo_transformers.api import CausalLMExtractor


class OPTExtractor(CausalLMExtractor):
    """Extracts states of OPT.

    Every text of OPT's training began with ``</s>``, and so does every context. OPT-350M projects
    its output to the width of its embeddings. Its last layer is read before that, so that all
    layers have the same width.
    """
