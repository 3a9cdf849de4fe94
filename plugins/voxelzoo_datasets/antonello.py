"""The folder that goes with Antonello, Vaidya and Huth (2023): pickles of stories and responses.

::

    story_data/grids_huge.jbl                     {story: TextGrid}
    story_data/trfiles_huge.jbl                   {story: [TRFile]}
    story_data/story_audio/<story>.wav
    responses/full_responses/UTS03_responses.jbl  {story: (TR, voxel)}; repeats are averaged
    responses/tensessions_<story>_S03.jbl         (repeat, TR, voxel), the one with repeats
    semantic_features/*.jbl                       {story: (TR, feature)}, before trimming

Pickles can run programs. They are read only where the user says so (``allow_pickle=true``), and
then by a reader that makes arrays and records and runs nothing (:mod:`voxelzoo_datasets.pickles`).

A TRFile has five volumes less than the scan, the responses twenty less: the rows between are
dropped, ten at the start and five at the end.
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
"""Rows of a TRFile that the responses lack at its start and at its end."""

ALIKE = 0.99
"""Correlation at which two copies of a voxel's responses count as the same."""

NAME = "antonello-box"

_SILENT = {"", "sp", "sil", "{sl}", "{sp}", "{ns}", "{br}", "{lg}", "{cg}", "{ls}"}
"""Labels of the lab's transcripts that are no word."""

_OPTIONS = {
    "allow_pickle": "true: read the folder's pickles, arrays and known classes only",
    "subjects": "comma-separated, such as UTS03 (default: all there are)",
    "stories": "comma-separated training stories, which every subject heard (default: all)",
    "openneuro": "a folder of ds003020, with whose arrays these are compared as they are read",
    "features": "a folder in which the published features are put, for --plugin features/<name>",
}


