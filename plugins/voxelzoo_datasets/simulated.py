"""A simulated dataset with known drivers and noise ceilings for every voxel.

Nothing is downloaded; every number follows from the options and the seed. Each story is speech-like
sound with its words. Each voxel has one of four drivers:

- ``sound``: a random mix of log energies in frequency bands, from an STFT;
- ``word-rate``: word onsets;
- ``context``: word embeddings summed with exponential decay, so that the state depends on all
  preceding words;
- ``noise``: none.

The driver is convolved with a gamma-shaped haemodynamic response, and white noise of known variance
is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    Audio,
    DatasetInfo,
    GeneratedSound,
    NotFoundError,
    ScanClock,
    Story,
    UsageError,
    content_digest,
)
from voxelzoo_datasets import options as typed
from voxelzoo_datasets.plugin import SIMULATED
from voxelzoo_datasets.speech import RATE, TOPICS, VOCABULARY, Speech

Floats = NDArray[np.float64]

DRIVERS = ("sound", "word-rate", "context", "noise")
"""Possible drivers; each drives the same number of voxels."""

STEP = 0.1
"""Time step at which drivers are generated and convolved, in seconds."""

PEAK = 5.0
"""Time to peak of the haemodynamic response, in seconds."""

BANDS = 12
EMBEDDING = 8
MEMORY = 2.0
"""Decay time constant of the context, in seconds."""

GENERATION = 1
"""Increase whenever the same options give different data; a test compares digests."""

_OPTIONS = {
    "stories": "number of training stories (default 3)",
    "test_stories": "number of held-out stories (default 1)",
    "seconds": "length of each story in seconds (default 75)",
    "tr": "repetition time in seconds (default 1.5)",
    "voxels": "voxels per subject, a multiple of 4 (default 160)",
    "subjects": "number of subjects (default 2)",
    "repeats": "presentations of each test story (default 4), or one number per test story: 10,5,5",
    "trim": "volumes dropped at each end of a story (default 0)",
    "seed": "seed of all random numbers, 0 or more (default 0)",
}


@dataclass(frozen=True)
class _Size:
    """All options; together they determine the dataset."""

    stories: int
    test_stories: int
    seconds: float
    tr: float
    voxels: int
    subjects: int
    repeats: tuple[int, ...]
    """Presentations of each test story."""
    seed: int
    trim: int


class _Responses:
    """Responses with a known shape, generated when first indexed."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, ...], generate: Callable[[], NDArray[np.float32]]) -> None:
        self.shape = shape
        self._values = cache(generate)

    def __getitem__(self, index: Any) -> Any:
        return self._values()[index]


