"""Words with the times at which they are spoken."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.errors import DataError
from voxelzoo.stimuli.audio import Floats
from voxelzoo.stimuli.files import content_digest, require_downloaded
from voxelzoo.text import shortened


@dataclass(frozen=True)
class Words:
    """Transcribed words with their times on the story's clock.

    Parameters
    ----------
    text : tuple of str
        The words, in order. An item with empty text is a silence, which protocols treat
        differently.
    onsets, offsets : ndarray of float64
        Beginning and end of each, (word,), in seconds. Both are NaN for a word whose time is not
        known: it is part of the text, and has no state.
    labels : tuple of str, optional
        What the aligner wrote for each item, before silences and noises became items without text:
        protocols differ in which labels they take for words. By default ``text``.

    Raises
    ------
    DataError
        If lengths differ, a time is not finite (other than both of a word), no word has a time, a
        word ends before it begins, or onsets decrease.
    """

    text: tuple[str, ...]
    onsets: Floats
    offsets: Floats
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.text)
        if not self.labels:
            object.__setattr__(self, "labels", self.text)
        if len(self.labels) != n:
            raise DataError(f"{n} words but {len(self.labels)} labels")
        if self.onsets.shape != (n,) or self.offsets.shape != (n,):
            raise DataError(
                f"{n} words but onsets {self.onsets.shape} and offsets {self.offsets.shape}"
            )
        untimed = np.isnan(self.onsets) & np.isnan(self.offsets)
        bad = ~(np.isfinite(self.onsets + self.offsets) | untimed)
        if bad.any() or (n and untimed.all()):
            where = int(np.flatnonzero(bad if bad.any() else untimed)[0])
            raise DataError(f"word {where + 1} ({shortened(self.text[where])}) has no finite time")
        if (self.offsets < self.onsets).any():
            where = int(np.flatnonzero(self.offsets < self.onsets)[0])
            raise DataError(
                f"word {where + 1} ({shortened(self.text[where])}) ends at "
                f"{self.offsets[where]:g} s, before it begins at {self.onsets[where]:g} s"
            )
        timed = np.flatnonzero(~untimed)
        if (backwards := np.flatnonzero(np.diff(self.onsets[timed]) < 0)).size:
            before, where = timed[backwards[0]], timed[backwards[0] + 1]
            raise DataError(
                f"word {where + 1} ({shortened(self.text[where])}) begins at "
                f"{self.onsets[where]:g} s, before the word that precedes it "
                f"({self.onsets[before]:g} s)"
            )

    def __len__(self) -> int:
        return len(self.text)

    @property
    def times(self) -> Floats:
        """Middle of each word, (word,), in seconds: the time that its state has by convention.

        NaN for a word without a time.
        """
        middles: Floats = (self.onsets + self.offsets) / 2
        return middles

    def spoken(self) -> Words:
        """The words that have states: with a time, and without silences."""
        keep = [i for i, text in enumerate(self.text) if text and self.is_timed[i]]
        return self._only(keep)

    @property
    def is_timed(self) -> NDArray[np.bool_]:
        """Which words have a time, (word,)."""
        return np.asarray(~np.isnan(self.onsets))

    def timed(self) -> Words:
        """The words and silences that have a time."""
        return self if self.is_timed.all() else self._only(np.flatnonzero(self.is_timed).tolist())

    def _only(self, keep: list[int]) -> Words:
        return Words(
            tuple(self.text[i] for i in keep),
            self.onsets[keep].copy(),
            self.offsets[keep].copy(),
            tuple(self.labels[i] for i in keep),
        )

    def shifted(self, seconds: float) -> Words:
        """The same words at another time: the misalignment control.

        Parameters
        ----------
        seconds : float
            How much later.

        Returns
        -------
        Words
        """
        return Words(self.text, self.onsets + seconds, self.offsets + seconds, self.labels)

    @cached_property
    def digest(self) -> str:
        """Digest of text, times and labels."""
        labels = () if self.labels == self.text else ("\0".join(self.labels),)
        return content_digest("\0".join(self.text), self.onsets, self.offsets, *labels)


LABEL_COLUMN = "aligner_label"
"""Column of what the aligner wrote for an item, in a table of words."""

_NO_TIME = ("", "na", "n/a", "nan", "none")
"""What aligners and tables write for a time that is not known, in lower case."""


def _read_times(onset: str, offset: str) -> tuple[float, float]:
    """Both times, or NaN for both; :class:`ValueError` if they are no numbers."""
    if onset.lower() in _NO_TIME and offset.lower() in _NO_TIME:
        return np.nan, np.nan
    return float(onset), float(offset)


def read_words_csv(path: Path) -> Words:
    """Words from a CSV file with the columns ``word``, ``onset`` and ``offset``.

    Parameters
    ----------
    path : Path
        A UTF-8 file whose first line names the columns; times are in seconds.

    Returns
    -------
    Words
        The words; an empty ``word`` is a silence. A word whose onset and offset are both empty (or
        ``NA``) has no time. A column ``aligner_label``, if there is one, has the labels.

    Raises
    ------
    DataError
        If the file cannot be used. The message names the file, the line and what is wrong.
    """
    try:
        raw = require_downloaded(path).read_text(encoding="utf-8-sig")
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
    labelled = header.index(LABEL_COLUMN) if LABEL_COLUMN in header else columns[0]
    text: list[str] = []
    labels: list[str] = []
    times: list[tuple[float, float]] = []
    for number, row in rows[1:]:
        if not row:
            continue
        if any("\n" in field for field in row):
            raise DataError(
                f"{path}:{number}: a word runs over several lines: a quotation mark that opens it "
                "is closed in a later line, and the lines between would be lost"
            )
        # More fields than columns: decimal commas, which would be read as other times.
        if not max(*columns, labelled) < len(row) <= len(header):
            raise DataError(f"{path}:{number}: {len(row)} fields, expected {len(header)}")
        word, onset, offset = (row[column].strip() for column in columns)
        try:
            times.append(_read_times(onset, offset))
        except ValueError:
            raise DataError(
                f"{path}:{number}: onset {shortened(onset)} and offset {shortened(offset)} must be "
                "seconds"
            ) from None
        text.append(word)
        labels.append(row[labelled].strip())
    if not text:
        raise DataError(f"{path}: no words")
    both = np.array(times, dtype=np.float64)
    try:
        return Words(tuple(text), both[:, 0].copy(), both[:, 1].copy(), tuple(labels))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
