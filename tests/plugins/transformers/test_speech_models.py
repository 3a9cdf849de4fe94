"""wav2vec 2.0, data2vec-audio and w2v-BERT 2.0 give the states of their networks."""

from __future__ import annotations

from typing import Any

import pytest

from speech import assert_equals_plain_loop, extractor_for, variant
from voxelzoo.api import UsageError

KINDS: dict[str, dict[str, Any]] = {
    "wav2vec 2.0 base": {},
    "wav2vec 2.0 large": {
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
        "conv_bias": True,
    },
    "data2vec-audio": {
        "model_type": "data2vec-audio",
        "conv_pos_kernel_size": 5,
        "num_conv_pos_embeddings": 2,
    },
    "w2v-BERT 2.0": {"model_type": "wav2vec2-bert"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [0.1, 0.125])
def test_states_equal_a_plain_loop(kind: str, stride: float) -> None:
    assert_equals_plain_loop(variant("transformers", **KINDS[kind]), normalise=True, stride=stride)


def test_a_network_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="'gpt2' is not one of"):
        extractor_for(variant("transformers", model_type="gpt2"), untrained=True).layers()
