"""What is Whisper's own: thirty seconds, and the frame that is read."""

from __future__ import annotations

import pytest
import torch

from speech import noise, story_of, tiny
from voxelzoo.api import UsageError


@pytest.mark.parametrize(
    ("seconds", "frame"), [(16.1, 805), (8.0, 400), (0.1, 5), (30.0, 1499), (29.99, 1499)]
)
def test_the_last_frame_that_sound_reaches(seconds: float, frame: int) -> None:
    """Known values of the paper's script, for the network's own convolutions."""
    extractor = tiny("whisper")
    assert extractor.open().last_frame(round(seconds * 16000)) == frame  # type: ignore[attr-defined]


def test_windows_beyond_thirty_seconds_are_refused() -> None:
    with pytest.raises(UsageError, match="hears 30 s at most"):
        tiny("whisper", window="30.1").times(story_of(noise(1.0)))


def test_only_the_encoder_is_kept() -> None:
    encoder = tiny("whisper").open()  # type: ignore[attr-defined]
    assert isinstance(encoder.model, torch.nn.Module)
    assert not hasattr(encoder.model, "decoder")
