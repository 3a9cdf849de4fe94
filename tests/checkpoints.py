"""Very small checkpoints with a tokenizer of any kind, written as ``save_pretrained`` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM

WORDS = ("the", "cat", "sat", "on", "mat", "and", "it", "again", "don", "'", "t", "a")

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}


def write_tokenizer(
    folder: Path,
    special: Sequence[str] = (),
    template: str | None = None,
    *,
    prefix: bool = False,
    **named: str,
) -> dict[str, int]:
    """A tokenizer of words and signs, with these special tokens first; returns its vocabulary.

    ``template`` is what it puts around a text, such as ``"<s> $A"``; ``prefix`` makes it write
    spaces into its tokens as SentencePiece does; ``named`` are ``bos_token`` and the like.
    """
    stock = [f"▁{word}" for word in WORDS] if prefix else []
    vocabulary = {token: i for i, token in enumerate([*special, "?", *WORDS, *stock])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Metaspace(prepend_scheme="first") if prefix else pre_tokenizers.Whitespace()
    )
    tokenizer.add_special_tokens(list(special))
    if template is not None:
        used = [(name, vocabulary[name]) for name in special if name in template.split()]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=used
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return vocabulary


def write_checkpoint(
    folder: Path,
    special: Sequence[str] = (),
    template: str | None = None,
    *,
    prefix: bool = False,
    architecture: Mapping[str, Any] = LLAMA,
    stated: Mapping[str, Any] | None = None,
    seed: int = 0,
    **named: str,
) -> dict[str, int]:
    """A network with random weights and that tokenizer; ``stated`` goes into its ``config.json``.

    Returns the tokenizer's vocabulary.
    """
    vocabulary = write_tokenizer(folder, special, template, prefix=prefix, **named)
    figures = {**architecture, "vocab_size": len(vocabulary)}
    config = AutoConfig.for_model(**figures)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**figures, **(stated or {})}))
    return vocabulary
