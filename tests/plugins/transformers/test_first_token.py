"""One special token begins every context, whatever way a model comes in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoints import LLAMA, write_checkpoint
from text_models import (
    all_states,
    assert_same_states,
    extractor_for,
    naive_states,
    request_for,
    story_of,
)
from voxelzoo.api import ModelEntry, UsageError

STORY = story_of("the cat don't sat on the mat and it sat again")


def row(folder: Path, plugin: str = "transformers", **fields: Any) -> ModelEntry:
    return ModelEntry(name="mine", plugin=plugin, modality="text", repo=str(folder), **fields)


def trained(folder: Path, plugin: str = "transformers", **options: Any) -> Any:
    return extractor_for(row(folder, plugin), untrained=False, **options)


TOKENIZERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "adds BOS itself": (
        {"special": ["<s>", "</s>"], "template": "<s> $A", "bos_token": "<s>"},
        "<s>",
    ),
    "adds BOS twice": (
        {"special": ["<s>", "</s>"], "template": "<s> <s> $A", "bos_token": "<s>"},
        "<s>",
    ),
    "adds BOS and EOS": (
        {"special": ["<s>", "</s>"], "template": "<s> $A </s>", "bos_token": "<s>"},
        "<s>",
    ),
    "adds another token than its BOS": (
        {"special": ["<s>", "<sop>"], "template": "<sop> $A", "bos_token": "<s>"},
        "<sop>",
    ),
    "writes spaces into tokens": (
        {"special": ["<s>"], "template": "<s> $A", "prefix": True, "bos_token": "<s>"},
        "<s>",
    ),
    "has BOS and adds nothing": (
        {"special": ["</s>", "<s>"], "bos_token": "<s>", "eos_token": "</s>"},
        "<s>",
    ),
    "has one token for both ends": (
        {"special": ["<|endoftext|>"], "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
        "<|endoftext|>",
    ),
    "BOS is stated by the network only": (
        {"special": ["<a>", "<b>"], "stated": {"bos_token_id": 1}, "eos_token": "<a>"},
        "<b>",
    ),
    "the network states a BOS that is a word": (
        {"special": ["<a>", "<b>"], "stated": {"bos_token_id": 5}, "eos_token": "<a>"},
        "<a>",
    ),
    "the end of a turn is not that of a text": (
        {"special": ["<|im_end|>", "<|endoftext|>"], "eos_token": "<|im_end|>"},
        "<|endoftext|>",
    ),
    "only puts a token after a text": (
        {"special": ["</s>"], "template": "$A </s>", "eos_token": "</s>"},
        "</s>",
    ),
    "has no special token": ({}, None),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_rule_is_the_same_by_every_way_in_and_gives_one_token(
    kind: str, tmp_path: Path
) -> None:
    """By hf:, by a row of another plugin, and against contexts that are made here by hand."""
    tokenizer, first = TOKENIZERS[kind]
    vocabulary = write_checkpoint(tmp_path / "mine", **tokenizer)
    by_hf = trained(tmp_path / "mine", first_state="keep")
    before = [] if first is None else [vocabulary[first]]
    assert list(by_hf.frame.before) == before
    assert by_hf.describe_first_token().split(" (")[0] == (first or "none")
    by_row = trained(tmp_path / "mine", "llama", first_state="keep")
    assert by_row.frame == by_hf.frame

    states = all_states(by_hf, STORY)
    reading = by_hf.reading(STORY)
    contexts = [[*before, *reading.ids[: last + 1].tolist()] for last in reading.last]
    assert_same_states(
        states, naive_states(request_for(row(tmp_path / "mine"), untrained=False), contexts)
    )


FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "opt": (
        {
            "model_type": "opt",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "word_embed_proj_dim": 16,
            "ffn_dim": 24,
            "max_position_embeddings": 64,
        },
        "</s>",
    ),
    "bloom": ({"model_type": "bloom", "n_layer": 2, "hidden_size": 16, "n_head": 2}, "</s>"),
    "qwen2": ({**LLAMA, "model_type": "qwen2"}, "<|endoftext|>"),
    "llama": (LLAMA, "<s>"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_token_is_used_where_its_tokenizer_names_another(
    family: str, tmp_path: Path
) -> None:
    """As of BLOOM, whose <s> was never trained; and of chat models, whose texts end by turns."""
    architecture, first = FAMILIES[family]
    special = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_end|>"]
    write_checkpoint(
        tmp_path, special, architecture=architecture, bos_token="<s>", eos_token="<|im_end|>"
    )
    assert trained(tmp_path).describe_first_token() == first


def test_a_protocol_keeps_the_rule(tmp_path: Path) -> None:
    """The released code puts OPT's </s> and LLaMA's <s> before every context."""
    write_checkpoint(tmp_path, ["<unk>", "<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    released = trained(tmp_path, "llama", protocol="antonello2023", context="full:words")
    assert released.fingerprint()["first_tokens"] == [1]


ENCODER = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "is_decoder": False,
}


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [("[CLS] $A [SEP]", ["[CLS]"], ["[SEP]"]), ("$A [SEP] [CLS]", [], ["[SEP]", "[CLS]"])],
)
def test_an_encoder_is_given_what_its_tokenizer_puts_around_a_text(
    template: str, before: list[str], after: list[str], tmp_path: Path
) -> None:
    """BERT's [CLS] and [SEP]; and XLNet's, which come after the text."""
    vocabulary = write_checkpoint(
        tmp_path,
        ["<s>", "[CLS]", "[SEP]"],
        template,
        architecture=ENCODER,
        bos_token="<s>",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    extractor = trained(tmp_path, look_ahead="yes", first_state="keep", batch_tokens="30")
    states = all_states(extractor, STORY)
    ids = extractor.reading(STORY).ids
    contexts = [
        [
            *(vocabulary[token] for token in before),
            *ids[: last + 1].tolist(),
            *(vocabulary[token] for token in after),
        ]
        for last in extractor.reading(STORY).last
    ]
    model, positions = extractor.load().model, [len(c) - 1 - len(after) for c in contexts]
    for i, (context, position) in enumerate(zip(contexts, positions, strict=True)):
        with torch.inference_mode():
            output = model(input_ids=torch.tensor([context]), output_hidden_states=True)
        wanted = np.stack([hidden[0, position].numpy() for hidden in output.hidden_states])
        np.testing.assert_allclose(states[:, i], wanted, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------- the user's choice


@pytest.fixture
def two_tokens(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path, ["<s>", "</s>", "<x>"], bos_token="<s>", eos_token="</s>")
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "before"),
    [
        ("default", [0]),
        ("none", []),
        ("bos", [0]),
        ("eos", [1]),
        ("<x>", [2]),
        ("7", [7]),
    ],
)
def test_the_first_token_is_an_option(choice: str, before: list[int], two_tokens: Path) -> None:
    extractor = trained(two_tokens, first_token=choice)
    assert extractor.fingerprint()["first_tokens"] == before
    assert all_states(extractor, STORY).shape[1] == (11 if before else 10)


@pytest.mark.parametrize("choice", ["<y>", "99", "-1", "", "cat"])
def test_a_first_token_that_the_model_lacks_is_refused(choice: str, two_tokens: Path) -> None:
    with pytest.raises(UsageError, match=r"^mine: it has no first token .* none, <s>, </s>"):
        trained(two_tokens, first_token=choice).fingerprint()


# ------------------------------------------------------------------------------- no first token


def test_without_a_first_token_a_contexts_first_state_is_no_words(tmp_path: Path) -> None:
    """The story's first word is dropped; all others keep their states and times."""
    write_checkpoint(tmp_path)
    guarded, kept = trained(tmp_path), trained(tmp_path, first_state="keep")
    assert guarded.describe_first_token() == "none (the first state of each context is skipped)"
    assert guarded.fingerprint() != kept.fingerprint()
    np.testing.assert_array_equal(guarded.times(STORY), kept.times(STORY)[1:])
    assert_same_states(all_states(guarded, STORY), all_states(kept, STORY)[:, 1:])


