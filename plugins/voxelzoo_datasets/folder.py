"""A plain folder, simple enough to write by hand.

::

    dataset.yaml                        name, tr, start, stories, subjects; averages,
                                        licence, citation
    stories/<story>/words.csv           word,onset,offset in seconds; or one Praat .TextGrid
    stories/<story>/*.wav               optional sound; or .flac, .ogg, .mp3
    stories/<story>/features/<name>.npz states computed elsewhere: times, states
    responses/<subject>/<story>.npy     (TR, voxel), or (repeat, TR, voxel)
    responses/<subject>/voxels.csv      optional; a column `label`, one row per voxel

The sound starts at story time 0.
"""

from __future__ import annotations

import csv
import struct
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    NotFoundError,
    ScanClock,
    Story,
    Words,
    content_digest,
    read_textgrid,
    read_words_csv,
    require_downloaded,
)
from voxelzoo_datasets.description import read_description
from voxelzoo_datasets.options import check_options

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

_OPTIONS = {"tier": "interval tier with the words, in TextGrids (default: word or words)"}

_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What numpy raises for damaged arrays, whose headers it parses as Python."""


class FolderDataset:
    """Stories and responses in the layout above.

    ``dataset.yaml`` is read at once; stories and responses are read and checked when used.

    Parameters
    ----------
    path : Path
        The folder with ``dataset.yaml``.
    **options : str
        - ``tier``: the TextGrids' interval tier with the words (default: ``word`` or ``words``).

    Raises
    ------
    UsageError
        If an option is unknown.
    DataError
        If a file is missing or damaged; the message names it.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options("folder", options, _OPTIONS)
        self._tier = options.get("tier")
        self._root = path
        self._description = read_description(path / "dataset.yaml")
        self._story = cache(self._read_story)
        self._shape = cache(self._read_shape)

    def info(self) -> DatasetInfo:
        """Name, licence and citation, from ``dataset.yaml``."""
        fields = self._description
        return DatasetInfo(fields.name, fields.summary, fields.licence, fields.citation)

    def subjects(self) -> tuple[str, ...]:
        """Subjects, in the order of ``dataset.yaml``."""
        return tuple(self._description.subjects)

    def averages(self) -> tuple[str, ...]:
        """Subjects that are means over others: ``averages`` in ``dataset.yaml``."""
        return tuple(self._description.averages)

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting."""
        return tuple(self._description.stories.train)

    def test_stories(self) -> tuple[str, ...]:
        """Held-out stories."""
        return tuple(self._description.stories.test)

    def story(self, name: str) -> Story:
        """Words, sound and features from the story's folder."""
        self._check_story(name)
        return self._story(name)

    def clock(self, story: str) -> ScanClock:
        """The scan clock; all subjects must have the same number of TRs."""
        self._check_story(story)
        rows = {
            subject: self._shape(file)[-2]
            for subject in self.subjects()
            if (file := self._file(subject, story)).is_file()
        }
        if not rows:
            raise DataError(f"{self._root / 'responses'}: no subject has {story}.npy")
        if len(set(rows.values())) > 1:
            counts = ", ".join(f"{subject} {n}" for subject, n in rows.items())
            raise DataError(f"story {story!r}: subjects differ in the number of TRs ({counts})")
        fields = self._description
        return ScanClock(tr=fields.tr, start=fields.start, n_trs=next(iter(rows.values())))

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses, (TR, voxel) or (repeat, TR, voxel); NaN values are kept."""
        self._check_subject(subject)
        self._check_story(story)
        self._same_voxels(subject)
        file = self._file(subject, story)
        stored = _open_array(file)
        with np.errstate(over="ignore"):  # overflow gives inf, which is reported below
            responses = stored.astype(np.float32)
        if np.isinf(responses).any():
            *_, row, voxel = np.argwhere(np.isinf(responses))[0]
            raise DataError(f"{file}: TR {row}, voxel {voxel} is infinite")
        return responses

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[NDArray[np.floating]]:
        """The memory-mapped responses, (TR, voxel) or (repeat, TR, voxel); slice them by voxel."""
        self._check_subject(subject)
        self._check_story(story)
        self._same_voxels(subject)
        yield _open_array(self._file(subject, story))

    def voxel_labels(self, subject: str) -> list[str] | None:
        """Labels from ``responses/<subject>/voxels.csv``, or ``None`` without that file."""
        self._check_subject(subject)
        file = self._root / "responses" / subject / "voxels.csv"
        if not file.exists():
            return None
        labels = read_labels(file)
        n_voxels = self._same_voxels(subject)
        if len(labels) != n_voxels:
            raise DataError(f"{file}: {len(labels)} labels for {n_voxels} voxels")
        return labels

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the response file."""
        self._check_subject(subject)
        self._check_story(story)
        self._shape(file := self._file(subject, story))
        return content_digest("folder", file)

    def _check_story(self, name: str) -> None:
        stories = (*self.train_stories(), *self.test_stories())
        if name not in stories:
            raise NotFoundError(
                f"no story {name!r} in {self.info().name!r}; it has {', '.join(stories)}"
            )

    def _check_subject(self, name: str) -> None:
        if name not in self.subjects():
            raise NotFoundError(
                f"no subject {name!r} in {self.info().name!r}; it has {', '.join(self.subjects())}"
            )

    def _file(self, subject: str, story: str) -> Path:
        return self._root / "responses" / subject / f"{story}.npy"

    def _read_shape(self, file: Path) -> tuple[int, ...]:
        return _open_array(file).shape

    def _same_voxels(self, subject: str) -> int:
        """The subject's number of voxels, the same in every story."""
        files = [self._file(subject, s) for s in (*self.train_stories(), *self.test_stories())]
        counts = {file: self._shape(file)[-1] for file in files if file.exists()}
        if not counts:
            raise DataError(f"{self._root / 'responses' / subject}: no responses")
        first, n_voxels = next(iter(counts.items()))
        for file, count in counts.items():
            if count != n_voxels:
                raise DataError(f"{file}: {count} voxels, but {first.name} has {n_voxels}")
        return n_voxels

    def _read_story(self, name: str) -> Story:
        folder = self._root / "stories" / name
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder, but dataset.yaml lists the story")
        # A broken link is content not downloaded yet; reading it gives a clear error.
        entries = (p for p in folder.iterdir() if p.is_file() or p.is_symlink())
        files = sorted(p for p in entries if p.name[0] != ".")
        audio = _only([p for p in files if p.suffix.lower() in AUDIO_SUFFIXES], folder, "sound")
        features = {p.stem: p for p in sorted((folder / "features").glob("*.npz"))}
        words = _read_words(files, folder, self._tier)
        if words is None and audio is None and not features:
            raise DataError(f"{folder}: no words.csv, TextGrid, sound or features")
        return Story(
            name,
            words=words,
            audio=None if audio is None else Audio(path=audio),
            features=features,
        )


