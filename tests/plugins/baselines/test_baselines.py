"""The controls: each number against one worked out by hand or by a plain loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voxelzoo.api import Audio, DataError, Extractor, ExtractorRequest, Story, UsageError, Words
from voxelzoo_baselines import extractors
from voxelzoo_baselines.plugin import zoo_register_extractors, zoo_register_models

ROWS = {row.name: row for row in zoo_register_models()}
SPECS = {spec.name: spec for spec in zoo_register_extractors()}


def build(name: str) -> Extractor:
    """The extractor as the host builds it, from the spec's target."""
    _, _, attribute = SPECS[name].target.partition(":")
    extractor = getattr(extractors, attribute)(ExtractorRequest(model=ROWS[name]))
    assert isinstance(extractor, Extractor)
    return extractor


def states(name: str, story: Story) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(times, states (time, unit)), held to the extractor's contract."""
    extractor = build(name)
    assert list(extractor.layers()) == list(range((ROWS[name].n_layers or 0) + 1))
    times = extractor.times(story)
    found, at = [], 0
    for block in extractor.extract(story, [0]):
        assert block.start == at
        assert block.states.dtype == np.float32
        found.append(block.states[0])
        at += block.states.shape[1]
    assert at == len(times)
    assert (np.diff(times) >= 0).all()
    joined = np.concatenate([np.zeros((0, ROWS[name].embed_dim or 0), np.float32), *found])
    extractor.close()
    return times, joined


def words(*items: tuple[str, float, float]) -> Words:
    text, onsets, offsets = zip(*items, strict=True)
    return Words(text, np.array(onsets, float), np.array(offsets, float))


SPOKEN = Story("s", words=words(("don't", 0, 1), ("", 1, 2), ("be", 2, 2.5), ("late", 2.5, 4)))


def sound(samples: NDArray[np.float64], rate: int = 16_000, start: float = 0.0) -> Story:
    return Story("s", audio=Audio(samples=samples.astype(np.float32), rate=rate, start=start))


def test_each_control_is_a_row_with_its_extractor() -> None:
    words = {"word-rate", "word-length"}
    clock = {"position", "autocorrelation"}
    assert set(ROWS) == set(SPECS) == words | clock | {"sound-power", "mel-spectrogram"}
    for name, row in ROWS.items():
        assert row.plugin == "baselines"
        assert row.extractor == name
        assert row.modality == SPECS[name].modality
        assert SPECS[name].tiny is row


def test_word_rate_is_one_at_each_words_middle_and_silence_is_no_word() -> None:
    times, values = states("word-rate", SPOKEN)
    np.testing.assert_array_equal(times, [0.5, 2.25, 3.25])
    np.testing.assert_array_equal(values, [[1], [1], [1]])


def test_word_length_counts_letters() -> None:
    _, values = states("word-length", SPOKEN)
    np.testing.assert_array_equal(values, [[4], [2], [4]])


def test_overlapping_words_are_put_in_order_with_their_own_lengths() -> None:
    story = Story("s", words=words(("interminable", 0, 10), ("so", 1, 2)))
    times, values = states("word-length", story)
    np.testing.assert_array_equal(times, [1.5, 5.0])
    np.testing.assert_array_equal(values, [[2], [12]])


def test_position_is_minutes_and_their_square_beyond_both_ends() -> None:
    times, values = states("position", SPOKEN)
    assert times[0] <= -20
    assert times[-1] >= 24
    np.testing.assert_allclose(np.diff(times), 0.5)
    np.testing.assert_allclose(values[:, 0], times / 60, rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], (times / 60) ** 2, rtol=1e-6)


