"""``zoo data import``: copy any dataset into one folder whose responses are read by voxel block.

::

    imported.yaml                         name, licence, citation, subjects, stories and clocks
    stories/<story>/words.csv             word,onset,offset in seconds; silences have no text
    stories/<story>/sound.*               the recording, unchanged
    stories/<story>/features/<name>.npz   states computed elsewhere
    responses/<subject>/<story>.zarr      Zarr v3, float32, chunks and shards of whole voxels
    responses/<subject>/voxels.csv        one label for each voxel, if there are labels

Each story, and each subject's responses to a story, appears whole, by one rename. After an
interruption, the import continues with the first that is missing. Until it is complete, the
description is called ``importing.yaml``, and the folder is not read as a dataset.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    Dataset,
    OpensResponses,
    Story,
    UsageError,
    Words,
    ZooError,
    read_words_csv,
)
from voxelzoo.blocks import blocks
from voxelzoo.bounded_yaml import load_yaml
from voxelzoo.data.opening import averages, opened_responses, own_stories
from voxelzoo.disk.drafts import Draft, remove_abandoned_drafts
from voxelzoo.disk.files import flush_file, flush_folder, flush_tree, written_whole
from voxelzoo.disk.zarr_arrays import open_zarr_array
from voxelzoo.progress import Progress, Silent
from voxelzoo.stimuli.words import LABEL_COLUMN

FORMAT = 1


CHUNK_BYTES = 1 << 20
"""Size of a chunk, the least that is read: all rows of some voxels."""


SHARD_BYTES = 32 << 20
"""Size of a shard, which is one file; an import holds one in memory."""


DONE, UNDONE = "imported.yaml", "importing.yaml"


@dataclass(frozen=True)
class ImportReport:
    """What an import wrote: a piece is a story, or one subject's responses to a story."""

    root: Path
    """The folder."""
    n_written: int
    """Pieces that this call wrote."""
    n_kept: int
    """Pieces that an earlier call had written."""


def import_dataset(
    dataset: Dataset, root: Path, subjects: Sequence[str] = (), progress: Progress | None = None
) -> ImportReport:
    """Copy a dataset into a folder, keeping what an earlier call finished.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    root : Path
        A new folder, or one with an unfinished import of the same dataset.
    subjects : sequence of str
        Subjects to import; all by default.
    progress : Progress, optional
        Told how many pieces are done.

    Returns
    -------
    ImportReport

    Raises
    ------
    UsageError
        If the folder has other content.
    DataError
        If a story or a response cannot be used. What was finished is kept.
    ZooError
        If a file cannot be written. What was finished is kept.
    """
    progress = progress or Silent()
    subjects = tuple(subjects) or tuple(dataset.subjects())
    common = (*dataset.train_stories(), *dataset.test_stories())
    own = {subject: own_stories(dataset, subject) for subject in subjects}
    more = tuple(dict.fromkeys(story for stories in own.values() for story in stories))
    _claim(root, dataset)
    written: list[bool] = []
    try:
        n_pieces = len(common) * (len(subjects) + 1) + len(more) + sum(map(len, own.values()))
        with progress.task("import", n_pieces) as advance:
            stories = []
            for name in (*common, *more):
                entry, new = _import_story(dataset, name, root)
                stories.append(entry)
                written.append(new)
                advance(1)
            for subject in subjects:
                n_voxels: dict[str, int] = {}
                for name in (*common, *own[subject]):
                    new, n_voxels[name] = _import_responses(dataset, subject, name, root)
                    written.append(new)
                    advance(1)
                _same_voxels(subject, n_voxels)
                _import_labels(dataset, subject, n_voxels[common[0]], root)
        _describe(dataset, root, own, stories)
        remove_abandoned_drafts(root)
    except OSError as error:
        raise ZooError(
            f"{error.filename or root}: cannot be written ({error.strerror or error}); what was "
            "finished is kept: run the same command again"
        ) from error
    return ImportReport(root, sum(written), len(written) - sum(written))


