"""What is Whisper's own: thirty seconds, and the frame that is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from shared_data import needs_shared
from speech import (
    all_states,
    assert_equals_papers_script,
    assert_equals_plain_loop,
    assert_same_states,
    extractor_for,
    noise,
    plain_loop,
    story_of,
    tiny,
    variant,
)
from voxelzoo.api import UsageError


@pytest.mark.parametrize("values", [{}, {"num_mel_bins": 128}], ids=["80 bands", "128 bands"])
@pytest.mark.parametrize("stride", [0.1, 0.125])
def test_states_equal_a_plain_loop(values: dict[str, Any], stride: float) -> None:
    assert_equals_plain_loop(variant("whisper", **values), normalise=False, stride=stride)


@needs_shared
def test_states_and_times_equal_the_papers_script() -> None:
    assert_equals_papers_script("whisper", "encoder")


@pytest.mark.parametrize("stride", [14.9, 15.0])
def test_whisper_hears_up_to_its_thirty_seconds(stride: float) -> None:
    """Where little or no silence follows the sound, and where much does."""
    model, sound = variant("whisper"), noise(30.0)
    extractor = extractor_for(model, untrained=True, window="30", stride=str(stride))
    states = all_states(extractor, story_of(sound))
    assert_same_states(states, plain_loop(model, sound, 30.0, stride, normalise=False))


@pytest.mark.parametrize(
    ("seconds", "frame"), [(16.1, 805), (8.0, 400), (0.1, 5), (30.0, 1499), (29.99, 1499)]
)
def test_the_last_frame_that_sound_reaches(seconds: float, frame: int) -> None:
    """Known values of the paper's script, for the network's own convolutions."""
    extractor = tiny("whisper")
    assert extractor.open().last_frame(round(seconds * 16000)) == frame  # type: ignore[attr-defined]


def test_windows_beyond_thirty_seconds_are_refused() -> None:
    with pytest.raises(UsageError, match="hears at most 30 s"):
        tiny("whisper", window="30.1").times(story_of(noise(1.0)))


def test_only_the_encoder_is_kept() -> None:
    encoder = tiny("whisper").open()  # type: ignore[attr-defined]
    assert isinstance(encoder.model, torch.nn.Module)
    assert not hasattr(encoder.model, "decoder")
