"""Base classes for families of text and speech models.

A family of language models derives from :class:`CausalLMExtractor`, a family of speech encoders
from :class:`WaveformExtractor` or :class:`SpeechExtractor`, and registers itself with
:func:`text_spec` or :func:`speech_spec`. Names and behaviour of this module follow the same
deprecation policy as :mod:`voxelzoo.api`; the rest of the package may change at any time.

A complete family of language models, whose networks expect token 2 before every text:

.. code-block:: python

    # acme_plugin.py: the entry point "acme" in the group "voxelzoo.plugins"
    from voxelzoo.api import hookimpl
    from voxelzoo_transformers.api import text_spec

    TINY = {"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99,
            "num_attention_heads": 4, "word_embed_proj_dim": 32, "ffn_dim": 64}

    @hookimpl
    def zoo_register_extractors():
        yield text_spec("acme", "acme_extractor:AcmeExtractor", "Acme's language models.", TINY)

    # acme_extractor.py
    from voxelzoo_transformers.api import CausalLMExtractor

    class AcmeExtractor(CausalLMExtractor):
        def first_tokens(self):
            return (2,)

``tests/example_family`` is a distribution with a family of each kind. Every name here is loaded on
first use, so that a light ``plugin.py`` may import this module: extractors import torch when they
load a network, encoders when they are named. ``api.pyi`` is the table of the names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("voxelzoo_transformers", __file__)
