"""Word rate, word length, position in the story, autocorrelation, sound power, mel spectrogram.

Each has one layer, 0, and no weights: ``untrained``, seed, device and dtype change nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, ExtractorRequest, StateBlock, Story, UsageError, Words

Floats = NDArray[np.float64]

SAMPLE_RATE = 16_000
WINDOW = 1_600
"""Samples of one state of sound: 0.1 s."""

BLOCK = 3_000
"""Windows of sound worked on at a time: five minutes."""


class _Control(ABC):
    """What all controls share: one layer, no options, nothing to free."""

    settings: ClassVar[Mapping[str, Any]]
    """What fixes its values, for the artefact's key."""

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request

    def layers(self) -> tuple[int, ...]:
        """The features themselves, as layer 0."""
        return (0,)

    def fingerprint(self) -> Mapping[str, Any]:
        """The fixed settings."""
        return dict(self.settings)

    @abstractmethod
    def times(self, story: Story) -> Floats:
        """Time of each state, (time,), in seconds."""

    @abstractmethod
    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Features (time, unit), in consecutive blocks."""

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """The features as layer 0; :class:`UsageError` for any other layer."""
        if unknown := [layer for layer in layers if layer != 0]:
            raise UsageError(f"{self.request.model.name} has layer 0 alone, not {unknown[0]}")
        start = 0
        for block in self.values(story):
            yield StateBlock(start, np.repeat(block[None], len(layers), axis=0))
            start += len(block)

    def close(self) -> None:
        """Nothing is held, so nothing is freed."""
        return


# ---------------------------------------------------------------------------------------- words


class _PerWord(_Control):
    """A number for each spoken word, at its middle; an aligner that sums makes a rate of it."""

    def times(self, story: Story) -> Floats:
        """Middle of each spoken word."""
        return _in_order(story)[1]

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """One number a word."""
        text, _ = _in_order(story)
        yield np.array([[self.value(word)] for word in text], dtype=np.float32).reshape(-1, 1)

    @abstractmethod
    def value(self, word: str) -> float:
        """The number of one word."""


def _in_order(story: Story) -> tuple[list[str], Floats]:
    """Spoken words and their middles by time: where words overlap, middles can change places."""
    words: Words = story.need_words().spoken()
    order = np.argsort(words.times, kind="stable")
    return [words.text[i] for i in order], words.times[order]


class WordRate(_PerWord):
    """One per word. States (word, 1)."""

    settings: ClassVar[Mapping[str, Any]] = {"at": "middle", "value": 1}

    def value(self, word: str) -> float:
        """One."""
        return 1.0


class WordLength(_PerWord):
    """Letters and digits of each word. States (word, 1)."""

    settings: ClassVar[Mapping[str, Any]] = {"at": "middle", "value": "letters"}

    def value(self, word: str) -> float:
        """How many letters and digits it has; apostrophes and hyphens do not count."""
        return float(sum(character.isalnum() for character in word))


# ------------------------------------------------------------------------------------- position


class Position(_Control):
    """Minutes since the story began, and their square. States (time, 2), two a second.

    Slow drifts of scanner and listener follow it; a model that does no better has learnt the clock.
    """

    STEP = 0.5
    MARGIN = 30.0
    settings: ClassVar[Mapping[str, Any]] = {"step": STEP, "margin": MARGIN, "powers": [1, 2]}

    def times(self, story: Story) -> Floats:
        """A regular grid that outlasts the story, so that no aligner meets an edge in it."""
        steps = np.arange(-self.MARGIN, story.end + self.MARGIN, self.STEP)
        return np.asarray(steps, dtype=np.float64)

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Linear and quadratic."""
        minutes = self.times(story) / 60
        yield np.stack([minutes, minutes**2], axis=1).astype(np.float32)


class Autocorrelation(_Control):
    """Bumps along story time, each its own unit. States (time, 256), one a second.

    Within one story they carry each moment's response over to its neighbours: what they predict in
    contiguous folds is what smoothness alone gives away (Hadidi et al. 2024). Across stories, unit
    for unit, they predict whatever always happens at that time of a scan.
    """

    STEP = 1.0
    APART = 10.0
    """Seconds between bumps, and their standard deviation."""
    BUMPS = 256
    settings: ClassVar[Mapping[str, Any]] = {"step": STEP, "apart": APART, "bumps": BUMPS}

    def times(self, story: Story) -> Floats:
        """A regular grid that outlasts the story, so that no aligner meets an edge in it.

        Raises :class:`DataError` for a story that outlasts the bumps.
        """
        most = self.APART * self.BUMPS
        if story.end > most:
            raise DataError(
                f"story {story.name!r} lasts {story.end:.0f} s: the autocorrelation baseline has "
                f"bumps for {most:.0f} s"
            )
        return np.arange(-Position.MARGIN, story.end + Position.MARGIN, self.STEP)

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Gaussians of the time from each bump's centre."""
        away = (self.times(story)[:, None] / self.APART) - np.arange(self.BUMPS)
        yield np.exp(-0.5 * away**2).astype(np.float32)


# ---------------------------------------------------------------------------------------- sound


class _PerWindow(_Control):
    """Features of each whole 0.1 s of sound, placed at its end: nothing later is heard."""

    def times(self, story: Story) -> Floats:
        """End of each window."""
        audio = story.need_audio()
        n = round(audio.duration * audio.native_rate) * SAMPLE_RATE // audio.native_rate // WINDOW
        ends = np.arange(1, n + 1, dtype=np.float64) * (WINDOW / SAMPLE_RATE)
        return audio.start + ends

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Features of the windows, five minutes of sound at a time."""
        n = len(self.times(story))
        windows = story.need_audio().read(SAMPLE_RATE)[: n * WINDOW].reshape(n, WINDOW)
        for first in range(0, n, BLOCK):
            yield self.features(windows[first : first + BLOCK])

    @abstractmethod
    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (time, unit) of windows (time, sample)."""


class SoundPower(_PerWindow):
    """Root mean square of the sound. States (time, 1), ten a second."""

    settings: ClassVar[Mapping[str, Any]] = {"rate": SAMPLE_RATE, "window": WINDOW, "value": "rms"}

    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Root mean square of each window."""
        power = np.square(windows, dtype=np.float64).mean(axis=1, keepdims=True)
        return np.sqrt(power).astype(np.float32)


class MelSpectrogram(_PerWindow):
    """Log energy in mel bands. States (time, 32), ten a second.

    Frames of 25 ms every 10 ms, those that lie within the window; powers are averaged, then logged.
    """

    BANDS = 32
    FRAME = 400
    HOP = 160
    FLOOR = 1e-8
    settings: ClassVar[Mapping[str, Any]] = {
        "rate": SAMPLE_RATE,
        "window": WINDOW,
        "bands": BANDS,
        "frame": FRAME,
        "hop": HOP,
        "floor": FLOOR,
    }

    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log mean power of each window's frames in each band."""
        import torch
        from torchaudio.transforms import MelSpectrogram as Transform

        transform = Transform(
            sample_rate=SAMPLE_RATE,
            n_fft=self.FRAME,
            hop_length=self.HOP,
            n_mels=self.BANDS,
            center=False,
        )
        with torch.inference_mode():
            power = transform(torch.from_numpy(np.ascontiguousarray(windows))).mean(dim=-1)
            logged: NDArray[np.float32] = torch.log(power + self.FLOOR).numpy()
        return logged
