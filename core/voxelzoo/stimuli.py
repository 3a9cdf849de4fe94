"""What the listener heard, and when the scanner looked: words, sound, stories and the scan clock.

All times are seconds on the story's own clock.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.errors import DataError

Floats = NDArray[np.float64]


def need_fetched(path: Path) -> Path:
    """``path``, or :class:`DataError` where a checkout has only a pointer to the file's content.

    git-annex leaves a link without a target or a line that names an object, git LFS a short text;
    either would otherwise be read as a damaged file.
    """
    if path.is_symlink() and not path.exists() and "annex/objects" in os.readlink(path):
        raise DataError(f"{path}: not fetched yet (git-annex); run: datalad get {path.name}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return path  # whoever reads it says why it cannot be read
    if head.startswith((b"/annex/objects/", b".git/annex/objects/")):
        raise DataError(f"{path}: not fetched yet (git-annex); run: datalad get {path.name}")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(
            f"{path}: not fetched yet (git LFS); run: git lfs pull --include='*/{path.name}'"
        )
    return path


def _short(text: str) -> str:
    """Text quoted for a line about it, cut where it is long."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."


def content_digest(*parts: bytes | str | NDArray[np.generic] | Path) -> str:
    """SHA-256 over the parts, each framed by its length; a path stands for its file's bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with need_fetched(part).open("rb") as file:
                inner = hashlib.file_digest(file, "sha256").digest()
        elif isinstance(part, str):
            inner = part.encode()
        elif isinstance(part, bytes):
            inner = part
        else:
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            inner = array.tobytes()
        digest.update(len(inner).to_bytes(8, "little"))
        digest.update(inner)
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------- words


@dataclass(frozen=True)
class Words:
    """Transcribed words with their times: ``onsets`` and ``offsets`` are (word,), in seconds.

    An item with empty text is a silence; protocols differ on what to do with it.
    """

    text: tuple[str, ...]
    onsets: Floats
    offsets: Floats

    def __post_init__(self) -> None:
        n = len(self.text)
        if self.onsets.shape != (n,) or self.offsets.shape != (n,):
            raise DataError(
                f"{n} words but onsets {self.onsets.shape} and offsets {self.offsets.shape}"
            )
        if not (np.isfinite(self.onsets).all() and np.isfinite(self.offsets).all()):
            where = int(np.flatnonzero(~np.isfinite(self.onsets + self.offsets))[0])
            raise DataError(f"word {where + 1} ({_short(self.text[where])}) has no finite time")
        if (self.offsets < self.onsets).any():
            where = int(np.flatnonzero(self.offsets < self.onsets)[0])
            raise DataError(
                f"word {where + 1} ({_short(self.text[where])}) ends at {self.offsets[where]:g} s, "
                f"before it begins at {self.onsets[where]:g} s"
            )
        if (np.diff(self.onsets) < 0).any():
            where = int(np.flatnonzero(np.diff(self.onsets) < 0)[0]) + 1
            raise DataError(
                f"word {where + 1} ({_short(self.text[where])}) begins at {self.onsets[where]:g} "
                f"s, before the word that precedes it ({self.onsets[where - 1]:g} s)"
            )

    def __len__(self) -> int:
        return len(self.text)

    @property
    def times(self) -> Floats:
        """Middle of each word, (word,), in seconds: where the field places it."""
        middles: Floats = (self.onsets + self.offsets) / 2
        return middles

    def spoken(self) -> Words:
        """The words with text: silences removed."""
        keep = [i for i, text in enumerate(self.text) if text]
        return Words(
            tuple(self.text[i] for i in keep), self.onsets[keep].copy(), self.offsets[keep].copy()
        )

    def shifted(self, seconds: float) -> Words:
        """The same words later by ``seconds``: the misalignment control."""
        return Words(self.text, self.onsets + seconds, self.offsets + seconds)

    @cached_property
    def digest(self) -> str:
        """Digest of text and times."""
        return content_digest("\0".join(self.text), self.onsets, self.offsets)


def read_words_csv(path: Path) -> Words:
    """Words from a CSV file with the columns ``word,onset,offset`` (times in seconds).

    Raises :class:`DataError` that names the file, the line and the fault.
    """
    try:
        raw = need_fetched(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    if "\0" in raw:
        raise DataError(f"{path}: holds NUL bytes; it is not a CSV file")
    try:
        reader = csv.reader(io.StringIO(raw, newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    missing = [name for name in ("word", "onset", "offset") if name not in header]
    if missing:
        raise DataError(
            f"{path}:1: no column {', '.join(missing)}; the first line must be word,onset,offset"
        )
    columns = [header.index(name) for name in ("word", "onset", "offset")]
    text: list[str] = []
    times: list[tuple[float, float]] = []
    for number, row in rows[1:]:
        if not row:
            continue
        if len(row) <= max(columns):
            raise DataError(f"{path}:{number}: {len(row)} fields, expected {len(header)}")
        word, onset, offset = (row[column].strip() for column in columns)
        try:
            times.append((float(onset), float(offset)))
        except ValueError:
            raise DataError(
                f"{path}:{number}: onset {_short(onset)} and offset {_short(offset)} must be "
                "seconds"
            ) from None
        text.append(word)
    if not text:
        raise DataError(f"{path}: no words")
    both = np.array(times, dtype=np.float64)
    try:
        return Words(tuple(text), both[:, 0].copy(), both[:, 1].copy())
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


_SILENCE = re.compile(r"|sp|sil|pau|spn|<.*>|\{.*\}|\[.*\]", re.IGNORECASE)
"""Labels that forced aligners give to what is not a word."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(rf'"((?:[^"]|"")*)"|<(\w+)>|\[\d*\]|(?<![\w.])({_NUMBER})(?![\w.])')
"""A value of a TextGrid: string, flag or number; the long form's item numbers are none."""


def read_textgrid(path: Path, tier: str | None = None) -> Words:
    """Words from a Praat TextGrid, long or short form, in UTF-8 or UTF-16.

    ``tier`` names the interval tier; by default the one called ``word`` or ``words``, or the only
    one. Silences (``sp``, ``sil``, empty, bracketed) stay as items with empty text. Raises
    :class:`DataError` that names the file and the fault.
    """
    try:
        raw = need_fetched(path).read_bytes()
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        content = raw.decode(encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        try:
            content = raw.decode("latin-1")
        except UnicodeDecodeError as error:  # pragma: no cover - latin-1 decodes anything
            raise DataError(f"{path}: unknown text encoding") from error
    if "ooTextFile" not in content[:200]:
        raise DataError(f"{path}: not a Praat TextGrid (it does not begin with 'ooTextFile')")
    tiers = _textgrid_tiers(path, content)
    if not tiers:
        raise DataError(f"{path}: no interval tier")
    if tier is not None:
        chosen = [items for name, items in tiers if name == tier]
    else:
        chosen = [items for name, items in tiers if name.strip().lower() in ("word", "words")]
        if not chosen and len(tiers) == 1:
            chosen = [tiers[0][1]]
    if not chosen:
        names = ", ".join(repr(name) for name, _ in tiers)
        raise DataError(f"{path}: no tier {tier or 'word'!r}; its interval tiers are {names}")
    if len(chosen) > 1:
        raise DataError(f"{path}: {len(chosen)} tiers are called {tier or 'word'!r}; keep one")
    items = chosen[0]
    text = tuple("" if _SILENCE.fullmatch(label.strip()) else label.strip() for *_, label in items)
    if not any(text):
        raise DataError(f"{path}: no words")
    try:
        return Words(
            text,
            np.array([onset for onset, _, _ in items], dtype=np.float64),
            np.array([offset for _, offset, _ in items], dtype=np.float64),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _textgrid_tiers(path: Path, content: str) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Interval tiers as (name, [(onset, offset, label)]), whichever form the file has.

    Both forms are the same sequence of values; the long one has labels between them. Strings,
    flags and free-standing numbers are read, everything else is skipped.
    """
    values = (
        float(match[3]) if match[3] else match[2] or match[1].replace('""', '"')
        for match in _TOKEN.finditer(content)
        if match.lastindex  # an item number is no value
    )

    def number() -> float:
        value = next(values)
        if isinstance(value, str):
            raise DataError(f"{path}: expected a number, found {_short(value)}")
        if not math.isfinite(value):
            raise DataError(f"{path}: a number is too large to be a time")
        return value

    def string() -> str:
        value = next(values)
        if isinstance(value, float):
            raise DataError(f"{path}: expected text, found {value:g}")
        return value

    def count() -> int:
        value = number()
        if value < 0 or not value.is_integer():
            raise DataError(f"{path}: expected how many items follow, found {value:g}")
        return int(value)

    tiers: list[tuple[str, list[tuple[float, float, str]]]] = []
    try:
        if (string(), string()) != ("ooTextFile", "TextGrid"):
            raise DataError(f"{path}: a Praat text file, but not a TextGrid")
        number(), number()
        if string() != "exists":
            return []
        for _ in range(count()):
            kind, name = string(), string()
            number(), number()
            size = count()
            if kind == "IntervalTier":
                tiers.append((name, [(number(), number(), string()) for _ in range(size)]))
            else:
                for _ in range(size):
                    number(), string()
    except StopIteration:
        raise DataError(f"{path}: ends before its last interval; the file is cut short") from None
    return tiers


# ---------------------------------------------------------------------------------------- sound


@dataclass(frozen=True)
class Audio:
    """A recording, in a file that soundfile reads (wav, flac, ogg, mp3) or in memory.

    ``samples`` (sample,) or (sample, channel), float32, go with ``rate``; or ``path`` names a file.
    ``start`` is the story-clock time of the first sample, in seconds.
    """

    path: Path | None = None
    samples: NDArray[np.float32] | None = None
    rate: int | None = None
    start: float = 0.0

    def __post_init__(self) -> None:
        if (self.path is None) == (self.samples is None):
            raise DataError("audio is either a file or samples in memory")
        if self.samples is not None and not self.rate:
            raise DataError("samples in memory need their rate in Hz")

    @cached_property
    def _header(self) -> tuple[int, int]:
        """(samples, rate) without reading the sound."""
        if self.samples is not None:
            assert self.rate is not None
            return len(self.samples), self.rate
        import soundfile

        assert self.path is not None
        need_fetched(self.path)
        try:
            info = soundfile.info(str(self.path))
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{self.path}: not readable as audio ({error})") from error
        return int(info.frames), int(info.samplerate)

    @property
    def native_rate(self) -> int:
        """Samples per second as recorded."""
        return self._header[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        frames, rate = self._header
        return frames / rate

    @cached_property
    def digest(self) -> str:
        """Digest of the sound."""
        if self.path is not None:
            return content_digest(self.path, repr(self.start))
        assert self.samples is not None
        return content_digest(self.samples, repr((self.rate, self.start)))

    @property
    def n_samples(self) -> int:
        """Samples of each channel, as recorded."""
        return self._header[0]

    def pieces(self, size: int) -> Iterator[NDArray[np.float32]]:
        """The recording as it is, mono, ``size`` samples at a time: (sample,) float32 each.

        Channels are averaged. Raises :class:`DataError` for sound that is empty, not finite, or
        shorter than the file says.
        """
        where = self.path or "audio in memory"
        done = 0
        for sound in self._raw_pieces(size):
            mono = sound if sound.ndim == 1 else sound.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                first = done + int(np.flatnonzero(~np.isfinite(mono))[0])
                raise DataError(
                    f"{where}: sample {first} ({first / self.native_rate:.3f} s) is not a finite "
                    "number"
                )
            done += len(mono)
            yield mono
        if not done:
            raise DataError(f"{where}: no samples")
        if done != self.n_samples:
            raise DataError(
                f"{where}: ends after {done} samples of {self.n_samples}; the file is cut short"
            )

    def _raw_pieces(self, size: int) -> Iterator[NDArray[np.float32]]:
        n_samples, _ = self._header  # a damaged file is named here
        if self.samples is not None:
            for part in blocks(n_samples, size):
                yield np.asarray(self.samples[part], dtype=np.float32)
            return
        import soundfile

        try:
            with soundfile.SoundFile(str(self.path)) as file:
                while len(sound := file.read(size, dtype="float32", always_2d=True)):
                    yield sound
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{self.path}: not readable as audio ({error})") from error

    def read(self, rate: int) -> NDArray[np.float32]:
        """The whole recording, mono, at ``rate`` Hz: (sample,) float32.

        Resampling is torchaudio's. Raises :class:`DataError` as :meth:`pieces` does.
        """
        sound = np.concatenate(list(self.pieces(1 << 22)))
        if rate != self.native_rate:
            import torch
            from torchaudio.transforms import Resample  # its kernel is worked out in float64

            sound = Resample(self.native_rate, rate)(torch.from_numpy(sound)).numpy()
        return np.ascontiguousarray(sound, dtype=np.float32)


# ---------------------------------------------------------------------------------------- story


@dataclass(frozen=True)
class Story:
    """One stimulus: words, sound, or states computed elsewhere, on one clock.

    ``features`` maps a name to a file with ``times`` (time,) and ``states`` (time, unit) or
    (layer, time, unit).
    """

    name: str
    words: Words | None = None
    audio: Audio | None = None
    features: Mapping[str, Path] = field(default_factory=dict)

    def digest(self, modality: str) -> str:
        """Digest of what a model of this modality can see.

        ``text``: words; ``audio``: sound; ``any``: both, and the states computed elsewhere.
        """
        parts: list[str] = []
        if modality in ("text", "any") and self.words is not None:
            parts.append("words:" + self.words.digest)
        if modality in ("audio", "any") and self.audio is not None:
            parts.append("audio:" + self.audio.digest)
        if modality == "any":
            for name, path in sorted(self.features.items()):
                parts.append(f"features/{name}:" + content_digest(path))
        return content_digest(*parts)

    def need_words(self) -> Words:
        """The words; :class:`DataError` where the story has none."""
        if self.words is None:
            raise DataError(
                f"story {self.name!r} has no words; a text model needs words.csv or a TextGrid"
            )
        return self.words

    def need_audio(self) -> Audio:
        """The sound; :class:`DataError` where the story has none."""
        if self.audio is None:
            raise DataError(
                f"story {self.name!r} has no audio; a speech model needs a wav or flac file"
            )
        return self.audio

    @property
    def end(self) -> float:
        """When the stimulus is over, in seconds on the story's clock."""
        ends = [0.0]
        if self.words is not None and len(self.words):
            ends.append(float(self.words.offsets.max()))
        if self.audio is not None:
            ends.append(self.audio.start + self.audio.duration)
        return max(ends)


@dataclass(frozen=True)
class ScanClock:
    """When each response row was acquired: row ``i`` begins at ``start + i * tr`` seconds."""

    tr: float
    start: float
    n_trs: int
    n_dropped: int | None = None
    """Volumes acquired before row 0 and not kept, where known; says nothing of any time."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tr) and self.tr > 0):
            raise DataError(f"TR must be a positive number of seconds, not {self.tr!r}")
        if not math.isfinite(self.start):
            raise DataError(f"start must be a number of seconds, not {self.start!r}")

    @property
    def times(self) -> Floats:
        """Middle of each volume, (TR,), in seconds: where features are sampled."""
        middles = np.arange(self.n_trs, dtype=np.float64) + 0.5
        return self.start + middles * self.tr


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``range(n)``."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
