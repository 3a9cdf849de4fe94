"""What is particular to OPT."""

from __future__ import annotations

import numpy as np
import torch

from text_models import (
    all_states,
    assert_same_states,
    babble,
    extractor_for,
    naive_states,
    request_for,
    story_of,
    tiny_row,
)
from voxelzoo_transformers.configuration import load_config
from voxelzoo_transformers.loading import load_model


def test_a_context_may_fill_every_position() -> None:
    """OPT's table of positions has two rows more than it has positions."""
    row = tiny_row("opt", max_position_embeddings=32)
    extractor = extractor_for(row)
    words = babble(80)
    found = all_states(extractor, story_of(words))
    reading = extractor.reading(story_of(words))
    assert max(map(len, reading.passes())) == 31
    contexts = [
        [2, *reading.ids[start : last + 1].tolist()]
        for start, last in zip(reading.start, reading.last, strict=True)
    ]
    assert_same_states(found, naive_states(request_for(row), contexts))


def test_the_350m_shape_has_layers_of_one_width_the_last_before_its_projection() -> None:
    """Blocks 32 wide between embeddings 16 wide, norms after the blocks, as in OPT-350M."""
    row = tiny_row("opt", word_embed_proj_dim=16, do_layer_norm_before=False)
    words = babble(20)
    extractor = extractor_for(row)
    found = all_states(extractor, story_of(words))
    assert found.shape == (3, 20, 32)

    request = request_for(row)
    model = load_model(request, load_config(request))
    ids = torch.tensor([[2, *extractor.reading(story_of(words)).ids.tolist()]])
    with torch.inference_mode():
        output = model(input_ids=ids, output_hidden_states=True)
        assert output.last_hidden_state.shape[-1] == 16
        projected = model.decoder.project_out(torch.from_numpy(found[2]))
    at = [1 + i for i in extractor.reading(story_of(words)).last]
    for layer in (0, 1):
        np.testing.assert_allclose(
            found[layer], output.hidden_states[layer][0, at], rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(projected, output.last_hidden_state[0, at], rtol=1e-4, atol=1e-6)