def _claim(root: Path, dataset: Dataset) -> None:
    """Make the folder, or check that it has an import of this dataset."""
    name = dataset.info().name
    for file in (root / DONE, root / UNDONE):
        if file.is_file():
            try:
                content = load_yaml(file.read_text(encoding="utf-8"))
                there = content["name"]
            except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
                raise DataError(f"{file}: damaged; remove {root} and import again") from error
            if there != name:
                raise UsageError(f"{root}: has an import of {there!r}, not of {name!r}")
            break
    else:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(f"{root}: is neither empty nor an import; name a new folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{root}: cannot be created ({error.strerror})") from error
    _write_yaml(root / UNDONE, {"format": FORMAT, "name": name})
    (root / DONE).unlink(missing_ok=True)


def _describe(
    dataset: Dataset,
    root: Path,
    own: Mapping[str, Sequence[str]],
    stories: Sequence[Mapping[str, Any]],
) -> None:
    """Write the description, last: with it the folder is a dataset."""
    info = dataset.info()
    _write_yaml(
        root / DONE,
        {
            "format": FORMAT,
            "name": info.name,
            "summary": info.summary,
            "licence": info.licence,
            "citation": info.citation,
            "subjects": list(own),
            **({"averages": means} if (means := _averages(dataset, own)) else {}),
            "train": list(dataset.train_stories()),
            **({"own": {s: list(each) for s, each in own.items()}} if any(own.values()) else {}),
            "test": list(dataset.test_stories()),
            "stories": {
                entry["name"]: {k: entry[k] for k in entry if k != "name"} for entry in stories
            },
        },
    )
    (root / UNDONE).unlink(missing_ok=True)


def _averages(dataset: Dataset, subjects: Iterable[str]) -> list[str]:
    """Those of the imported subjects that are means over others."""
    means = averages(dataset)
    return [subject for subject in subjects if subject in means]


def _import_story(dataset: Dataset, name: str, root: Path) -> tuple[dict[str, Any], bool]:
    """Copy a story: (its entry in the description, whether this call wrote it)."""
    story, clock = dataset.story(name), dataset.clock(name)
    sound = None
    if story.audio is not None:
        sound = "sound" + (story.audio.path.suffix.lower() if story.audio.path else ".wav")
    entry = {
        "name": name,
        "tr": clock.tr,
        "start": clock.start,
        "n_trs": clock.n_trs,
        "n_dropped": clock.n_dropped,
        "sound": sound,
        "sound_start": story.audio.start if story.audio is not None else None,
    }
    target, source = root / "stories" / name, story.digest("any")
    if _read(target / ".source") == source:
        return entry, False
    with _draft(root, target) as draft:
        draft.mkdir()
        if story.words is not None:
            _write_words(draft / "words.csv", story.words)
        if story.audio is not None:
            _write_sound(draft / str(sound), story)
        if story.features:
            (draft / "features").mkdir()
        for feature, file in story.features.items():
            shutil.copyfile(file, draft / "features" / f"{feature}.npz")
        (draft / ".source").write_text(source)
    return entry, True


