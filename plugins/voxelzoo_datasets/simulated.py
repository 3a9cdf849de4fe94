"""A generated dataset whose truth is known: what drives each voxel, and its noise ceiling.

Nothing is downloaded; every number follows from the seed. Each story is speech-like sound with its
words. A voxel is driven by one of

- ``sound``: a random mix of log energies in frequency bands, from a plain numpy STFT;
- ``word-rate``: the onsets of words;
- ``context``: word embeddings summed with exponential forgetting, so that a word's effect depends
  on what came before it;
- ``noise``: nothing;

through a gamma-shaped haemodynamic response, plus white noise of known variance.
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
"""What a voxel may follow; equally many voxels each."""

STEP = 0.1
"""Resolution at which drivers are made and convolved, in seconds."""

PEAK = 5.0
"""When the haemodynamic response peaks, in seconds."""

BANDS = 12
EMBEDDING = 8
MEMORY = 2.0
"""Time constant of the context's forgetting, in seconds."""

GENERATION = 1
"""Raised whenever the same options give other sound or responses; a test holds their digests."""

_OPTIONS = {
    "stories": "training stories (3)",
    "test_stories": "held-out stories (1)",
    "seconds": "length of a story (75)",
    "tr": "repetition time in seconds (1.5)",
    "voxels": "voxels per subject, a multiple of 4 (160)",
    "subjects": "subjects (2)",
    "repeats": "times a test story is heard (4), or one number a test story: 10,5,5",
    "trim": "volumes dropped at each end of a story (0)",
    "seed": "any whole number (0)",
}


@dataclass(frozen=True)
class _Size:
    """Everything that determines the dataset."""

    stories: int
    test_stories: int
    seconds: float
    tr: float
    voxels: int
    subjects: int
    repeats: tuple[int, ...]
    """Of each test story."""
    seed: int
    trim: int


