"""Recordings read forward at a model's rate: equal to the whole, and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxelzoo.stimuli.sound
from speech import noise
from voxelzoo.api import Audio, DataError, SoundStream, examine, n_samples_at


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_a_stream_is_the_whole_recording_read_forward(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxelzoo.stimuli.sound, "PIECE", 0.7)
    audio = Audio(samples=noise(5.03, rate=rate), rate=rate)
    whole = audio.read(16000)
    stream = SoundStream(audio, 16000)

    assert stream.n_samples == n_samples_at(audio, 16000) == len(whole)
    for stop in [*range(1600, len(whole), 1600), len(whole)]:
        start = max(0, stop - 8000)
        np.testing.assert_allclose(stream.span(start, stop), whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_an_ending_is_that_of_a_recording_that_ends_there(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxelzoo.stimuli.sound, "PIECE", 0.7)
    samples = noise(3.0, rate=rate)
    stream = SoundStream(Audio(samples=samples, rate=rate), 16000)
    for stop in range(1600, 48000, 1600):
        span = stream.span(max(0, stop - 8000), stop)
        ending = stream.ending(stop)
        heard = Audio(samples=samples[: -(-stop * rate // 16000)], rate=rate).read(16000)[:stop]
        n = len(ending)
        np.testing.assert_allclose(ending, heard[len(heard) - n :], atol=1e-6)
        # Before it, nothing is left that the future could alter.
        np.testing.assert_allclose(span[:-n], heard[len(heard) - len(span) : -n], atol=1e-6)
        assert 0 < n <= 1000


def test_a_long_recording_is_held_in_part_only(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(300.0, rate=8000), 8000)
    stream = SoundStream(Audio(path=path), 16000)
    held = []
    for stop in range(16000, 300 * 16000 + 1, 16000):
        stream.span(max(0, stop - 32000), stop)
        held.append(len(stream._sound) + len(stream._native))
    late = SoundStream(Audio(path=path), 16000)
    np.testing.assert_allclose(
        late.span(4_000_000, 4_100_000),
        Audio(path=path).read(16000)[4_000_000:4_100_000],
        atol=1e-6,
    )
    held.append(len(late._sound) + len(late._native))
    assert max(held) < 70 * 16000


def test_faults_of_a_recording_are_reported(tmp_path: Path) -> None:
    def lines(samples: np.ndarray, rate: int = 16000) -> list[str]:
        return list(examine(Audio(samples=samples.astype(np.float32), rate=rate), 16000))

    fine = noise(2.0)
    assert lines(fine) == []
    assert "clipped" in lines(np.clip(100 * fine, -1, 1))[0]
    assert "nothing above 4000 Hz" in lines(fine, rate=8000)[0]
    with pytest.raises(DataError, match="silent throughout"):
        lines(np.zeros(16000))
    with pytest.raises(DataError, match="cannot hold speech"):
        lines(fine, rate=100)
    broken = fine.copy()
    broken[8000] = np.nan
    with pytest.raises(DataError, match=r"sample 8000 \(0\.500 s\) is not a finite number"):
        lines(broken)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, noise(3.0), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.flac"):
        list(examine(Audio(path=path), 16000))
