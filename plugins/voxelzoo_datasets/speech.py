"""Simulated speech: pseudo-English words with their times, and the corresponding sound.

The text has Zipf-like word frequencies and topics that last for a few sentences. The sound has
vowels with formants and varying pitch, consonant noise, pauses, and background noise whose loudness
changes over seconds, slowly enough for haemodynamic responses. It is neither a real language nor a
real voice, but words, rhythm and spectrum vary on the time scales of a radio play.
"""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import Words

Floats = NDArray[np.float64]

RATE = 16_000
"""Samples per second."""

_FUNCTION = (
    "the and of to a in that it was he she they with on for his her as at but had not all so we "
    "this from by then there when one out up them into over what were who down would be now like "
    "just about some could again only very before after"
)

_TOPICS = {
    "outdoors": "boat tree wave river harbor fox captain branch sail owl storm moss rope stone "
    "anchor path island leaf tide shadow gull deer deck berry sailor root fish cabin shore axe "
    "salt lantern wind snow drift hill net meadow reef trail",
    "home": "bread mother oven father butter sister onion brother kettle baby spoon cousin plate "
    "wedding supper dinner sugar uncle pepper grandma flour birthday recipe kiss stove laugh knife "
    "promise apple photo honey garden cream cradle soup memory table holiday cook kin",
    "town": "street taxi tower market corridor elevator office station ticket bridge traffic "
    "neighbor doorman subway crowd signal bakery corner siren hotel",
    "lessons": "teacher violin lesson singer pencil drum paper piano window concert desk melody "
    "chalk rhythm book stage pupil chorus answer trumpet question audience bell guitar ruler "
    "dancer library opera letter record story tune number applause exam conductor page whistle",
}

FUNCTION_WORDS = tuple(_FUNCTION.split())
TOPICS = {topic: tuple(words.split()) for topic, words in _TOPICS.items()}
VOCABULARY = tuple(
    dict.fromkeys(word for words in (FUNCTION_WORDS, *TOPICS.values()) for word in words)
)

_SCENE = (160, 400, 900, 2000, 4500)
"""Centre frequencies of the background noise, in Hz."""

_SCENE_DB = 0.0
"""Level of the background relative to the voice, in dB."""

_SWELL = 3.0
"""Time scale of the background's loudness changes, in seconds (half width of smoothing)."""

_FORMANTS = {
    "a": (730, 1190, 2450),
    "e": (530, 1840, 2480),
    "i": (290, 2250, 2980),
    "o": (570, 840, 2410),
    "u": (320, 900, 2240),
    "y": (340, 1980, 2750),
}
"""First three formants of each vowel, in Hz: rounded textbook averages."""


class Speech:
    """Words with their times, and their sound, generated on first use.

    Parameters
    ----------
    rng : numpy.random.Generator
        Determines text, timing and sound.
    seconds : float
        Length of the story, in seconds.

    Attributes
    ----------
    words : Words
        The words with onsets and offsets in seconds.
    n_samples : int
        Number of samples of the sound.
    """

    def __init__(self, rng: np.random.Generator, seconds: float) -> None:
        self.words = _make_words(rng, seconds)
        self.n_samples = round(seconds * RATE)
        self._rng, self._seconds = rng, seconds

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        """The sound, (sample,), at :data:`RATE`."""
        return _make_sound(self._rng, self.words, self._seconds)


def syllables(word: str) -> list[str]:
    """Split a word after each run of vowels; final consonants join the last syllable."""
    parts, current = [], ""
    for letter, following in zip(word, word[1:] + "-", strict=True):
        current += letter
        if letter in _FORMANTS and following not in _FORMANTS:
            parts.append(current)
            current = ""
    if current and parts:
        parts[-1] += current
    return parts or [current]


def _make_words(rng: np.random.Generator, seconds: float) -> Words:
    """Sentences of four to eleven words; speech rate and pauses vary between sentences."""
    topics = tuple(TOPICS)
    topic = topics[rng.integers(len(topics))]
    spoken: list[tuple[str, float, float]] = []
    now = 0.4 + 0.4 * rng.random()
    while True:
        if rng.random() < 0.3:
            topic = topics[rng.integers(len(topics))]
        pace = float(np.exp(rng.normal(0, 0.22)))
        for place in range(int(rng.integers(4, 12))):
            bare = place % 2 == int(rng.random() < 0.2)
            word = _zipf(rng, FUNCTION_WORDS if bare else TOPICS[topic])
            length = (0.05 + 0.12 * len(syllables(word)) + 0.012 * len(word)) * pace
            length *= 0.9 + 0.2 * rng.random()
            if now + length > seconds - 0.2:
                break
            spoken.append((word, now, now + length))
            now += length + (0.25 * rng.random() if rng.random() < 0.12 else 0.015)
        else:
            now += 0.2 + 1.8 * rng.random() ** 2
            continue
        break
    text, onsets, offsets = zip(*spoken, strict=True)
    return Words(tuple(text), np.array(onsets), np.array(offsets))


