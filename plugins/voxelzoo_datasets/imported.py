"""The output of ``zoo data import``: responses as Zarr, chunked and sharded by voxel.

::

    imported.yaml                         name, subjects, train and test stories, each story's clock
    stories/<story>/                      words.csv, sound.*, features/<name>.npz
    responses/<subject>/<story>.zarr      attribute sha256: of the voxel blocks (shards) in order
    responses/<subject>/voxels.csv        a column `label`
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    NotFoundError,
    ScanClock,
    Story,
    content_digest,
    load_yaml,
    open_zarr_array,
    read_words_csv,
)
from voxelzoo_datasets.folder import read_labels
from voxelzoo_datasets.options import check_options

FORMAT = 1


class _Story(BaseModel):
    """A story's clock and sound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tr: Annotated[FiniteFloat, Field(gt=0)]
    start: FiniteFloat
    n_trs: Annotated[int, Field(gt=0)]
    n_dropped: int | None
    sound: str | None
    sound_start: FiniteFloat | None


class _Description(BaseModel):
    """The fields of ``imported.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    name: str
    summary: str
    licence: str | None
    citation: str | None
    subjects: list[str]
    averages: list[str] = []
    train: list[str]
    test: list[str]
    own: dict[str, list[str]] = {}
    stories: dict[str, _Story]


class ImportedDataset:
    """An imported dataset, with the same content as its source.

    Responses are verified against the checksum stored when they were written.

    Parameters
    ----------
    path : Path
        The folder that ``zoo data import`` wrote.
    **options : str
        None are accepted.

    Raises
    ------
    UsageError
        If any option is given.
    DataError
        If the import is unfinished, or a file is missing or damaged; the message names it.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options("imported", options, {})
        self._root = path
        self._description = _read_description(path)
        self._story = cache(self._read_story)

    def info(self) -> DatasetInfo:
        """Name, licence and citation of the source dataset."""
        fields = self._description
        return DatasetInfo(fields.name, fields.summary, fields.licence, fields.citation)

    def subjects(self) -> tuple[str, ...]:
        """The imported subjects."""
        return tuple(self._description.subjects)

    def averages(self) -> tuple[str, ...]:
        """Imported subjects that are means over others."""
        return tuple(self._description.averages)

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting."""
        return tuple(self._description.train)

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """Additional training stories of this subject, which some other subjects did not hear."""
        self._check_subject(subject)
        return tuple(self._description.own.get(subject, ()))

    def test_stories(self) -> tuple[str, ...]:
        """Held-out stories."""
        return tuple(self._description.test)

    def story(self, name: str) -> Story:
        """Words, sound and features."""
        self._entry(name)
        return self._story(name)

    def clock(self, story: str) -> ScanClock:
        """The scan clock of the source dataset."""
        entry = self._entry(story)
        return ScanClock(entry.tr, entry.start, entry.n_trs, entry.n_dropped)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses, (TR, voxel) or (repeat, TR, voxel)."""
        file = self._file(subject, story)
        digest = hashlib.sha256()
        with self.open_responses(subject, story) as stored:
            responses = np.empty(stored.shape, dtype=np.float32)
            size = (stored.shards or stored.chunks)[-1]
            for first in range(0, stored.shape[-1], size):
                part = slice(first, first + size)
                try:
                    block = np.ascontiguousarray(stored[..., part], dtype=np.float32)
                except Exception as error:
                    raise _damaged(file, error) from error
                digest.update(block.data)
                responses[..., part] = block
            if digest.hexdigest() != stored.attrs.get("sha256"):
                raise _damaged(file, "it does not match its checksum")
        return responses

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[Any]:
        """The Zarr array, (TR, voxel) or (repeat, TR, voxel); slice it by voxel."""
        file = self._file(subject, story)
        try:
            stored = open_zarr_array(file)
            expected = self._entry(story).n_trs
            if stored.ndim not in (2, 3) or stored.shape[-2] != expected or 0 in stored.shape:
                raise DataError(f"{file}: shape {stored.shape}, but the clock has {expected} TRs")
        except DataError as error:
            raise DataError(f"{error}; remove it and import again") from error
        yield stored

    def voxel_labels(self, subject: str) -> list[str] | None:
        """Labels from ``voxels.csv``, or ``None`` without that file."""
        self._check_subject(subject)
        file = self._root / "responses" / subject / "voxels.csv"
        if not file.exists():
            return None
        labels = read_labels(file)
        with self.open_responses(subject, self.train_stories()[0]) as stored:
            if len(labels) != stored.shape[-1]:
                raise DataError(f"{file}: {len(labels)} labels for {stored.shape[-1]} voxels")
        return labels

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the responses, from the checksum stored with them."""
        with self.open_responses(subject, story) as stored:
            return content_digest("imported", str(stored.attrs.get("sha256")), str(stored.shape))

    def _file(self, subject: str, story: str) -> Path:
        self._check_subject(subject)
        self._entry(story)
        common = (*self.train_stories(), *self.test_stories())
        if story not in (*common, *self.own_stories(subject)):
            raise NotFoundError(
                f"subject {subject!r} of {self.info().name!r} has no story {story!r}"
            )
        return self._root / "responses" / subject / f"{story}.zarr"

    def _entry(self, name: str) -> _Story:
        if name not in self._description.stories:
            raise NotFoundError(
                f"no story {name!r} in {self.info().name!r}; it has "
                f"{', '.join((*self.train_stories(), *self.test_stories()))}"
            )
        return self._description.stories[name]

    def _check_subject(self, name: str) -> None:
        if name not in self.subjects():
            raise NotFoundError(
                f"no subject {name!r} in {self.info().name!r}; it has {', '.join(self.subjects())}"
            )

    def _read_story(self, name: str) -> Story:
        folder, entry = self._root / "stories" / name, self._description.stories[name]
        words = folder / "words.csv"
        sound = None
        if entry.sound is not None:
            sound = Audio(path=folder / entry.sound, start=entry.sound_start or 0.0)
        return Story(
            name,
            words=read_words_csv(words) if words.exists() else None,
            audio=sound,
            features={file.stem: file for file in sorted((folder / "features").glob("*.npz"))},
        )


def _read_description(root: Path) -> _Description:
    path = root / "imported.yaml"
    if not path.is_file():
        raise DataError(f"{root}: the import is not finished; run the same zoo data import again")
    try:
        description = _Description.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(f"{path}: {where or 'content'}: {first['msg'].lower()}") from None
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({_line(error)})") from error
    if description.format != FORMAT:
        raise DataError(f"{path}: format {description.format}; this version reads format {FORMAT}")
    own = tuple(name for names in description.own.values() for name in names)
    stories = (*description.train, *description.test, *own)
    for name in (*stories, *description.subjects):
        if not name or name.startswith(".") or set(name) & set("/\\\0"):
            raise DataError(f"{path}: {name!r} is not a valid folder name")
    if missing := [name for name in stories if name not in description.stories]:
        raise DataError(f"{path}: stories: no entry for {missing[0]!r}")
    for name, story in description.stories.items():
        if story.sound is not None and Path(story.sound).name != story.sound:
            raise DataError(f"{path}: stories.{name}.sound: {story.sound!r} is not a file name")
    return description


def _damaged(file: Path, fault: object) -> DataError:
    return DataError(f"{file}: damaged ({_line(fault)}); remove it and import again")


def _line(fault: object) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__
