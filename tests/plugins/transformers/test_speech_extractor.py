"""Speech states: causal, equal to a plain loop over the network, and clear about bad input."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from speech import (
    FAMILIES,
    RATE,
    all_states,
    extractor_for,
    network_of,
    noise,
    story_of,
    tiny,
    variant,
)
from voxelzoo.api import ModelEntry, Story, UsageError, ZooError

families = pytest.mark.parametrize("family", FAMILIES)


@families
def test_states_do_not_depend_on_later_sound(family: str) -> None:
    sound, now = noise(3.0), 1.5
    changed = sound.copy()
    changed[round(now * RATE) :] = 5 * noise(3.0, seed=1)[round(now * RATE) :]
    extractor = tiny(family, window="1.0", stride="0.1")

    before, after = (all_states(extractor, story_of(heard)) for heard in (sound, changed))

    past = extractor.times(story_of(sound)) <= now + 1e-9
    assert np.array_equal(before[:, past], after[:, past])
    assert (before[:, ~past] != after[:, ~past]).any(axis=2).all()


@families
def test_a_state_hears_all_of_its_window_and_nothing_before_it(family: str) -> None:
    sound, changed = noise(3.0), noise(3.0)
    changed[: RATE // 2] *= 3
    extractor = tiny(family, window="1.0", stride="0.1")

    plain, other = (all_states(extractor, story_of(heard)) for heard in (sound, changed))

    hears_it = extractor.times(story_of(sound)) - 1.0 < 0.5 - 1e-9
    deepest = (plain[-1] != other[-1]).any(axis=1)
    assert deepest[hears_it].all()
    assert not deepest[~hears_it].any()


@families
def test_few_layers_are_the_same_states_in_the_order_asked(family: str) -> None:
    extractor, story = tiny(family, window="0.5"), story_of(noise(1.0))
    every = all_states(extractor, story)

    few = np.concatenate([block.states for block in extractor.extract(story, [1, 0])], axis=1)

    np.testing.assert_allclose(few, every[[1, 0]], rtol=1e-4, atol=1e-5)


@families
def test_times_are_window_ends_on_the_storys_clock(family: str) -> None:
    extractor = tiny(family)
    story = story_of(noise(1.05), start=12.5)
    np.testing.assert_allclose(extractor.times(story), 12.5 + 0.1 * np.arange(1, 11))


@families
def test_full_context_drops_the_short_first_windows(family: str) -> None:
    story = story_of(noise(1.4))
    grown = tiny(family, window="1.0", full_context="true")
    growing = tiny(family, window="1.0")
    np.testing.assert_allclose(grown.times(story), [1.0, 1.1, 1.2, 1.3, 1.4])
    np.testing.assert_allclose(
        all_states(grown, story), all_states(growing, story)[:, 9:], rtol=1e-3, atol=1e-5
    )


@families
def test_a_silent_stretch_gives_finite_states(family: str) -> None:
    sound = noise(1.5)
    sound[:RATE] = 0
    states = all_states(tiny(family, window="0.5"), story_of(sound))
    assert np.isfinite(states).all()


@families
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "long"}, "positive number of seconds"),
        ({"stride": "-1"}, "positive number of seconds"),
        ({"full_context": "perhaps"}, "true or false"),
        ({"window": "0.05", "stride": "0.1"}, "no shorter than the stride"),
        ({"stride": "2"}, "less than one stride"),
        ({"window": "2", "full_context": "yes"}, "less than one window"),
    ],
)
def test_invalid_windows_are_refused(family: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny(family, **options).times(story_of(noise(1.0)))


@families
def test_a_story_without_sound_is_refused(family: str) -> None:
    with pytest.raises(Exception, match="has no audio"):
        tiny(family).times(Story("silent"))


@families
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_states_of_resampled_sound_do_not_depend_on_later_sound(family: str, rate: int) -> None:
    """A resampling filter looks ahead; what a window hears of it must not."""
    sound, now = noise(1.6, rate=rate), 0.8
    changed = sound.copy()
    changed[round(now * rate) :] *= -7
    extractor = tiny(family, window="0.5", stride="0.1")

    before, after = (all_states(extractor, story_of(heard, rate)) for heard in (sound, changed))

    past = extractor.times(story_of(sound, rate)) <= now + 1e-9
    assert past.sum() == 8
    assert np.array_equal(before[:, past], after[:, past])
    assert (before[:, ~past] != after[:, ~past]).any(axis=2).all()


@families
def test_a_batch_that_does_not_fit_is_halved_with_a_message(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    story = story_of(noise(1.5))
    whole = all_states(tiny(family, window="0.5"), story)
    extractor: Any = tiny(family, window="0.5")
    extractor.request = dataclasses.replace(extractor.request, notify=messages.append)
    encoder = extractor._encoder = extractor.open()
    encoder.batch_size = 4
    embed = encoder.embed

    def embed_in_little_memory(batch: Any) -> Any:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(batch)

    monkeypatch.setattr(encoder, "embed", embed_in_little_memory)
    np.testing.assert_allclose(all_states(extractor, story), whole, rtol=1e-3, atol=1e-5)
    assert ["batches of 2 windows instead of 4" in messages[0], "of 1 windows" in messages[1]] == [
        True,
        True,
    ]
    assert "out of memory" in messages[0]


def test_one_window_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor: Any = tiny("hubert")
    encoder = extractor._encoder = extractor.open()

    def no_memory(batch: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(encoder, "embed", no_memory)
    with pytest.raises(ZooError, match=r"out of memory with one window of 16\.1 s"):
        all_states(extractor, story_of(noise(1.0)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@families
def test_half_precision_keeps_every_layers_direction(
    family: str, dtype: str, tmp_path: Path
) -> None:
    """Cosine similarity to float32 of at least 0.999 in every layer."""
    shape = {"whisper": {"d_model": 64}}.get(family, {"hidden_size": 64, "conv_dim": [32] * 7})
    network_of(variant(family, **shape)).save_pretrained(tmp_path)
    model = ModelEntry(name="saved", plugin=family, modality="audio", repo=str(tmp_path))
    story = story_of(noise(1.0))

    exact = all_states(extractor_for(model, window="0.8"), story)
    rough = all_states(extractor_for(model, dtype=dtype, window="0.8"), story)

    norms = np.linalg.norm(exact, axis=-1) * np.linalg.norm(rough, axis=-1)
    cosine = ((exact * rough).sum(axis=-1) / norms).mean(axis=1)
    assert (cosine >= 0.999).all(), cosine


@families
def test_extraction_goes_on_from_the_row_where_it_was_cut_off(family: str) -> None:
    story = story_of(noise(3.0, rate=22050), rate=22050)
    blocks: list[Any] = list(tiny(family, window="0.5").extract(story, [0, 2]))
    cut = len(blocks) // 2
    other: Any = tiny(family, window="0.5")
    rest = list(other.extract(story, [0, 2], start=blocks[cut].start))
    assert [block.start for block in rest] == [block.start for block in blocks[cut:]]
    for found, wanted in zip(rest, blocks[cut:], strict=True):
        np.testing.assert_allclose(found.states, wanted.states, rtol=1e-4, atol=1e-5)