class SimulatedDataset:
    """Simulated speech and voxels with known drivers and ceilings, kept in memory.

    Parameters
    ----------
    path : None
        Not used; the data are generated.
    **options : str
        - ``stories``: number of training stories (default 3).
        - ``test_stories``: number of held-out stories (default 1).
        - ``seconds``: length of each story in seconds (default 75, at least 10).
        - ``tr``: repetition time in seconds (default 1.5, at least 0.5).
        - ``voxels``: voxels per subject, a multiple of 4 (default 160).
        - ``subjects``: number of subjects (default 2).
        - ``repeats``: presentations of each test story (default 4), or one number per test story.
        - ``trim``: volumes dropped at each end of a story (default 0).
        - ``seed``: seed of all random numbers (default 0).

    Raises
    ------
    UsageError
        If a path is given, or an option is unknown or invalid.
    """

    def __init__(self, path: Path | None = None, **options: str) -> None:
        if path is not None:
            raise UsageError(f"dataset 'simulated' is generated and takes no folder ({path})")
        typed.check_options("simulated", options, _OPTIONS)

        def whole(name: str, default: int, least: int) -> int:
            return typed.whole(name, options.get(name, str(default)), least)

        def seconds(name: str, default: float, least: float) -> float:
            return typed.seconds(name, options.get(name, str(default)), least)

        test_stories = whole("test_stories", 1, 0)
        self.size = _Size(
            stories=whole("stories", 3, 1),
            test_stories=test_stories,
            seconds=seconds("seconds", 75.0, 10.0),
            tr=seconds("tr", 1.5, 0.5),
            voxels=whole("voxels", 160, len(DRIVERS)),
            subjects=whole("subjects", 2, 1),
            repeats=_repeats(options.get("repeats", "4"), test_stories),
            seed=whole("seed", 0, 0),
            trim=whole("trim", 0, 0),
        )
        if (n_trs := int(self.size.seconds / self.size.tr) - 2 * self.size.trim) < 3:
            raise UsageError(
                f"dataset option trim={self.size.trim}: leaves {max(n_trs, 0)} volumes per story; "
                "at least 3 are needed"
            )
        if self.size.voxels % len(DRIVERS):
            raise UsageError(
                f"dataset option voxels={self.size.voxels}: must be a multiple of {len(DRIVERS)}"
            )
        self._train = tuple(f"story{i + 1:02d}" for i in range(self.size.stories))
        self._test = tuple(f"test{i + 1:02d}" for i in range(self.size.test_stories))
        self._speech = cache(self._make_speech)
        self._driven = cache(self._convolve_drivers)
        self._signals = cache(self._make_signals)

    def info(self) -> DatasetInfo:
        """Name and licence."""
        return DatasetInfo.of(
            SIMULATED, "Generated speech; voxels driven by sound, word rate, context or nothing."
        )

    def subjects(self) -> tuple[str, ...]:
        """``sub-01``, ``sub-02``, ..."""
        return tuple(f"sub-{i + 1:02d}" for i in range(self.size.subjects))

    def train_stories(self) -> tuple[str, ...]:
        """Training stories, presented once."""
        return self._train

    def test_stories(self) -> tuple[str, ...]:
        """Held-out stories, presented ``repeats`` times."""
        return self._test

    def story(self, name: str) -> Story:
        """Words and sound."""
        self._check_story(name)
        speech = self._speech(name)
        sound = GeneratedSound(
            speech.n_samples, self._recipe("sound", name, self.size.seconds), lambda: speech.samples
        )
        return Story(name, words=speech.words, audio=Audio(samples=sound, rate=RATE))

    def clock(self, story: str) -> ScanClock:
        """The first volume starts with the story; ``trim`` volumes are dropped at each end."""
        self._check_story(story)
        tr, trim = self.size.tr, self.size.trim
        return ScanClock(
            tr=tr, start=trim * tr, n_trs=int(self.size.seconds / tr) - 2 * trim, n_dropped=trim
        )

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Signal plus noise, (TR, voxel), or (repeat, TR, voxel) for a repeated test story."""
        self._check_story(story)
        signal, noise_sd = self._signal(subject, story)
        rng = self._rng("scanner", subject, story)
        repeats = self._repeats(story)
        noisy = signal + noise_sd * rng.normal(size=(repeats, *signal.shape))
        return (noisy if repeats > 1 else noisy[0]).astype(np.float32)

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[_Responses]:
        """The same responses, generated only when values are read."""
        self._check_subject(subject)
        self._check_story(story)
        repeats, shape = self._repeats(story), (self.clock(story).n_trs, self.size.voxels)
        full_shape = (repeats, *shape) if repeats > 1 else shape
        yield _Responses(full_shape, lambda: self.responses(subject, story))

    def signal(self, subject: str, story: str) -> Floats:
        """Responses without noise.

        Parameters
        ----------
        subject, story : str
            As for :meth:`responses`.

        Returns
        -------
        ndarray of float64
            (TR, voxel); zero for voxels driven by ``noise``.
        """
        self._check_story(story)
        return self._signal(subject, story)[0]

    def drivers(self) -> tuple[str, ...]:
        """Driver of each voxel."""
        return tuple(np.repeat(DRIVERS, self.size.voxels // len(DRIVERS)).tolist())

    def voxel_labels(self, subject: str) -> tuple[str, ...]:
        """Driver of each voxel, as its label."""
        self._check_subject(subject)
        return self.drivers()

    def ceiling(self, subject: str) -> Floats:
        """Expected r of the true signal with the repeat-averaged responses.

        It is computed over all test stories, or over the training stories if there are none.

        Parameters
        ----------
        subject : str
            One of :meth:`subjects`.

        Returns
        -------
        ndarray of float64
            (voxel,).
        """
        stories = self._test or self._train
        parts = [self._signal(subject, story) for story in stories]
        power = np.concatenate([signal for signal, _ in parts]).var(axis=0)
        noise = np.mean(
            [sd**2 / self._repeats(s) for s, (_, sd) in zip(stories, parts, strict=True)], axis=0
        )
        expected: Floats = np.sqrt(power / (power + noise))
        return expected

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the options and seed, which determine the responses."""
        self._check_story(story)
        self._check_subject(subject)
        return self._recipe("responses", subject, story, self.size)

    # ------------------------------------------------------------------------------ generation

    def _recipe(self, *parts: object) -> str:
        """Digest of everything that determines an array, computed without generating it."""
        return content_digest("simulated", *map(repr, (GENERATION, self.size.seed, *parts)))

    def _rng(self, *purpose: str) -> np.random.Generator:
        """A separate random generator per purpose, so that order does not matter."""
        words = [int.from_bytes(content_digest(p).encode()[:8], "little") for p in purpose]
        return np.random.default_rng([self.size.seed, *words])

    def _repeats(self, story: str) -> int:
        """Presentations of a story."""
        return self.size.repeats[self._test.index(story)] if story in self._test else 1

    def _check_story(self, name: str) -> None:
        stories = (*self._train, *self._test)
        if name not in stories:
            raise NotFoundError(f"simulated: no story {name!r}; it has {', '.join(stories)}")

    def _check_subject(self, name: str) -> None:
        if name not in self.subjects():
            raise NotFoundError(
                f"simulated: no subject {name!r}; it has {', '.join(self.subjects())}"
            )

    def _make_speech(self, story: str) -> Speech:
        return Speech(self._rng("speech", story), self.size.seconds)

    def _convolve_drivers(self, story: str) -> dict[str, Floats]:
        """Each driver convolved with the response function, at mid-TR times: (TR, dimension)."""
        speech = self._speech(story)
        n = round(self.size.seconds / STEP)
        at = self.clock(story).times
        grid = (np.arange(n) + 0.5) * STEP
        sources = {
            "sound": band_energies(speech.samples, n),
            "word-rate": _impulses(speech.words.onsets, np.ones((len(speech.words), 1)), n),
            "context": self._context(speech, n),
        }
        driven = {}
        for name, source in sources.items():
            # Before the story each driver has its mean value, so that nothing jumps at time 0.
            convolved = _convolve(source - source.mean(axis=0), haemodynamic_response())
            columns = [np.interp(at, grid, column) for column in convolved.T]
            driven[name] = np.stack(columns, axis=1)
        return driven

    def _context(self, speech: Speech, n: int) -> Floats:
        """Embeddings of the preceding words, summed with exponential decay, (step, dimension)."""
        rng = self._rng("embedding")
        vectors = 0.5 * rng.normal(size=(len(VOCABULARY), EMBEDDING))
        for topic in TOPICS.values():  # words of one topic have similar embeddings
            vectors[[VOCABULARY.index(word) for word in topic]] += 1.5 * rng.normal(size=EMBEDDING)
        rows = vectors[[VOCABULARY.index(word) for word in speech.words.text]]
        decay = np.exp(-np.arange(0, 5 * MEMORY, STEP) / MEMORY)
        return _convolve(_impulses(speech.words.onsets, rows, n), decay)

    def _make_signals(self, subject: str) -> tuple[dict[str, Floats], Floats]:
        """Signal of each story, with unit variance over the training stories, and noise sd."""
        rng = self._rng("voxels", subject)
        n_each = self.size.voxels // len(DRIVERS)
        share = rng.uniform(
            0.35, 0.75, self.size.voxels
        )  # share of signal in the variance of one response
        noise_sd = np.sqrt((1 - share) / share)
        mixes = {
            name: rng.normal(size=(matrix.shape[1], n_each))
            for name, matrix in self._driven(self._train[0]).items()
        }
        mixes["word-rate"] = np.abs(mixes["word-rate"])
        signals = {}
        for story in (*self._train, *self._test):
            driven = self._driven(story)
            parts = [driven[name] @ mixes[name] for name in DRIVERS if name != "noise"]
            signals[story] = np.concatenate([*parts, np.zeros_like(parts[0])], axis=1)
        scale = np.concatenate([signals[story] for story in self._train]).std(axis=0)
        scale[scale == 0] = 1
        return {story: signal / scale for story, signal in signals.items()}, noise_sd

    def _signal(self, subject: str, story: str) -> tuple[Floats, Floats]:
        self._check_subject(subject)
        signals, noise_sd = self._signals(subject)
        return signals[story], noise_sd