def _read_words(files: list[Path], folder: Path, tier: str | None) -> Words | None:
    tables = [p for p in files if p.name == "words.csv"]
    grids = [p for p in files if p.suffix.lower() == ".textgrid"]
    chosen = _only(tables + grids, folder, "words")
    if chosen is None:
        return None
    return read_words_csv(chosen) if chosen in tables else read_textgrid(chosen, tier)


def _only(files: list[Path], folder: Path, content: str) -> Path | None:
    if len(files) > 1:
        names = " and ".join(path.name for path in files)
        raise DataError(f"{folder}: {content} in both {names}; keep one")
    return files[0] if files else None


def _open_array(file: Path) -> NDArray[np.floating]:
    """Memory-map stored responses, (TR, voxel) or (repeat, TR, voxel), and check their type."""
    try:
        stored = np.load(require_downloaded(file), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{file}: missing; every listed subject needs every story") from None
    except _UNREADABLE as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"{file}: not a .npy array of numbers ({first})") from error
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "fiu":
        kind = getattr(stored, "dtype", type(stored).__name__)
        raise DataError(f"{file}: contains {kind}, not an array of real numbers")
    if stored.ndim not in (2, 3) or 0 in stored.shape:
        raise DataError(
            f"{file}: shape {stored.shape}, expected (TR, voxel) or (repeat, TR, voxel)"
        )
    return stored


def read_labels(file: Path) -> list[str]:
    """Read the column ``label`` of a CSV file with one row per voxel."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: not a CSV file ({error})") from error
    labels = [row.get("label") for row in rows]
    if not rows or None in labels:
        raise DataError(f"{file}: needs a column 'label' with a value for each voxel")
    return [str(label).strip() for label in labels]