@pytest.mark.parametrize("context", ["sawtooth:4:2", "sliding:3", "full", "sliding:2:words"])
@pytest.mark.parametrize("state", ["last", "mean"])
def test_no_state_is_read_at_a_contexts_first_token(
    context: str, state: str, tmp_path: Path
) -> None:
    """Moving the first token's own state moves no word's."""
    write_checkpoint(tmp_path)
    extractor = trained(tmp_path, context=context, state=state)
    before = all_states(extractor, STORY)
    model = extractor.load().model

    def huge(module: Any, args: Any, output: Any) -> Any:
        hidden = output.clone() if isinstance(output, torch.Tensor) else output[0].clone()
        hidden[:, 0] += 1000
        return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])

    handle = model.layers[-1].register_forward_hook(huge)
    np.testing.assert_array_equal(all_states(extractor, STORY), before)
    handle.remove()
    kept = trained(tmp_path, context=context, state=state, first_state="keep")
    kept.load().model.layers[-1].register_forward_hook(huge)
    assert not np.allclose(all_states(kept, STORY)[2, 0], before[2, 0], atol=1)


def test_a_context_of_one_word_needs_a_first_token(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ["<s>"], bos_token="<s>")
    assert all_states(trained(tmp_path, context="none"), STORY).shape[1] == 11
    with pytest.raises(UsageError, match=r"too many words are the first token .*--first-token"):
        trained(tmp_path, context="none", first_token="none").times(STORY)
    kept = trained(tmp_path, context="none", first_token="none", first_state="keep")
    assert all_states(kept, STORY).shape[1] == 11


def test_predictions_are_of_every_word_with_and_without_a_first_token(two_tokens: Path) -> None:
    for first in ("default", "none"):
        extractor = trained(two_tokens, output="surprisal", first_token=first)
        assert all_states(extractor, STORY).shape == (1, 11, 1)


def test_an_untrained_control_has_a_first_token_as_the_trained_network_has() -> None:
    gpt2 = ModelEntry(
        name="tiny",
        plugin="transformers",
        modality="text",
        architecture={"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1},
    )
    small = replace(gpt2, architecture={**gpt2.architecture, "vocab_size": 50})
    assert extractor_for(small).first_tokens() == (1,)
    stated = replace(small, architecture={**small.architecture, "bos_token_id": 49})
    assert extractor_for(stated).first_tokens() == (49,)
    too_large = replace(small, architecture={**small.architecture, "bos_token_id": 50256})
    assert extractor_for(too_large).first_tokens() == (1,)
