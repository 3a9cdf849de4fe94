"""The data folder of Antonello, Vaidya and Huth (2023): pickled stories and responses.

::

    story_data/grids_huge.jbl                     {story: TextGrid}
    story_data/trfiles_huge.jbl                   {story: [TRFile]}
    story_data/story_audio/<story>.wav
    responses/full_responses/UTS03_responses.jbl  {story: (TR, voxel)}; repeats are averaged
    responses/tensessions_<story>_S03.jbl         (repeat, TR, voxel), the story with repeats
    semantic_features/*.jbl                       {story: (TR, feature)}, before trimming

Pickles can run arbitrary code. They are read only with ``allow_pickle=true``, by a restricted
reader that creates arrays and records and runs no code (:mod:`voxelzoo_datasets.pickles`).

A TRFile has five volumes fewer than the scan and the responses have twenty fewer. The first ten and
last five times of a TRFile are therefore dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    NotFoundError,
    ScanClock,
    Story,
    UsageError,
    Words,
    content_digest,
)
from voxelzoo_datasets import plugin
from voxelzoo_datasets.declared import ANTONELLO_BOX, Read, disagreements
from voxelzoo_datasets.lebel import PAPER_TESTS, read_published
from voxelzoo_datasets.names import check_name, listed
from voxelzoo_datasets.options import check_options, choice
from voxelzoo_datasets.pickles import Record, read_pickle

FIRST, LAST = 10, 5
"""Volumes of a TRFile before the first and after the last response row."""

ALIKE = 0.99
"""Smallest correlation at which two copies of a voxel's responses count as the same."""

NAME = "antonello-box"

_SILENT = {"", "sp", "sil", "{sl}", "{sp}", "{ns}", "{br}", "{lg}", "{cg}", "{ls}"}
"""Labels in the lab's transcripts that are not words."""

_OPTIONS = {
    "allow_pickle": "true: read the pickles, arrays and permitted classes only (default false)",
    "subjects": "comma-separated, such as UTS03 (default: all)",
    "stories": "comma-separated training stories heard by every subject (default: all)",
    "openneuro": "folder of ds003020; responses are compared with it (default: no comparison)",
    "features": "folder to write published features, used by --plugin features/<name>",
}


