"""LeBel et al. (2023), OpenNeuro ds003020, as a datalad checkout or a plain download.

::

    derivative/preprocessed_data/UTS03/<story>.hf5   data (TR, voxel); individual_repeats
    derivative/TextGrids/<story>.TextGrid            tiers phone and word
    derivative/respdict.json                         {story: volumes acquired}
    stimuli/<story>.wav
    trfiles/<story>.report                           logs of triggers, where there are some

Responses are already standardised per voxel and have lost ten volumes at each end. The sound began
10 s, five volumes, into the scan, so the first kept volume begins 10 s into the story; a log of
triggers, which OpenNeuro does not have but labs do, says it exactly.

The stories that Antonello et al. (2023) tested on never train here, wherever a session list of the
released code may have them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
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
    content_digest,
    read_textgrid,
    require_downloaded,
)
from voxelzoo_datasets.declared import LEBEL, Read, disagreements
from voxelzoo_datasets.options import check_options
from voxelzoo_datasets.plugin import LEBEL2023
from voxelzoo_datasets.triggers import read_report

TR = 2.0
TRIMMED = 10
"""Volumes that the published responses lack at each end of the scan."""

SOUND_STARTS = 10.0
"""Seconds from the first volume to the sound."""

PAPER_SUBJECTS = ("UTS01", "UTS02", "UTS03")
PAPER_TESTS = ("wheretheressmoke", "fromboyhoodtofatherhood", "onapproachtopluto")
"""The paper's test stories; OpenNeuro lacks the last."""

_OPTIONS = {
    "subjects": "comma-separated, such as UTS03 (default: the paper's three, or all there are)",
    "stories": "comma-separated training stories, which every subject heard (default: all)",
    "sess_to_story": "the released code's list of sessions, whose stories train",
    "sessions": "comma-separated sessions of that list (default: all)",
}