def _zipf(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    weights = 1 / (np.arange(len(words)) + 1)
    return words[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))]


def _make_sound(rng: np.random.Generator, words: Words, seconds: float) -> NDArray[np.float32]:
    """Sound of the words over the background: glottal pulses through formants, and noise."""
    n = round(seconds * RATE)
    times = np.arange(0, seconds + 0.1, 0.1)
    wander = np.convolve(rng.normal(0, 1, len(times) + 20), np.hanning(21), "valid")
    pitch = np.interp(np.arange(n) / RATE, times, 140 * np.exp(0.06 * wander))
    phase = np.cumsum(pitch / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * 12
    hiss = rng.normal(0, 1, n)
    voice = np.zeros(n)
    loudness = np.exp(rng.normal(0, 0.35, len(words)))
    for word, onset, offset, loud in zip(
        words.text, words.onsets, words.offsets, loudness, strict=True
    ):
        parts = syllables(word)
        edges = np.linspace(onset * RATE, offset * RATE, len(parts) + 1).astype(int)
        for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True):
            voice[start:stop] += loud * _syllable(part, pulses[start:stop], hiss[start:stop])
    scene = _scene(rng, seconds)
    sound = voice / voice.std() + 10 ** (_SCENE_DB / 20) * scene / scene.std()
    return (0.05 * sound / sound.std()).astype(np.float32)


def _scene(rng: np.random.Generator, seconds: float) -> Floats:
    """Background: noise in separate bands, each with its own slowly varying loudness."""
    n = round(seconds * RATE)
    scene = 0.04 * rng.normal(0, 1, n)
    step = 0.5
    times = np.arange(0, seconds + step, step)
    window = np.hanning(round(2 * _SWELL / step) + 1)
    for centre in _SCENE:
        swell = np.convolve(rng.normal(0, 1, len(times) + len(window) - 1), window, "valid")
        loudness = np.exp(1.2 * swell / np.sqrt((window**2).sum()))
        noise = _resonate(centre, centre / 3, rng.normal(0, 1, n))
        at_samples = np.interp(np.arange(n) / RATE, times, loudness)
        scene += at_samples * noise / noise.std()
    return scene


def _syllable(part: str, pulses: Floats, hiss: Floats) -> Floats:
    """One syllable: consonant noise, then vowel pulses through formants, with an envelope."""
    n = len(pulses)
    burst = min(n // 3, 1100) if part[0] not in _FORMANTS else 0
    vowel = next((letter for letter in part if letter in _FORMANTS), "e")
    voiced = np.zeros(n)
    for gain, formant in zip((1.0, 0.6, 0.3), _FORMANTS[vowel], strict=True):
        voiced[burst:] += gain * _resonate(formant, 90.0, pulses[burst:])
    voiced[burst:] *= np.sin(np.pi * np.linspace(0, 1, n - burst)) ** 0.5
    if burst:
        centre = 1500 + 230.0 * (ord(part[0]) - ord("a"))
        noise = _resonate(centre, 900.0, hiss[:burst])
        voiced[:burst] += 0.6 * noise * np.hanning(burst)
    return voiced


@cache
def _resonance(frequency: float, bandwidth: float) -> tuple[Floats, Floats]:
    """Coefficients of a two-pole filter with about unit gain at ``frequency`` (Hz)."""
    radius = np.exp(-np.pi * bandwidth / RATE)
    angle = 2 * np.pi * frequency / RATE
    poles = np.array([1.0, -2 * radius * np.cos(angle), radius**2])
    gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius**2)
    return np.array([gain]), poles


def _resonate(frequency: float, bandwidth: float, sound: Floats) -> Floats:
    """Filter a sound, (sample,)."""
    from scipy.signal import lfilter  # slow to import

    filtered: Floats = lfilter(*_resonance(frequency, bandwidth), sound)
    return filtered