def _write_words(path: Path, words: Words) -> None:
    """Write words so that they read back as the same; :class:`DataError` if they cannot."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        labelled = words.labels != words.text
        writer.writerow(("word", "onset", "offset", *((LABEL_COLUMN,) if labelled else ())))
        columns = words.text, words.onsets, words.offsets, words.labels
        for text, onset, offset, label in zip(*columns, strict=True):
            times = repr(float(onset)), repr(float(offset))
            writer.writerow((text, *times, *((label,) if labelled else ())))
    if read_words_csv(path).digest != words.digest:
        raise DataError(f"{path.name}: a word begins or ends with a space, or has a line break")


def _write_sound(path: Path, story: Story) -> None:
    audio = story.need_audio()
    if audio.path is not None:
        shutil.copyfile(audio.path, path)
        return
    import soundfile

    soundfile.write(path, audio.array(), audio.rate, subtype="FLOAT")


def _import_responses(dataset: Dataset, subject: str, story: str, root: Path) -> tuple[bool, int]:
    """Copy responses: (whether this call wrote them, their number of voxels)."""
    import zarr

    target = root / "responses" / subject / f"{story}.zarr"
    source = dataset.fingerprint(subject, story)
    if target.is_dir():
        try:
            there = open_zarr_array(target)
            if there.attrs.get("source") == source and "sha256" in there.attrs:
                return False, there.shape[-1]
        except Exception:  # damaged in any way: it is written again
            pass
    n_trs = dataset.clock(story).n_trs
    opens = _opener(dataset, subject, story)
    with opens() as opened:
        shape = tuple(opened.shape)
    if len(shape) not in (2, 3) or shape[-2] != n_trs or 0 in shape:
        raise DataError(
            f"subject {subject!r}, story {story!r}: responses of shape {shape}, but the clock has "
            f"{n_trs} TRs"
        )
    voxel_bytes = 4 * int(np.prod(shape[:-1]))
    chunk = max(1, min(shape[-1], CHUNK_BYTES // voxel_bytes))
    shard = chunk * max(1, min(-(-shape[-1] // chunk), SHARD_BYTES // (chunk * voxel_bytes)))
    with _draft(root, target) as draft:
        array = zarr.create_array(
            draft,
            shape=shape,
            dtype="float32",
            chunks=(*shape[:-1], chunk),
            shards=(*shape[:-1], shard),
            compressors=None,  # noise does not compress
            dimension_names=("repeat", "TR", "voxel")[-len(shape) :],
            zarr_format=3,
        )
        digest = hashlib.sha256()
        for part in blocks(shape[-1], shard):
            values = _read_block(opens, shape, part)
            if np.isinf(values).any():
                *_, row, voxel = np.argwhere(np.isinf(values))[0]
                raise DataError(
                    f"subject {subject!r}, story {story!r}: TR {row}, voxel {part.start + voxel} "
                    "is infinite"
                )
            array[..., part] = values
            digest.update(values.data)
        array.attrs.update({"source": source, "sha256": digest.hexdigest()})
    return True, shape[-1]


def _opener(
    dataset: Dataset, subject: str, story: str
) -> Callable[[], AbstractContextManager[Any]]:
    """What opens the responses; those that can only be read whole are read once."""
    if isinstance(dataset, OpensResponses):
        return partial(opened_responses, dataset, subject, story)
    whole = np.asarray(dataset.responses(subject, story))
    return lambda: nullcontext(whole)


def _read_block(
    opens: Callable[[], AbstractContextManager[Any]], shape: tuple[int, ...], part: slice
) -> NDArray[np.float32]:
    """Some voxels' responses, (TR, voxel) or (repeat, TR, voxel).

    They are opened again every thousand rows: only then is the memory of a mapped file freed, and
    each row that is touched takes sixteen pages of it.
    """
    values = np.empty((*shape[:-1], part.stop - part.start), dtype=np.float32)
    with np.errstate(over="ignore"):  # an overflow is infinite, and is reported
        for repeat in np.ndindex(shape[:-2]):
            for rows in blocks(shape[-2], 1000):
                with opens() as opened:
                    values[(*repeat, rows)] = opened[(*repeat, rows, part)]
    return values


def _same_voxels(subject: str, n_voxels: Mapping[str, int]) -> None:
    first = next(iter(n_voxels))
    for story, n in n_voxels.items():
        if n != n_voxels[first]:
            raise DataError(
                f"subject {subject!r}: {n} voxels in story {story!r}, but {n_voxels[first]} in "
                f"{first!r}"
            )


def _import_labels(dataset: Dataset, subject: str, n_voxels: int, root: Path) -> None:
    labels = dataset.voxel_labels(subject)
    target = root / "responses" / subject / "voxels.csv"
    if labels is None:
        target.unlink(missing_ok=True)
        return
    if len(labels) != n_voxels:
        raise DataError(f"subject {subject!r}: {len(labels)} labels for {n_voxels} voxels")
    with _draft(root, target) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("label",), *((label,) for label in labels)])


@contextmanager
def _draft(root: Path, target: Path) -> Iterator[Path]:
    """A path to write to: renamed to ``target`` at the end, removed after an exception."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Draft(root) as draft, Draft(root) as old:
        yield draft.path
        if draft.path.is_file():
            flush_file(draft.path)
            draft.path.replace(target)
        else:
            flush_tree(draft.path)
            with suppress(FileNotFoundError):
                target.rename(old.path)  # unfinished or damaged
            draft.path.rename(target)
        flush_folder(target.parent)


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    with written_whole(path) as draft:
        draft.write_text(
            yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