class LebelDataset:
    """Listeners of ds003020 and the stories that all chosen listeners heard.

    Raises :class:`DataError` naming the file and the fault: content that is not fetched, responses
    whose length is not ``respdict.json``'s less twenty, subjects without a story in common.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options("lebel2023", options, _OPTIONS)
        self._derivative = path / "derivative"
        self._audio = path / "stimuli"
        self._logs = path / "trfiles"
        folder = self._derivative / "preprocessed_data"
        heard = {
            subject.name: {file.stem for file in subject.glob("*.hf5")}
            for subject in sorted(folder.glob("UTS*"))
            if subject.is_dir()
        }
        heard = {subject: stories for subject, stories in heard.items() if stories}
        if not heard:
            raise DataError(f"{folder}: no UTS##/<story>.hf5; run: datalad get -n {folder.name}")
        self._subjects = self._choose_subjects(options.get("subjects"), list(heard))
        common = set.intersection(*(heard[subject] for subject in self._subjects))
        self._test = tuple(story for story in PAPER_TESTS if story in common)
        asked = self._asked(options)
        self._train = self._choose_stories(asked, common)
        self._own = {
            subject: tuple(sorted(heard[subject] - common - set(PAPER_TESTS)))
            for subject in self._subjects
            if asked is None
        }
        self._volumes = _read_volumes(self._derivative / "respdict.json")
        self._shape = cache(self._read_shape)

    def info(self) -> DatasetInfo:
        """Name, licence and citation; says which of the paper's test stories are not there."""
        lacking = [story for story in PAPER_TESTS if story not in self._test]
        without = f" Without the test stories {', '.join(lacking)}." if lacking else ""
        return DatasetInfo.of(
            LEBEL2023, f"Spoken stories in the scanner, OpenNeuro ds003020.{without}"
        )

    def subjects(self) -> tuple[str, ...]:
        """The chosen listeners."""
        return self._subjects

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting: heard by every chosen listener, and none of the paper's tests."""
        return self._train

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """More stories for fitting, which this listener heard and not every other chosen one.

        None where training stories were listed: those are heard by all.
        """
        self._check_subject(subject)
        return self._own.get(subject, ())

    def test_stories(self) -> tuple[str, ...]:
        """The paper's test stories, those that are there."""
        return self._test

    def story(self, name: str) -> Story:
        """Words, and sound where ``stimuli`` has it."""
        self._check_story(name)
        sound = self._audio / f"{name}.wav"
        return Story(
            name,
            words=read_textgrid(self._derivative / "TextGrids" / f"{name}.TextGrid"),
            audio=Audio(path=sound) if sound.is_symlink() or sound.exists() else None,
        )

    def clock(self, story: str) -> ScanClock:
        """When the kept volumes began: by the story's log, else 2.0 s each from 10 s on."""
        self._check_story(story)
        n_trs = self._expected_rows(story)
        log = self._logs / f"{story}.report"
        if not (log.is_symlink() or log.exists()):
            start = TRIMMED * TR - SOUND_STARTS
            return ScanClock(tr=TR, start=start, n_trs=n_trs, n_dropped=TRIMMED)
        logged, volumes = read_report(log).times, self._volumes[story]
        if len(logged) < volumes:
            # Those within the scan were put back: what lacks is at an end, and nobody knows which.
            raise DataError(
                f"{log}: triggers for {len(logged)} of {volumes} volumes; the first or the last "
                "are not there, so rows cannot be placed; remove the log to use the nominal clock"
            )
        times = logged[TRIMMED : TRIMMED + n_trs]
        tr, start = np.polyfit(np.arange(n_trs), times, 1)
        late = np.abs(start + tr * np.arange(n_trs) - times)
        if late.max() > TR / 4:
            raise DataError(
                f"{log}: volume {TRIMMED + int(late.argmax()) + 1} is {late.max():.2f} s off an "
                "even clock; its triggers are not one a volume"
            )
        return ScanClock(tr=float(tr), start=float(start), n_trs=n_trs, n_dropped=TRIMMED)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where single repeats are published."""
        return read_published(self._checked_file(subject, story))

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[Any]:
        """The HDF5 dataset, to be sliced by voxel."""
        file = self._checked_file(subject, story)
        with _open(file) as stored:
            yield _published(file, stored)

    def _checked_file(self, subject: str, story: str) -> Path:
        self._check_subject(subject)
        self._check_story(story)
        n_voxels = self._same_voxels(subject)
        file = self._file(subject, story)
        shape = self._shape(file)
        rows = self._expected_rows(story)
        if shape[-2] != rows:
            raise DataError(
                f"{file}: {shape[-2]} rows; respdict.json has {self._volumes[story]} volumes, "
                f"less {TRIMMED} at each end {rows}"
            )
        if shape[-1] != n_voxels:
            raise DataError(f"{file}: {shape[-1]} voxels, other stories have {n_voxels}")
        return file

    def voxel_labels(self, subject: str) -> None:
        """None: the published responses name no regions."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the response file; git-annex's own, where that names the file."""
        self._check_subject(subject)
        self._check_story(story)
        file = require_downloaded(self._file(subject, story))
        if file.is_symlink() and (key := Path(os.readlink(file)).name).startswith(("MD5E", "SHA")):
            return content_digest("lebel2023", key)
        return content_digest("lebel2023", file)

    def disagreements(self) -> list[str]:
        """A line for each number that is not the published one; content not fetched is passed."""
        files = {s: self._file(s, story) for s in self._subjects for story in self._train}
        read = Read(
            n_trs={
                story: self._volumes[story] - 2 * TRIMMED
                for story in (*self._train, *self._test)
                if story in self._volumes
            },
            n_voxels={s: self._same_voxels(s) for s, file in files.items() if file.exists()},
            n_stories={s: len(list(file.parent.glob("*.hf5"))) for s, file in files.items()},
        )
        return disagreements(LEBEL, read)

    def _choose_subjects(self, asked: str | None, there: list[str]) -> tuple[str, ...]:
        if asked is None:
            return tuple(s for s in PAPER_SUBJECTS if s in there) or tuple(there)
        chosen = _listed(asked)
        if unknown := [subject for subject in chosen if subject not in there]:
            raise NotFoundError(f"lebel2023: no subject {unknown[0]!r}; it has {', '.join(there)}")
        return chosen

    def _asked(self, options: Mapping[str, str]) -> str | None:
        """Training stories as listed, or those of the released code's sessions."""
        if "sess_to_story" not in options:
            if "sessions" in options:
                raise UsageError("dataset option sessions: needs sess_to_story=PATH")
            return options.get("stories")
        if "stories" in options:
            raise UsageError("dataset options stories and sess_to_story: give one of them")
        path = Path(options["sess_to_story"])
        sessions = _read_sessions(path)
        chosen = _listed(options.get("sessions", ",".join(sessions)))
        for session in chosen:
            if session not in sessions:
                raise NotFoundError(f"{path}: no session {session!r}; it has {', '.join(sessions)}")
            if leaks := [story for story in sessions[session] if story in PAPER_TESTS]:
                raise UsageError(
                    f"{path}: session {session} trains on {leaks[0]!r}, a test story of the paper: "
                    "a leak; leave the session out, or name its other stories: stories=..."
                )
        return ",".join(story for session in chosen for story in sessions[session])

    def _choose_stories(self, asked: str | None, common: set[str]) -> tuple[str, ...]:
        there = sorted(common - set(PAPER_TESTS))
        if not there:
            raise DataError(
                f"{self._derivative / 'preprocessed_data'}: no training story that "
                f"{', '.join(self._subjects)} all heard"
            )
        if asked is None:
            return tuple(there)
        chosen = _listed(asked)
        for story in chosen:
            if story in PAPER_TESTS:
                raise UsageError(
                    f"lebel2023: {story!r} is a test story of the paper and never trains: a leak"
                )
            if story not in there:
                raise NotFoundError(
                    f"lebel2023: no story {story!r} that {', '.join(self._subjects)} all heard"
                )
        return chosen

    def _check_story(self, name: str) -> None:
        own = (story for stories in self._own.values() for story in stories)
        if name not in (*self._train, *self._test, *own):
            raise NotFoundError(
                f"lebel2023: no story {name!r}; it has {len(self._train)} for training and "
                f"{', '.join(self._test) or 'none'} for testing"
            )

    def _check_subject(self, name: str) -> None:
        if name not in self._subjects:
            raise NotFoundError(
                f"lebel2023: no subject {name!r}; it has {', '.join(self._subjects)}"
            )

    def _file(self, subject: str, story: str) -> Path:
        return self._derivative / "preprocessed_data" / subject / f"{story}.hf5"

    def _expected_rows(self, story: str) -> int:
        if story not in self._volumes:
            raise DataError(f"{self._derivative / 'respdict.json'}: has no {story!r}")
        return self._volumes[story] - 2 * TRIMMED

    def _same_voxels(self, subject: str) -> int:
        """How many voxels most of the subject's fetched stories have."""
        stories = (*self._train, *self.own_stories(subject), *self._test)
        files = [self._file(subject, story) for story in stories]
        counts = [self._shape(file)[-1] for file in files if file.exists()]
        if not counts:
            require_downloaded(files[0])
        return max(set(counts), key=counts.count)

    def _read_shape(self, file: Path) -> tuple[int, ...]:
        with _open(file) as stored:
            return tuple(_published(file, stored).shape)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _read_volumes(path: Path) -> dict[str, int]:
    """Volumes acquired for each story."""
    try:
        content = json.loads(require_downloaded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); without it no response's length can be "
            "checked"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must map each story to its number of volumes")
    for story, volumes in content.items():
        if type(volumes) is not int or volumes <= 2 * TRIMMED:
            raise DataError(f"{path}: {story!r} has {volumes!r} volumes, expected a whole number")
    return content