class AntonelloBox:
    """Listeners and stories of the paper's data folder.

    Parameters
    ----------
    path : Path
        The folder.
    **options : str
        - ``allow_pickle``: must be ``true`` to read the folder (default ``false``).
        - ``subjects``: comma-separated, such as UTS03 (default: all).
        - ``stories``: comma-separated training stories heard by every subject (default: all).
        - ``openneuro``: folder of ds003020 to compare responses with (default: no comparison).
        - ``features``: output folder for the published features (default: none).

    Raises
    ------
    UsageError
        If pickles are not allowed, an option is unknown, or a test story of the paper is chosen
        for training.
    DataError
        If a file is damaged or contains a class that is not permitted, or the number of rows does
        not fit the TRFile; the message names the file.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options(NAME, options, _OPTIONS)
        self._grids_file = path / "story_data" / "grids_huge.jbl"
        self._logs_file = path / "story_data" / "trfiles_huge.jbl"
        self._audio = path / "story_data" / "story_audio"
        self._folder = path / "responses"
        self._semantic = path / "semantic_features"
        if (
            choice("allow_pickle", options.get("allow_pickle", "false"), ("true", "false"))
            != "true"
        ):
            raise UsageError(
                f"{self._grids_file}: a pickle, which can run arbitrary code; if you trust its "
                "source, pass --dataset-option allow_pickle=true (only arrays and permitted "
                "classes are read)"
            )
        self._by_story = cache(_by_story)
        self._openneuro = Path(options["openneuro"]) if "openneuro" in options else None
        self._features = Path(options["features"]) if "features" in options else None
        self._files = {
            file.name.partition("_")[0]: file
            for file in sorted((self._folder / "full_responses").glob("UTS*_responses.jbl"))
        }
        if not self._files:
            raise DataError(f"{self._folder / 'full_responses'}: no UTS##_responses.jbl")
        self._responses = cache(self._read_responses)
        self._repeats = cache(self._read_repeats)
        requested = listed(options.get("subjects", ""))
        for subject in requested:
            check_name("subject", subject, self._files, NAME)
        self._subjects = requested or tuple(self._files)
        requested_stories = listed(options.get("stories", ""))
        self._stories = self._choose_stories(requested_stories)
        self._own = {
            subject: () if requested_stories else self._not_heard_by_all(subject)
            for subject in self._subjects
        }
        self._compared = cache(self._compare)

    def info(self) -> DatasetInfo:
        """Licence and citation; the summary lists stories without words or a TRFile."""
        unusable = sorted(self._heard - (set(self._grids) & set(self._logs)))
        without = f" Without {', '.join(unusable)}: no words or no TRFile." if unusable else ""
        return DatasetInfo.of(
            plugin.ANTONELLO_BOX,
            f"Spoken stories in the scanner, as used by Antonello et al.{without}",
        )

    def subjects(self) -> tuple[str, ...]:
        """The chosen listeners."""
        return self._subjects

    def train_stories(self) -> tuple[str, ...]:
        """Training stories: heard by every chosen listener, without the paper's test stories."""
        return tuple(story for story in self._stories if story not in PAPER_TESTS)

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """Additional training stories of this listener, which some others did not hear.

        Empty if training stories are chosen by option.
        """
        check_name("subject", subject, self._subjects, NAME)
        return self._own[subject]

    def test_stories(self) -> tuple[str, ...]:
        """The paper's test stories that are present."""
        return tuple(story for story in PAPER_TESTS if story in self._stories)

    def story(self, name: str) -> Story:
        """Words, sound if in ``story_audio``, and published features if ``features`` is set."""
        check_name("story", name, self._every_story, NAME)
        sounds = [self._audio / f"{name}{suffix}" for suffix in (".wav", ".flac", ".mp3")]
        sound = next((file for file in sounds if file.is_symlink() or file.exists()), None)
        return Story(
            name,
            words=_words(self._grids[name], f"{self._grids_file}: {name!r}"),
            audio=Audio(path=sound) if sound is not None else None,
            features=self._write_features(name),
        )

    def clock(self, story: str) -> ScanClock:
        """Times of the kept volumes, from the story's TRFile."""
        check_name("story", story, self._every_story, NAME)
        starts = self._volume_starts(story)[FIRST:-LAST]
        tr, start = np.polyfit(np.arange(len(starts)), starts, 1)
        error = np.abs(start + tr * np.arange(len(starts)) - starts).max()
        if error > tr / 4:
            raise DataError(
                f"{self._logs_file}: {story!r}: a volume is {error:.2f} s off an even clock"
            )
        return ScanClock(
            tr=round(float(tr), 9), start=round(float(start), 9), n_trs=len(starts), n_dropped=FIRST
        )

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses, (TR, voxel), or (repeat, TR, voxel) if single repeats are available."""
        values = np.array(self._checked(subject, story), dtype=np.float32)
        if np.isinf(values).any():
            *_, row, voxel = np.argwhere(np.isinf(values))[0]
            raise DataError(
                f"{self._files[subject]}: {story!r}: TR {row}, voxel {voxel} is infinite"
            )
        return values

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[Any]:
        """The memory-mapped responses, (TR, voxel) or (repeat, TR, voxel); slice them by voxel."""
        yield self._checked(subject, story)

    def voxel_labels(self, subject: str) -> None:
        """None; no region labels are published."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the response array."""
        return content_digest(NAME, np.ascontiguousarray(self._checked(subject, story)))

    def disagreements(self) -> list[str]:
        """One line for each number that differs from the published one."""
        read = Read(
            n_trs={
                story: len(self._volume_starts(story)) - FIRST - LAST for story in self._stories
            },
            n_voxels={subject: self._n_voxels(subject) for subject in self._subjects},
            n_stories={subject: len(self._responses(subject)) for subject in self._subjects},
        )
        return disagreements(ANTONELLO_BOX, read)

    # ---------------------------------------------------------------------------------- reading

    @cached_property
    def _grids(self) -> Mapping[str, Any]:
        return self._by_story(self._grids_file)

    @cached_property
    def _logs(self) -> Mapping[str, Any]:
        return self._by_story(self._logs_file)

    @property
    def _every_story(self) -> tuple[str, ...]:
        own = (story for stories in self._own.values() for story in stories)
        return tuple(dict.fromkeys((*self._stories, *own)))

    @cached_property
    def _heard(self) -> set[str]:
        return set.intersection(*(set(self._responses(subject)) for subject in self._subjects))

    def _not_heard_by_all(self, subject: str) -> tuple[str, ...]:
        own = set(self._responses(subject)) - self._heard - set(PAPER_TESTS)
        return tuple(sorted(own & set(self._grids) & set(self._logs)))

    def _choose_stories(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        available = sorted(self._heard & set(self._grids) & set(self._logs))
        train = [story for story in available if story not in PAPER_TESTS]
        if not train:
            raise DataError(
                f"{self._folder}: no training story that {', '.join(self._subjects)} all heard and "
                "that has words and a TRFile"
            )
        for story in requested:
            if story in PAPER_TESTS:
                raise UsageError(
                    f"{NAME}: {story!r} is a test story of the paper; training on it is a leak"
                )
            check_name("story", story, train, NAME)
        return (*(requested or train), *(story for story in PAPER_TESTS if story in available))

    def _read_responses(self, subject: str) -> Mapping[str, Any]:
        content = self._by_story(self._files[subject])
        for story, array in content.items():
            _numbers(array, 2, f"{self._files[subject]}: {story!r}")
        return content

    def _read_repeats(self, subject: str, story: str) -> NDArray[Any] | None:
        """Single repeats, (repeat, TR, voxel), or ``None`` if the story has none."""
        files = sorted(self._folder.glob(f"*_{story}_{subject.replace('UT', '')}.jbl"))
        if not files:
            return None
        repeats: NDArray[Any] = read_pickle(files[0])
        _numbers(repeats, 3, str(files[0]))
        mean = self._responses(subject)[story]
        if repeats.shape[1:] != mean.shape:
            raise DataError(
                f"{files[0]}: {repeats.shape} are not repeats of {story!r} {mean.shape} in "
                f"{self._files[subject].name}"
            )
        return repeats

    def _checked(self, subject: str, story: str) -> NDArray[Any]:
        check_name("subject", subject, self._subjects, NAME)
        check_name("story", story, (*self._stories, *self._own[subject]), NAME)
        mean = self._responses(subject)[story]
        rows, where = len(self._volume_starts(story)) - FIRST - LAST, self._files[subject]
        if mean.shape[0] != rows:
            raise DataError(
                f"{where}: {story!r}: {mean.shape[0]} rows, expected {rows}: its TRFile has "
                f"{rows + FIRST + LAST} volumes, less {FIRST} and {LAST}"
            )
        if mean.shape[1] != self._n_voxels(subject):
            raise DataError(
                f"{where}: {story!r}: {mean.shape[1]} voxels, but other stories have "
                f"{self._n_voxels(subject)}"
            )
        repeats = self._repeats(subject, story)
        self._compared(subject, story)
        return mean if repeats is None else repeats

    def _n_voxels(self, subject: str) -> int:
        """Number of voxels in most of the subject's stories."""
        counts = [array.shape[1] for array in self._responses(subject).values()]
        return max(set(counts), key=counts.count)

    def _volume_starts(self, story: str) -> NDArray[np.float64]:
        """Start of each volume of the TRFile, (volume,), in seconds from the start of the sound."""
        where = f"{self._logs_file}: {story!r}"
        runs = self._logs[story]
        log = runs[0] if isinstance(runs, list | tuple) and runs else runs
        try:
            times = np.asarray(log.trtimes, dtype=np.float64)
            sound = float(log.soundstarttime)
        except (AttributeError, TypeError, ValueError):
            raise DataError(f"{where} is not a TRFile with trtimes and soundstarttime") from None
        if times.ndim != 1 or len(times) <= FIRST + LAST + 1 or not np.isfinite(times).all():
            raise DataError(f"{where}: trtimes has shape {times.shape}; too few or not finite")
        if (np.diff(times) <= 0).any() or not (np.isfinite(sound) and sound >= 0):
            raise DataError(f"{where}: trtimes do not increase, or soundstarttime is not valid")
        starts: NDArray[np.float64] = times - sound
        return starts

    def _compare(self, subject: str, story: str) -> None:
        """Compare the responses with those of ds003020, if that folder is given."""
        if self._openneuro is None:
            return
        folder = self._openneuro / "derivative" / "preprocessed_data"
        if not folder.is_dir():
            raise NotFoundError(f"{folder}: no such folder, so there is nothing to compare with")
        file = folder / subject / f"{story}.hf5"
        if not (file.is_symlink() or file.exists()):
            return
        ours, theirs = np.asarray(self._responses(subject)[story]), read_published(file)
        theirs = theirs.mean(axis=0) if theirs.ndim == 3 else theirs
        where = f"{self._files[subject]}: {story!r}"
        if ours.shape != theirs.shape:
            raise DataError(f"{where}: {ours.shape}, but {file} has {theirs.shape}")
        with np.errstate(all="ignore"):
            ours, theirs = (a - a.mean(axis=0) for a in (ours, theirs))
            r = (ours * theirs).sum(0) / np.sqrt((ours**2).sum(0) * (theirs**2).sum(0))
        if np.isfinite(r).any() and (median := float(np.nanmedian(r))) < ALIKE:
            raise DataError(
                f"{where}: not the responses of {file}: the median voxel correlates {median:.2f}"
            )

    def _write_features(self, story: str) -> dict[str, Path]:
        """Write the published features as ``.npz`` files, unless they exist; return their paths."""
        if self._features is None:
            return {}
        starts = self._volume_starts(story)
        written = {}
        for file in sorted(self._semantic.glob("*.jbl")):
            name = re.sub(r"^downsampled_featureseqs_", "", file.stem)
            to = self._features / story / f"{name}.npz"
            if not to.exists():
                states = self._by_story(file).get(story)
                if states is None:
                    continue
                _numbers(states, 2, f"{file}: {story!r}")
                if len(states) != len(starts):
                    raise DataError(
                        f"{file}: {story!r}: {len(states)} rows, but its TRFile has {len(starts)}"
                    )
                times = starts + np.diff(starts).mean() / 2
                to.parent.mkdir(parents=True, exist_ok=True)
                unfinished = to.with_suffix(".part.npz")
                np.savez(unfinished, times=times, states=np.asarray(states, dtype=np.float32))
                unfinished.replace(to)
            written[name] = to
        return written


def _by_story(path: Path) -> Mapping[str, Any]:
    """Read a pickle that maps each story to its data."""
    content = read_pickle(path)
    if not (isinstance(content, dict) and content and all(isinstance(k, str) for k in content)):
        raise DataError(f"{path}: must map each story to its data, not {type(content).__name__}")
    return content


def _numbers(array: Any, dimensions: int, where: str) -> None:
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "fiu"
        or array.ndim != dimensions
        or 0 in array.shape
    ):
        shape, kind = getattr(array, "shape", ""), getattr(array, "dtype", type(array).__name__)
        expected = "(TR, voxel)" if dimensions == 2 else "(repeat, TR, voxel)"
        raise DataError(f"{where}: {kind} {shape}, expected numbers {expected}")


def _words(grid: Any, where: str) -> Words:
    """Words of an unpickled TextGrid: the tier named ``word``, otherwise the second tier."""
    tiers = getattr(grid, "tiers", None)
    if not (isinstance(grid, Record) and isinstance(tiers, list | tuple) and tiers):
        raise DataError(f"{where} is not a TextGrid with tiers")
    names = [str(getattr(tier, "nameid", "")).strip().lower() for tier in tiers]
    matches = [i for i, name in enumerate(names) if name in ("word", "words")]
    tier = tiers[matches[0] if matches else min(1, len(tiers) - 1)]
    items = getattr(tier, "simple_transcript", None)
    try:
        rows = [(float(begin), float(end), str(label).strip()) for begin, end, label in items or ()]
    except (TypeError, ValueError):
        raise DataError(f"{where}: its word tier is not (begin, end, word)") from None
    if not rows:
        raise DataError(f"{where}: no words")
    labels = tuple(label for *_, label in rows)
    text = tuple("" if label.lower() in _SILENT else label for label in labels)
    times = np.array([(begin, end) for begin, end, _ in rows])
    try:
        return Words(text, times[:, 0].copy(), times[:, 1].copy(), labels)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
