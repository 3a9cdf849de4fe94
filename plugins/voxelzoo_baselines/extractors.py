"""Control models: word rate, word length, position, autocorrelation, sound power, mel spectrogram.

Each has one layer, 0, and no weights, so ``untrained``, seed, device and dtype change nothing.
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
"""Samples per state of sound: 0.1 s."""

BLOCK = 3_000
"""Windows of sound to work on at once: five minutes."""


class _Control(ABC):
    """What all controls share: one layer, no options, nothing to free.

    Parameters
    ----------
    request : ExtractorRequest
        Which model is asked for.
    """

    settings: ClassVar[Mapping[str, Any]]
    """What determines the values, for the keys of artefacts."""

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request

    def layers(self) -> tuple[int, ...]:
        """Only layer 0, the features themselves."""
        return (0,)

    def fingerprint(self) -> Mapping[str, Any]:
        """The settings, for the keys of artefacts."""
        return dict(self.settings)

    @abstractmethod
    def times(self, story: Story) -> Floats:
        """Time of each state, (time,), in seconds."""

    @abstractmethod
    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Compute the features.

        Parameters
        ----------
        story : Story
            What was heard.

        Yields
        ------
        ndarray of float32
            (time, unit), in consecutive blocks.
        """

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """Yields the features.

        Parameters
        ----------
        story : Story
            What was heard.
        layers : sequence of int
            Layers to give, each of which must be 0.

        Yields
        ------
        StateBlock
            States (layer, time, unit), float32, in consecutive blocks.

        Raises
        ------
        UsageError
            If another layer is asked for.
        DataError
            If the story has no words, or no sound, where those are needed.
        """
        if unknown := [layer for layer in layers if layer != 0]:
            raise UsageError(
                f"{self.request.model.name} has only layer 0; layer {unknown[0]} does not exist"
            )
        start = 0
        for block in self.values(story):
            yield StateBlock(start, np.repeat(block[None], len(layers), axis=0))
            start += len(block)

    def close(self) -> None:
        """Does nothing: there is nothing to free."""
        return


# ---------------------------------------------------------------------------------------- words


class _PerWord(_Control):
    """One number per spoken word, at the word's midpoint.

    Aligners that sum over states turn it into a rate.
    """

    def times(self, story: Story) -> Floats:
        """Midpoint of each spoken word, (word,), in seconds."""
        return _in_order(story)[1]

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """One number per word, (word, 1)."""
        text, _ = _in_order(story)
        yield np.array([[self.value(word)] for word in text], dtype=np.float32).reshape(-1, 1)

    @abstractmethod
    def value(self, word: str) -> float:
        """The number of one word.

        Parameters
        ----------
        word : str
            A spoken word.

        Returns
        -------
        float
        """


def _in_order(story: Story) -> tuple[list[str], Floats]:
    """Spoken words and their midpoints in order of time (words that overlap can change places)."""
    words: Words = story.need_words().spoken()
    order = np.argsort(words.times, kind="stable")
    return [words.text[i] for i in order], words.times[order]


class WordRate(_PerWord):
    """A one for each spoken word, at its midpoint. States (word, 1)."""

    settings: ClassVar[Mapping[str, Any]] = {"at": "middle", "value": 1}

    def value(self, word: str) -> float:
        """Always 1."""
        return 1.0


class WordLength(_PerWord):
    """Number of letters and digits of each spoken word, at its midpoint. States (word, 1)."""

    settings: ClassVar[Mapping[str, Any]] = {"at": "middle", "value": "letters"}

    def value(self, word: str) -> float:
        """Number of letters and digits; apostrophes and hyphens do not count."""
        return float(sum(character.isalnum() for character in word))


# ------------------------------------------------------------------------------------- position