def _read_sessions(path: Path) -> dict[str, list[str]]:
    """``{session: [[training stories], test story]}``: the training stories of each session."""
    try:
        content = json.loads(require_downloaded(path).read_text(encoding="utf-8"))
        sessions = {session: lists[0] for session, lists in content.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    except (AttributeError, LookupError, TypeError):
        sessions = {"": None}
    for stories in sessions.values():
        if not (isinstance(stories, list) and all(isinstance(story, str) for story in stories)):
            raise DataError(f"{path}: must be {{session: [[training stories], test story]}}")
    return sessions


def _open(file: Path) -> Any:
    """The HDF5 file, to be used as a context."""
    import h5py

    require_downloaded(file)
    try:
        return h5py.File(file, "r")
    except FileNotFoundError:
        raise DataError(f"{file}: missing") from None
    except OSError as error:
        raise DataError(f"{file}: not an HDF5 file ({error})") from error


def _published(file: Path, stored: Any) -> Any:
    """The array to use: single repeats where published, else ``data``."""
    import h5py

    data, repeats = stored.get("data"), stored.get("individual_repeats")
    for name, array, dimensions in (("data", data, 2), ("individual_repeats", repeats, 3)):
        if array is None and name == "individual_repeats":
            return data
        if not isinstance(array, h5py.Dataset):
            raise DataError(f"{file}: has no dataset {name!r}")
        if array.ndim != dimensions or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise DataError(
                f"{file}: {name} is {array.dtype} {array.shape}, expected "
                + ("(TR, voxel)" if dimensions == 2 else "(repeat, TR, voxel)")
            )
    if repeats.shape[1:] != data.shape:
        raise DataError(
            f"{file}: individual_repeats {repeats.shape} are not repeats of data {data.shape}"
        )
    return repeats


def read_published(file: Path) -> NDArray[np.float32]:
    """The published array as float32, converted while it is read."""
    with _open(file) as stored:
        array = _published(file, stored)
        responses = np.empty(array.shape, dtype=np.float32)
        try:
            array.read_direct(responses)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error})") from error
    if np.isinf(responses).any():
        *_, row, voxel = np.argwhere(np.isinf(responses))[0]
        raise DataError(f"{file}: TR {row}, voxel {voxel} is infinite")
    return responses