def _repeats(text: str, n_stories: int) -> tuple[int, ...]:
    """Parse the repeats of each test story: one number for all, or one per story."""
    counts = [typed.whole("repeats", part.strip(), 1) for part in text.split(",")]
    if len(counts) == 1:
        return tuple(counts) * n_stories
    if len(counts) != n_stories:
        raise UsageError(
            f"dataset option repeats={text!r}: {len(counts)} numbers for {n_stories} test stories"
        )
    return tuple(counts)


def haemodynamic_response() -> Floats:
    """Gamma density with its peak at 5 s, sampled every 0.1 s for 20 s, with unit sum."""
    t = np.arange(0, 20, STEP)
    scale = 0.7
    response = t ** (PEAK / scale) * np.exp(-t / scale)
    normalised: Floats = response / response.sum()
    return normalised


def band_energies(samples: NDArray[np.float32], n: int) -> Floats:
    """Log energy in 12 bands from 80 Hz to 7 kHz, averaged over 0.1 s steps: (n, band)."""
    hop, width = 160, 400
    short = n * round(STEP * RATE) + width - hop - len(samples)
    padded = np.pad(samples.astype(np.float64), (0, max(0, short)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]
    frames = frames[: n * round(STEP * RATE) // hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), axis=1)) ** 2
    edges = np.geomspace(80, 7000, BANDS + 1)
    frequencies = np.fft.rfftfreq(width, 1 / RATE)
    bands = [
        power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1)
        for low, high in pairwise(edges)
    ]
    energies = np.stack(bands, axis=1).reshape(n, -1, BANDS).mean(axis=1)
    logged: Floats = np.log(energies + 1e-3 * energies.mean())
    return logged


def _impulses(times: Floats, values: Floats, n: int) -> Floats:
    """Sum values (event, dimension) into time steps: (n, dimension)."""
    train = np.zeros((n, values.shape[1]))
    np.add.at(train, np.minimum((times / STEP).astype(int), n - 1), values)
    return train


def _convolve(source: Floats, kernel: Floats) -> Floats:
    """Convolve each column with a causal kernel; keep the length of the source."""
    columns = [np.convolve(column, kernel)[: len(source)] for column in source.T]
    return np.stack(columns, axis=1)
