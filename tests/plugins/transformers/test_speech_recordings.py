"""Real recordings, as they come, through every family."""

from __future__ import annotations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from speech import FAMILIES, all_states, tiny
from voxelzoo.api import Audio, Story


@needs_shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("name", "seconds"), [("jfk.flac", 11.0), ("harvard-sentences-list30.mp3", 54.0)]
)
def test_stereo_flac_and_coarse_mp3_are_heard(family: str, name: str, seconds: float) -> None:
    path = next((SHARED / "data" / "audio").rglob(name))
    story, extractor = Story(name, audio=Audio(path=path)), tiny(family, window="4", stride="1")

    times, states = extractor.times(story), all_states(extractor, story)

    assert times[-1] == pytest.approx(seconds, abs=1.0)
    assert states.shape[:2] == (len(extractor.layers()), len(times))
    assert np.isfinite(states).all()
    assert (states.std(axis=1) > 0).all()  # the states follow the sound