def test_sound_power_is_the_root_mean_square_at_each_windows_end() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 5 * 1600 + 700)
    times, values = states("sound-power", sound(samples, start=3.0))
    np.testing.assert_allclose(times, [3.1, 3.2, 3.3, 3.4, 3.5])
    for i in range(5):
        window = samples[i * 1600 : (i + 1) * 1600]
        assert values[i, 0] == pytest.approx((sum(x * x for x in window) / 1600) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_sound_is_resampled_first(rate: int) -> None:
    t = np.arange(int(1.05 * rate)) / rate
    times, values = states("sound-power", sound(0.5 * np.sin(2 * np.pi * 440 * t), rate=rate))
    np.testing.assert_allclose(times, np.arange(1, 11) / 10)
    np.testing.assert_allclose(values[1:-1], 0.5 / np.sqrt(2), rtol=0.02)


@pytest.mark.parametrize("name", ["sound-power", "mel-spectrogram"])
def test_features_do_not_depend_on_later_sound(name: str) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 16_000)
    _, before = states(name, sound(samples))
    changed = samples.copy()
    changed[8_000:] = 0
    _, after = states(name, sound(changed))
    np.testing.assert_array_equal(after[:5], before[:5])
    assert (after[5:] != before[5:]).any(axis=1).all()


def test_mel_spectrogram_equals_a_plain_one() -> None:
    """Every step by hand: Hann frames, triangular HTK mel bands, mean power, logarithm."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 3 * 1600).astype(np.float32)
    _, values = states("mel-spectrogram", sound(samples.astype(float)))

    def hertz(mel: float) -> float:
        return 700 * (10 ** (mel / 2595) - 1)

    top = 2595 * np.log10(1 + 8000 / 700)
    edges = [hertz(mel) for mel in np.linspace(0, top, 34)]
    frequencies = np.arange(201) * 40.0
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for i in range(3):
        window = samples[i * 1600 : (i + 1) * 1600]
        frames = [window[s : s + 400] for s in range(0, 1600 - 400 + 1, 160)]
        power = np.mean([np.abs(np.fft.rfft(frame * hann)) ** 2 for frame in frames], axis=0)
        for band in range(32):
            low, mid, high = edges[band : band + 3]
            up, down = (frequencies - low) / (mid - low), (high - frequencies) / (high - mid)
            triangle = np.clip(np.minimum(up, down), 0, None)
            assert values[i, band] == pytest.approx(np.log(power @ triangle + 1e-8), abs=2e-3)


def test_silence_has_finite_features() -> None:
    _, values = states("mel-spectrogram", sound(np.zeros(16_000)))
    assert np.isfinite(values).all()


def test_blocks_of_a_long_sound_join(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    _, whole = states("mel-spectrogram", sound(samples))
    monkeypatch.setattr(extractors, "BLOCK", 3)
    _, joined = states("mel-spectrogram", sound(samples))
    np.testing.assert_allclose(joined, whole, rtol=1e-5)


def test_sound_too_short_for_a_window_gives_no_state(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(100), 16_000)
    times, values = states("sound-power", Story("s", audio=Audio(path=tmp_path / "s.wav")))
    assert len(times) == len(values) == 0


def test_missing_words_or_audio_are_reported() -> None:
    with pytest.raises(DataError, match="no words"):
        states("word-rate", Story("s"))
    with pytest.raises(DataError, match="no audio"):
        states("mel-spectrogram", SPOKEN)


def test_only_layer_0_exists() -> None:
    with pytest.raises(UsageError, match="word-rate has only layer 0; layer 3 does not exist"):
        list(build("word-rate").extract(SPOKEN, [0, 3]))


def test_settings_that_fix_values_are_in_the_fingerprint() -> None:
    prints = [str(sorted(build(name).fingerprint().items())) for name in ROWS]
    assert len(set(prints)) == len(ROWS)
    assert "32" in str(build("mel-spectrogram").fingerprint())


def test_autocorrelation_is_a_bump_for_every_ten_seconds() -> None:
    times, found = states("autocorrelation", Story("s", words=words(("long", 0, 95))))
    for t, row in zip(times[::17], found[::17], strict=True):
        expected = [np.exp(-0.5 * ((t - 10 * unit) / 10) ** 2) for unit in range(256)]
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert times[0] <= -20
    assert times[-1] >= 115


def test_a_story_longer_than_the_bumps_is_an_error() -> None:
    with pytest.raises(DataError, match="2560 s"):
        states("autocorrelation", Story("s", words=words(("long", 0, 3000))))
