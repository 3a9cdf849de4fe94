"""WavLM gives the states of its network, with its gated position bias."""

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

LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}


@pytest.mark.parametrize(("values", "normalise"), [({}, False), (LARGE, True)])
@pytest.mark.parametrize("stride", [0.1, 0.125])
def test_states_equal_a_plain_loop(values: dict[str, Any], normalise: bool, stride: float) -> None:
    """Only the large model's windows are normalised."""
    assert_equals_plain_loop(variant("wavlm", **values), normalise=normalise, stride=stride)


@needs_shared
def test_states_and_times_equal_the_papers_script() -> None:
    assert_equals_papers_script("wavlm", "layer")


def test_a_window_too_short_for_a_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="too short for one frame"):
        tiny("wavlm", stride="0.02").times(story_of(noise(1.0)))


def test_the_position_bias_follows_the_number_of_frames() -> None:
    """It is kept from window to window, and a longer window needs a larger one."""
    encoder: Any = tiny("wavlm").open()  # type: ignore[attr-defined]
    first = encoder.position_bias(20)
    assert encoder.position_bias(20) is first
    assert encoder.position_bias(30).shape[1:] == (30, 30)