class _Responses:
    """Responses whose shape is known before they are generated."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, ...], generate: Callable[[], NDArray[np.float32]]) -> None:
        self.shape = shape
        self._values = cache(generate)

    def __getitem__(self, index: Any) -> Any:
        return self._values()[index]


class SimulatedDataset:
    """Speech and voxels of known drivers and ceilings, kept in memory.

    Raises :class:`UsageError` for an option it does not have or a value that makes no sense.
    """

    def __init__(self, path: Path | None = None, **options: str) -> None:
        if path is not None:
            raise UsageError(f"dataset 'simulated' is generated; it reads no folder ({path})")
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
                f"dataset option trim={self.size.trim}: leaves {max(n_trs, 0)} of a story's volumes"
            )
        if self.size.voxels % len(DRIVERS):
            raise UsageError(
                f"dataset option voxels={self.size.voxels}: must be a multiple of {len(DRIVERS)}"
            )
        self._train = tuple(f"story{i + 1:02d}" for i in range(self.size.stories))
        self._test = tuple(f"test{i + 1:02d}" for i in range(self.size.test_stories))
        self._speech = cache(self._speak)
        self._driven = cache(self._drive)
        self._true = cache(self._make_signals)

    def info(self) -> DatasetInfo:
        """Name and licence."""
        return DatasetInfo.of(
            SIMULATED, "Generated speech; voxels driven by sound, word rate, context or nothing."
        )

    def subjects(self) -> tuple[str, ...]:
        """``sub-01``, ``sub-02``, ..."""
        return tuple(f"sub-{i + 1:02d}" for i in range(self.size.subjects))

    def train_stories(self) -> tuple[str, ...]:
        """Stories heard once."""
        return self._train

    def test_stories(self) -> tuple[str, ...]:
        """Stories heard ``repeats`` times."""
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
        """The first volume begins with the story; the last one ends within it; less the trim."""
        self._check_story(story)
        tr, trim = self.size.tr, self.size.trim
        return ScanClock(
            tr=tr, start=trim * tr, n_trs=int(self.size.seconds / tr) - 2 * trim, n_dropped=trim
        )

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Signal plus noise: (TR, voxel), or (repeat, TR, voxel) for a test story."""
        self._check_story(story)
        signal, noise_sd = self._signal(subject, story)
        rng = self._rng("scanner", subject, story)
        repeats = self._repeats(story)
        heard = signal + noise_sd * rng.normal(size=(repeats, *signal.shape))
        return (heard if repeats > 1 else heard[0]).astype(np.float32)

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[_Responses]:
        """The same; nothing is generated before values are asked for."""
        self._check_subject(subject)
        self._check_story(story)
        repeats, shape = self._repeats(story), (self.clock(story).n_trs, self.size.voxels)
        shape_of_all = (repeats, *shape) if repeats > 1 else shape
        yield _Responses(shape_of_all, lambda: self.responses(subject, story))

    def signal(self, subject: str, story: str) -> Floats:
        """What the voxels would do without noise, (TR, voxel): zero on noise voxels."""
        self._check_story(story)
        return self._signal(subject, story)[0]

    def drivers(self) -> tuple[str, ...]:
        """What drives each voxel."""
        return tuple(np.repeat(DRIVERS, self.size.voxels // len(DRIVERS)).tolist())

    def voxel_labels(self, subject: str) -> tuple[str, ...]:
        """The drivers."""
        self._check_subject(subject)
        return self.drivers()

    def ceiling(self, subject: str) -> Floats:
        """Expected r of the true signal with the repeat-averaged test responses, (voxel,).

        Over the test stories end to end; of the training stories where there is no test story.
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
        """Digest of the options and seed, from which every response follows."""
        self._check_story(story)
        self._check_subject(subject)
        return self._recipe("responses", subject, story, self.size)

    # ------------------------------------------------------------------------------ generation

    def _recipe(self, *what: object) -> str:
        """Digest of everything that determines a generated array; nothing is generated."""
        return content_digest("simulated", *map(repr, (GENERATION, self.size.seed, *what)))

    def _rng(self, *purpose: str) -> np.random.Generator:
        """A generator for one purpose, so that no draw depends on what was made before it."""
        words = [int.from_bytes(content_digest(p).encode()[:8], "little") for p in purpose]
        return np.random.default_rng([self.size.seed, *words])

    def _repeats(self, story: str) -> int:
        """How often a story is heard."""
        return self.size.repeats[self._test.index(story)] if story in self._test else 1

    def _check_story(self, name: str) -> None:
        known = (*self._train, *self._test)
        if name not in known:
            raise NotFoundError(f"simulated: no story {name!r}; it has {', '.join(known)}")

    def _check_subject(self, name: str) -> None:
        if name not in self.subjects():
            raise NotFoundError(
                f"simulated: no subject {name!r}; it has {', '.join(self.subjects())}"
            )

    def _speak(self, story: str) -> Speech:
        return Speech(self._rng("speech", story), self.size.seconds)

    def _drive(self, story: str) -> dict[str, Floats]:
        """Each driver through the haemodynamic response, at TR middles: (TR, dimension)."""
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
            # The scene before the story is taken to be its mean, so nothing jumps at time 0.
            blurred = _convolve(source - source.mean(axis=0), haemodynamic_response())
            columns = [np.interp(at, grid, column) for column in blurred.T]
            driven[name] = np.stack(columns, axis=1)
        return driven

    def _context(self, speech: Speech, n: int) -> Floats:
        """Embeddings of the words so far, forgotten exponentially, (step, dimension)."""
        rng = self._rng("embedding")
        vectors = 0.5 * rng.normal(size=(len(VOCABULARY), EMBEDDING))
        for topic in TOPICS.values():  # words of a topic mean alike
            vectors[[VOCABULARY.index(word) for word in topic]] += 1.5 * rng.normal(size=EMBEDDING)
        rows = vectors[[VOCABULARY.index(word) for word in speech.words.text]]
        forget = np.exp(-np.arange(0, 5 * MEMORY, STEP) / MEMORY)
        return _convolve(_impulses(speech.words.onsets, rows, n), forget)

    def _make_signals(self, subject: str) -> tuple[dict[str, Floats], Floats]:
        """Signals by story, of unit variance over the training stories, and the noise's sd."""
        rng = self._rng("voxels", subject)
        each = self.size.voxels // len(DRIVERS)
        share = rng.uniform(0.35, 0.75, self.size.voxels)  # signal's share of one response
        noise_sd = np.sqrt((1 - share) / share)
        mixes = {
            name: rng.normal(size=(matrix.shape[1], each))
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
        signals, noise_sd = self._true(subject)
        return signals[story], noise_sd


def _repeats(text: str, n_stories: int) -> tuple[int, ...]:
    """Repeats of each test story: one number for all, or one each."""
    counts = [typed.whole("repeats", part.strip(), 1) for part in text.split(",")]
    if len(counts) == 1:
        return tuple(counts) * n_stories
    if len(counts) != n_stories:
        raise UsageError(
            f"dataset option repeats={text!r}: {len(counts)} numbers for {n_stories} test stories"
        )
    return tuple(counts)


def haemodynamic_response() -> Floats:
    """A gamma density that peaks at 5 s, sampled every 0.1 s for 20 s; sums to one."""
    t = np.arange(0, 20, STEP)
    scale = 0.7
    response = t ** (PEAK / scale) * np.exp(-t / scale)
    normal: Floats = response / response.sum()
    return normal


def band_energies(samples: NDArray[np.float32], n: int) -> Floats:
    """Log energy in 12 bands from 80 Hz to 7 kHz, averaged over each 0.1 s: (n, band)."""
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
    """Values (event, dimension) summed into the step of each time: (n, dimension)."""
    train = np.zeros((n, values.shape[1]))
    np.add.at(train, np.minimum((times / STEP).astype(int), n - 1), values)
    return train


def _convolve(source: Floats, kernel: Floats) -> Floats:
    """Each column with a causal kernel, cut to the source's length."""
    columns = [np.convolve(column, kernel)[: len(source)] for column in source.T]
    return np.stack(columns, axis=1)
