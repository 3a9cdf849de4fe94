"""Speech states equal what the paper's script extracts, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from speech import extractor_for, story_of
from voxelzoo.api import ModelEntry

GOLDEN = SHARED / "golden" / "speech"
PREFIX = {"whisper": "encoder", "hubert": "layer", "wavlm": "layer"}


@needs_shared
@pytest.mark.parametrize("family", list(PREFIX))
def test_states_and_times_equal_the_reference_scripts(family: str) -> None:
    golden = np.load(GOLDEN / "golden.npz")
    model = ModelEntry(
        name=f"golden-{family}", plugin=family, modality="audio", repo=str(GOLDEN / family)
    )
    extractor = extractor_for(model, window="2.1", stride="0.1")
    story = story_of(golden["audio_16k"])

    layers = extractor.layers()
    states = np.concatenate([block.states for block in extractor.extract(story, layers)], axis=1)

    np.testing.assert_allclose(extractor.times(story), golden[f"{family}_times"][:, 1], atol=1e-6)
    assert len(layers) == 4
    for layer in layers:
        expected = golden[f"{family}_{PREFIX[family]}.{layer}"]
        error = np.linalg.norm(states[layer] - expected) / np.linalg.norm(expected)
        assert error < 1e-4, f"layer {layer}: relative error {error:.1e}"
