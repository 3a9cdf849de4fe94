"""HuBERT gives the states of its network, whatever its layer norms."""

from __future__ import annotations

from typing import Any

import pytest

from shared_data import needs_shared
from speech import (
    assert_equals_papers_script,
    assert_equals_plain_loop,
    noise,
    story_of,
    tiny,
    variant,
)
from voxelzoo.api import UsageError

LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}


@pytest.mark.parametrize("values", [{}, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("stride", [0.1, 0.125])
def test_states_equal_a_plain_loop(values: dict[str, Any], stride: float) -> None:
    assert_equals_plain_loop(variant("hubert", **values), normalise=True, stride=stride)


@needs_shared
def test_states_and_times_equal_the_papers_script() -> None:
    assert_equals_papers_script("hubert", "layer")


def test_a_window_too_short_for_a_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="too short for one frame"):
        tiny("hubert", stride="0.02").times(story_of(noise(1.0)))
