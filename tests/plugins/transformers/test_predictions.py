"""Surprisal and entropy equal their definition, and come from the pass that gives states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared
from text_models import FAMILIES, all_states, babble, extractor_for, request_for, story_of, tiny_row
from voxelzoo.api import ModelEntry
from voxelzoo_transformers.configuration import load_config
from voxelzoo_transformers.loading import load_model
from voxelzoo_transformers.text.extractor import PredictionExtractor

STORIES260K = ModelEntry(
    name="stories260k", plugin="llama", modality="text", repo=str(SHARED / "models/stories260K")
)


@pytest.mark.parametrize("context", ["sawtooth:12:6", "full", "sliding:5:words", "none"])
@pytest.mark.parametrize("plugin", FAMILIES)
def test_predictions_equal_one_fresh_context_a_token(plugin: str, context: str) -> None:
    """Each token's probability by a pass of its own; a word's tokens are added up."""
    words = babble(40)
    row = tiny_row(plugin)
    extractor = extractor_for(row, context=context, output="predictions", batch_tokens="50")
    found = all_states(extractor, story_of(words))[0]
    assert found.shape == (40, 2)

    request = request_for(row)
    model = load_model(request, load_config(request), head="language-model")
    reading = extractor.reading(story_of(words))
    before = list(extractor.first_tokens())
    stop = -1
    for i in range(len(words)):
        first = max(stop + 1, int(reading.start[i]))
        stop = int(reading.last[i])
        surprisal, entropy = 0.0, None
        for token in range(first, stop + 1):
            past = [*before, *reading.ids[reading.start[i] : token].tolist()]
            p = torch.full((320,), 1 / 320, dtype=torch.float64)
            if past:
                with torch.inference_mode():
                    logits = model(input_ids=torch.tensor([past])).logits[0, -1]
                p = torch.softmax(logits.double(), -1)
            surprisal -= float(torch.log2(p[reading.ids[token]]))
            entropy = -float((p * torch.log2(p)).sum()) if entropy is None else entropy
        np.testing.assert_allclose(found[i], [surprisal, entropy], rtol=1e-4)


@pytest.mark.parametrize("plugin", FAMILIES)
def test_one_pass_gives_states_and_predictions(plugin: str) -> None:
    story = story_of(babble(50))
    row = tiny_row(plugin)
    extractor = extractor_for(row)
    both = list(extractor.read(story, [0, 1, 2], predictions=True))
    states = np.concatenate([block.states for block, _ in both], axis=1)
    predictions = np.concatenate([bits for _, bits in both])
    np.testing.assert_allclose(states, all_states(extractor, story), rtol=1e-4, atol=1e-6)
    alone = all_states(extractor_for(row, output="predictions"), story)[0]
    np.testing.assert_allclose(predictions, alone, rtol=1e-4)
    surprisal = all_states(extractor_for(row, output="surprisal"), story)
    np.testing.assert_array_equal(surprisal[0], alone[:, :1])


@needs_shared
def test_a_trained_network_is_less_surprised_by_a_story_than_by_its_words_shuffled() -> None:
    words = [
        "once",
        "upon",
        "a",
        "time",
        "there",
        "was",
        "a",
        "little",
        "girl",
        "named",
        "Lily",
        "who",
        "loved",
        "to",
        "play",
        "outside",
    ]
    model = replace(STORIES260K, plugin="transformers", extractor="surprisal")
    extractor = PredictionExtractor(request_for(model, untrained=False))
    told = all_states(extractor, story_of(words))[0, :, 0].mean()
    shuffled = all_states(extractor, story_of(sorted(words)))[0, :, 0].mean()
    assert told < 0.6 * shuffled