class Position(_Control):
    """Minutes since the story began, and their square. States (time, 2), two per second.

    Slow drifts of the scanner and the listener follow it. A model that predicts no better has
    only learnt the time.
    """

    STEP = 0.5
    MARGIN = 30.0
    settings: ClassVar[Mapping[str, Any]] = {"step": STEP, "margin": MARGIN, "powers": [1, 2]}

    def times(self, story: Story) -> Floats:
        """A regular grid, (time,), in seconds, that extends beyond both ends of the story.

        So no aligner meets an edge within the story.
        """
        steps = np.arange(-self.MARGIN, story.end + self.MARGIN, self.STEP)
        return np.asarray(steps, dtype=np.float64)

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Linear and quadratic time, (time, 2)."""
        minutes = self.times(story) / 60
        yield np.stack([minutes, minutes**2], axis=1).astype(np.float32)


class Autocorrelation(_Control):
    """Gaussian bumps along story time, one per unit. States (time, 256), one per second.

    Unit ``k`` at time ``t`` (in seconds) is ``exp(-(t - 10 k)^2 / (2 * 10^2))``. Within one story
    the bumps carry the response at each moment over to neighbouring moments: what they predict in
    contiguous folds is what smoothness alone can predict (Hadidi et al. 2024). Across stories they
    predict whatever always happens at the same time of a scan.
    """

    STEP = 1.0
    APART = 10.0
    """Seconds between the centres of bumps, and their standard deviation."""
    BUMPS = 256
    settings: ClassVar[Mapping[str, Any]] = {"step": STEP, "apart": APART, "bumps": BUMPS}

    def times(self, story: Story) -> Floats:
        """A regular grid, (time,), in seconds, that extends beyond both ends of the story.

        Raises
        ------
        DataError
            If the story is longer than the bumps reach.
        """
        most = self.APART * self.BUMPS
        if story.end > most:
            raise DataError(
                f"story {story.name!r} lasts {story.end:.0f} s; the autocorrelation control "
                f"reaches only {most:.0f} s"
            )
        return np.arange(-Position.MARGIN, story.end + Position.MARGIN, self.STEP)

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Gaussians of the distance from each bump's centre, (time, bump)."""
        distance = (self.times(story)[:, None] / self.APART) - np.arange(self.BUMPS)
        yield np.exp(-0.5 * distance**2).astype(np.float32)


# ---------------------------------------------------------------------------------------- sound


class _PerWindow(_Control):
    """Features of each whole 0.1 s of sound, placed at its end, so that they are causal."""

    def times(self, story: Story) -> Floats:
        """End of each window, (time,), in seconds."""
        audio = story.need_audio()
        n = round(audio.duration * audio.native_rate) * SAMPLE_RATE // audio.native_rate // WINDOW
        ends = np.arange(1, n + 1, dtype=np.float64) * (WINDOW / SAMPLE_RATE)
        return audio.start + ends

    def values(self, story: Story) -> Iterator[NDArray[np.float32]]:
        """Features of the windows, (time, unit), five minutes of sound at a time."""
        n = len(self.times(story))
        windows = story.need_audio().read(SAMPLE_RATE)[: n * WINDOW].reshape(n, WINDOW)
        for first in range(0, n, BLOCK):
            yield self.features(windows[first : first + BLOCK])

    @abstractmethod
    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the features of windows of sound.

        Parameters
        ----------
        windows : ndarray of float32
            (time, sample).

        Returns
        -------
        ndarray of float32
            (time, unit).
        """


class SoundPower(_PerWindow):
    """Root mean square of the sound over each 0.1 s. States (time, 1), ten per second."""

    settings: ClassVar[Mapping[str, Any]] = {"rate": SAMPLE_RATE, "window": WINDOW, "value": "rms"}

    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Root mean square of each window, (time, 1)."""
        power = np.square(windows, dtype=np.float64).mean(axis=1, keepdims=True)
        return np.sqrt(power).astype(np.float32)


class MelSpectrogram(_PerWindow):
    """Log power in 32 mel bands over each 0.1 s. States (time, 32), ten per second.

    ``log(mean power + 1e-8)``, where the mean is over frames of 25 ms, one every 10 ms, that
    lie within the window.
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
        """Log mean power of each window in each band, (time, band)."""
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