class AntonelloBox:
    """Listeners and stories of the paper's own folder.

    Raises :class:`UsageError` where pickles are not allowed, and :class:`DataError` naming the file
    and the fault: a class that is no array, responses whose length fits no trim.
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
                f"{self._grids_file}: a pickle, which can run programs; if you trust its source, "
                "add --dataset-option allow_pickle=true (only arrays and known classes are read)"
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
        asked = listed(options.get("subjects", ""))
        for subject in asked:
            check_name("subject", subject, self._files, NAME)
        self._subjects = asked or tuple(self._files)
        asked_stories = listed(options.get("stories", ""))
        self._stories = self._choose_stories(asked_stories)
        self._own = {
            subject: () if asked_stories else self._not_heard_by_all(subject)
            for subject in self._subjects
        }
        self._compared = cache(self._compare)

    def info(self) -> DatasetInfo:
        """Licence and citation; says which stories lack words or a clock."""
        left_out = sorted(self._heard - (set(self._grids) & set(self._logs)))
        without = f" Without {', '.join(left_out)}: no words or no clock." if left_out else ""
        return DatasetInfo.of(
            plugin.ANTONELLO_BOX,
            f"Spoken stories in the scanner, as Antonello et al. had them.{without}",
        )

    def subjects(self) -> tuple[str, ...]:
        """The chosen listeners."""
        return self._subjects

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting: heard by every chosen listener, and none of the paper's tests."""
        return tuple(story for story in self._stories if story not in PAPER_TESTS)

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """More stories for fitting, which this listener heard and not every other chosen one.

        None where training stories were listed: those are heard by all.
        """
        check_name("subject", subject, self._subjects, NAME)
        return self._own[subject]

    def test_stories(self) -> tuple[str, ...]:
        """The paper's three test stories, those that are there."""
        return tuple(story for story in PAPER_TESTS if story in self._stories)

    def story(self, name: str) -> Story:
        """Words, sound where ``story_audio`` has it, and the published features where asked for."""
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
        """When the kept volumes began, by the story's TRFile."""
        check_name("story", story, self._every_story, NAME)
        begins = self._begins(story)[FIRST:-LAST]
        tr, start = np.polyfit(np.arange(len(begins)), begins, 1)
        late = np.abs(start + tr * np.arange(len(begins)) - begins).max()
        if late > tr / 4:
            raise DataError(
                f"{self._logs_file}: {story!r}: a volume is {late:.2f} s off an even clock"
            )
        return ScanClock(
            tr=round(float(tr), 9), start=round(float(start), 9), n_trs=len(begins), n_dropped=FIRST
        )

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where single repeats are in the folder."""
        values = np.array(self._checked(subject, story), dtype=np.float32)
        if np.isinf(values).any():
            *_, row, voxel = np.argwhere(np.isinf(values))[0]
            raise DataError(
                f"{self._files[subject]}: {story!r}: TR {row}, voxel {voxel} is infinite"
            )
        return values

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[Any]:
        """The array where it lies in its file, to be sliced by voxel."""
        yield self._checked(subject, story)

    def voxel_labels(self, subject: str) -> None:
        """None: the folder names no regions."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the array that is read."""
        return content_digest(NAME, np.ascontiguousarray(self._checked(subject, story)))

    def disagreements(self) -> list[str]:
        """A line for each number that is not the published one."""
        read = Read(
            n_trs={story: len(self._begins(story)) - FIRST - LAST for story in self._stories},
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

    def _choose_stories(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        there = sorted(self._heard & set(self._grids) & set(self._logs))
        train = [story for story in there if story not in PAPER_TESTS]
        if not train:
            raise DataError(
                f"{self._folder}: no training story that {', '.join(self._subjects)} all heard and "
                "that has words and a clock"
            )
        for story in asked:
            if story in PAPER_TESTS:
                raise UsageError(
                    f"{NAME}: {story!r} is a test story of the paper and never trains: a leak"
                )
            check_name("story", story, train, NAME)
        return (*(asked or train), *(story for story in PAPER_TESTS if story in there))

    def _read_responses(self, subject: str) -> Mapping[str, Any]:
        content = self._by_story(self._files[subject])
        for story, array in content.items():
            _numbers(array, 2, f"{self._files[subject]}: {story!r}")
        return content

    def _read_repeats(self, subject: str, story: str) -> NDArray[Any] | None:
        """Single repeats, (repeat, TR, voxel), of the story that has them."""
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
        rows, where = len(self._begins(story)) - FIRST - LAST, self._files[subject]
        if mean.shape[0] != rows:
            raise DataError(
                f"{where}: {story!r}: {mean.shape[0]} rows; its TRFile has {rows + FIRST + LAST} "
                f"volumes, less {FIRST} and {LAST} are {rows}"
            )
        if mean.shape[1] != self._n_voxels(subject):
            raise DataError(
                f"{where}: {story!r}: {mean.shape[1]} voxels, other stories have "
                f"{self._n_voxels(subject)}"
            )
        repeats = self._repeats(subject, story)
        self._compared(subject, story)
        return mean if repeats is None else repeats

    def _n_voxels(self, subject: str) -> int:
        """How many voxels most of the subject's stories have."""
        counts = [array.shape[1] for array in self._responses(subject).values()]
        return max(set(counts), key=counts.count)

    def _begins(self, story: str) -> NDArray[np.float64]:
        """When each volume of the TRFile began, (volume,), in seconds from the sound's start."""
        where = f"{self._logs_file}: {story!r}"
        runs = self._logs[story]
        log = runs[0] if isinstance(runs, list | tuple) and runs else runs
        try:
            times = np.asarray(log.trtimes, dtype=np.float64)
            sound = float(log.soundstarttime)
        except (AttributeError, TypeError, ValueError):
            raise DataError(f"{where} is no TRFile with trtimes and soundstarttime") from None
        if times.ndim != 1 or len(times) <= FIRST + LAST + 1 or not np.isfinite(times).all():
            raise DataError(f"{where}: {times.shape} times of volumes")
        if (np.diff(times) <= 0).any() or not (np.isfinite(sound) and sound >= 0):
            raise DataError(f"{where}: its volumes are not in order, or its sound never starts")
        begins: NDArray[np.float64] = times - sound
        return begins

    def _compare(self, subject: str, story: str) -> None:
        """Holds the responses against those of ds003020, where its folder was given."""
        if self._openneuro is None:
            return
        folder = self._openneuro / "derivative" / "preprocessed_data"
        if not folder.is_dir():
            raise NotFoundError(f"{folder}: no such folder, so nothing to compare with")
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
        """Published features as the host reads them, each written once."""
        if self._features is None:
            return {}
        begins = self._begins(story)
        written = {}
        for file in sorted(self._semantic.glob("*.jbl")):
            name = re.sub(r"^downsampled_featureseqs_", "", file.stem)
            to = self._features / story / f"{name}.npz"
            if not to.exists():
                states = self._by_story(file).get(story)
                if states is None:
                    continue
                _numbers(states, 2, f"{file}: {story!r}")
                if len(states) != len(begins):
                    raise DataError(
                        f"{file}: {story!r}: {len(states)} rows, its TRFile has {len(begins)}"
                    )
                times = begins + np.diff(begins).mean() / 2
                to.parent.mkdir(parents=True, exist_ok=True)
                unfinished = to.with_suffix(".part.npz")
                np.savez(unfinished, times=times, states=np.asarray(states, dtype=np.float32))
                unfinished.replace(to)
            written[name] = to
        return written


def _by_story(path: Path) -> Mapping[str, Any]:
    """A pickle that maps each story to something."""
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
    """Words of an unpickled TextGrid: the tier called ``word``, else the second."""
    tiers = getattr(grid, "tiers", None)
    if not (isinstance(grid, Record) and isinstance(tiers, list | tuple) and tiers):
        raise DataError(f"{where} is no TextGrid with tiers")
    names = [str(getattr(tier, "nameid", "")).strip().lower() for tier in tiers]
    called = [i for i, name in enumerate(names) if name in ("word", "words")]
    tier = tiers[called[0] if called else min(1, len(tiers) - 1)]
    items = getattr(tier, "simple_transcript", None)
    try:
        rows = [(float(begin), float(end), str(label).strip()) for begin, end, label in items or ()]
    except (TypeError, ValueError):
        raise DataError(f"{where}: its word tier is not (begin, end, word)") from None
    if not rows:
        raise DataError(f"{where}: no words")
    text = tuple("" if label.lower() in _SILENT else label for *_, label in rows)
    times = np.array([(begin, end) for begin, end, _ in rows])
    try:
        return Words(text, times[:, 0].copy(), times[:, 1].copy())
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
