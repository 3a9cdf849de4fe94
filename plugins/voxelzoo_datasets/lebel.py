"""LeBel et al. (2023), OpenNeuro ds003020, as a datalad checkout or a plain download.

::

    derivative/preprocessed_data/UTS03/<story>.hf5   data (TR, voxel); individual_repeats
    derivative/TextGrids/<story>.TextGrid            tiers phone and word
    derivative/respdict.json                         {story: volumes acquired}
    stimuli/<story>.wav
    trfiles/<story>.report                           optional logs of triggers

The published responses are z-scored per voxel, without the first and last ten volumes. The sound
began 10 s (five volumes) into the scan, so the first kept volume starts 10 s into the story. A log
of triggers, which is not on OpenNeuro but available in some labs, gives the exact times.

The test stories of Antonello et al. (2023) are never used for training, even if a session list of
the released code contains them.
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
"""Volumes removed from the published responses at each end of the scan."""

SOUND_STARTS = 10.0
"""Onset of the sound, in seconds after the start of the first volume."""

PAPER_SUBJECTS = ("UTS01", "UTS02", "UTS03")
PAPER_TESTS = ("wheretheressmoke", "fromboyhoodtofatherhood", "onapproachtopluto")
"""The paper's test stories; the last is not on OpenNeuro."""

_OPTIONS = {
    "subjects": "comma-separated, such as UTS03 (default: the paper's three, or else all)",
    "stories": "comma-separated training stories heard by every subject (default: all)",
    "sess_to_story": "sess_to_story.json of the released code: training stories by session",
    "sessions": "comma-separated sessions of sess_to_story (default: all)",
}


class LebelDataset:
    """Listeners of ds003020 and the stories that all chosen listeners heard.

    Parameters
    ----------
    path : Path
        Root of ds003020.
    **options : str
        - ``subjects``: comma-separated (default: UTS01, UTS02 and UTS03, or all if none is
          present).
        - ``stories``: comma-separated training stories heard by every subject (default: all).
        - ``sess_to_story``: the released code's JSON file that lists training stories by session.
        - ``sessions``: comma-separated sessions of that file (default: all).

    Raises
    ------
    UsageError
        If an option is unknown, or a test story of the paper is chosen for training.
    NotFoundError
        If a chosen subject, story or session does not exist.
    DataError
        If a file is missing, not downloaded or damaged, responses do not have twenty rows less than
        the volumes in ``respdict.json``, or the subjects have no story in common.
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
        requested = self._requested_stories(options)
        self._train = self._choose_stories(requested, common)
        self._own = {
            subject: tuple(sorted(heard[subject] - common - set(PAPER_TESTS)))
            for subject in self._subjects
            if requested is None
        }
        self._volumes = _read_volumes(self._derivative / "respdict.json")
        self._shape = cache(self._read_shape)

    def info(self) -> DatasetInfo:
        """Name, licence and citation; the summary lists missing test stories."""
        missing = [story for story in PAPER_TESTS if story not in self._test]
        without = f" Without the test stories {', '.join(missing)}." if missing else ""
        return DatasetInfo.of(
            LEBEL2023, f"Spoken stories in the scanner, OpenNeuro ds003020.{without}"
        )

    def subjects(self) -> tuple[str, ...]:
        """The chosen listeners."""
        return self._subjects

    def train_stories(self) -> tuple[str, ...]:
        """Training stories: heard by every chosen listener, without the paper's test stories."""
        return self._train

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """Additional training stories of this listener, which some others did not hear.

        Empty if training stories are chosen by option.
        """
        self._check_subject(subject)
        return self._own.get(subject, ())

    def test_stories(self) -> tuple[str, ...]:
        """The paper's test stories that are present."""
        return self._test

    def story(self, name: str) -> Story:
        """Words, and sound if it is in ``stimuli``."""
        self._check_story(name)
        sound = self._audio / f"{name}.wav"
        return Story(
            name,
            words=read_textgrid(self._derivative / "TextGrids" / f"{name}.TextGrid"),
            audio=Audio(path=sound) if sound.is_symlink() or sound.exists() else None,
        )

    def clock(self, story: str) -> ScanClock:
        """Times of the kept volumes: from the story's log, or every 2.0 s from 10 s on."""
        self._check_story(story)
        n_trs = self._expected_rows(story)
        log = self._logs / f"{story}.report"
        if not (log.is_symlink() or log.exists()):
            start = TRIMMED * TR - SOUND_STARTS
            return ScanClock(tr=TR, start=start, n_trs=n_trs, n_dropped=TRIMMED)
        logged, volumes = read_report(log).times, self._volumes[story]
        if len(logged) < volumes:
            # Gaps within the scan were filled, so triggers are missing at an end.
            raise DataError(
                f"{log}: triggers for {len(logged)} of {volumes} volumes; some are missing at the "
                "start or end, so rows cannot be placed; remove the log to use the nominal clock"
            )
        times = logged[TRIMMED : TRIMMED + n_trs]
        tr, start = np.polyfit(np.arange(n_trs), times, 1)
        error = np.abs(start + tr * np.arange(n_trs) - times)
        if error.max() > TR / 4:
            raise DataError(
                f"{log}: volume {TRIMMED + int(error.argmax()) + 1} is {error.max():.2f} s off an "
                "even clock; there is not one trigger per volume"
            )
        return ScanClock(tr=float(tr), start=float(start), n_trs=n_trs, n_dropped=TRIMMED)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses, (TR, voxel), or (repeat, TR, voxel) if single repeats are published."""
        return read_published(self._checked_file(subject, story))

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[Any]:
        """The HDF5 dataset, (TR, voxel) or (repeat, TR, voxel); slice it by voxel."""
        file = self._checked_file(subject, story)
        with _open(file) as stored:
            yield _published(file, stored)

    def _checked_file(self, subject: str, story: str) -> Path:
        self._check_subject(subject)
        self._check_story(story)
        n_voxels = self._n_voxels(subject)
        file = self._file(subject, story)
        shape = self._shape(file)
        rows = self._expected_rows(story)
        if shape[-2] != rows:
            raise DataError(
                f"{file}: {shape[-2]} rows; respdict.json has {self._volumes[story]} volumes, "
                f"less {TRIMMED} at each end {rows}"
            )
        if shape[-1] != n_voxels:
            raise DataError(f"{file}: {shape[-1]} voxels, but other stories have {n_voxels}")
        return file

    def voxel_labels(self, subject: str) -> None:
        """None; no region labels are published."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the response file; git-annex's key if the file is a git-annex link."""
        self._check_subject(subject)
        self._check_story(story)
        file = require_downloaded(self._file(subject, story))
        if file.is_symlink() and (key := Path(os.readlink(file)).name).startswith(("MD5E", "SHA")):
            return content_digest("lebel2023", key)
        return content_digest("lebel2023", file)

    def disagreements(self) -> list[str]:
        """One line for each number that differs from the published one, of downloaded files."""
        files = {s: self._file(s, story) for s in self._subjects for story in self._train}
        read = Read(
            n_trs={
                story: self._volumes[story] - 2 * TRIMMED
                for story in (*self._train, *self._test)
                if story in self._volumes
            },
            n_voxels={s: self._n_voxels(s) for s, file in files.items() if file.exists()},
            n_stories={s: len(list(file.parent.glob("*.hf5"))) for s, file in files.items()},
        )
        return disagreements(LEBEL, read)

    def _choose_subjects(self, requested: str | None, available: list[str]) -> tuple[str, ...]:
        if requested is None:
            return tuple(s for s in PAPER_SUBJECTS if s in available) or tuple(available)
        chosen = _listed(requested)
        if unknown := [subject for subject in chosen if subject not in available]:
            raise NotFoundError(
                f"lebel2023: no subject {unknown[0]!r}; it has {', '.join(available)}"
            )
        return chosen

    def _requested_stories(self, options: Mapping[str, str]) -> str | None:
        """Training stories from the options, comma-separated, or ``None`` for all."""
        if "sess_to_story" not in options:
            if "sessions" in options:
                raise UsageError("dataset option sessions: needs sess_to_story=PATH")
            return options.get("stories")
        if "stories" in options:
            raise UsageError("dataset options stories and sess_to_story: use one of them")
        path = Path(options["sess_to_story"])
        sessions = _read_sessions(path)
        chosen = _listed(options.get("sessions", ",".join(sessions)))
        for session in chosen:
            if session not in sessions:
                raise NotFoundError(f"{path}: no session {session!r}; it has {', '.join(sessions)}")
            if leaks := [story for story in sessions[session] if story in PAPER_TESTS]:
                raise UsageError(
                    f"{path}: session {session} trains on {leaks[0]!r}, a test story of the paper: "
                    "a leak; omit the session, or list its other stories with stories=..."
                )
        return ",".join(story for session in chosen for story in sessions[session])

    def _choose_stories(self, requested: str | None, common: set[str]) -> tuple[str, ...]:
        available = sorted(common - set(PAPER_TESTS))
        if not available:
            raise DataError(
                f"{self._derivative / 'preprocessed_data'}: no training story that "
                f"{', '.join(self._subjects)} all heard"
            )
        if requested is None:
            return tuple(available)
        chosen = _listed(requested)
        for story in chosen:
            if story in PAPER_TESTS:
                raise UsageError(
                    f"lebel2023: {story!r} is a test story of the paper; training on it is a leak"
                )
            if story not in available:
                raise NotFoundError(
                    f"lebel2023: no story {story!r} that {', '.join(self._subjects)} all heard"
                )
        return chosen

    def _check_story(self, name: str) -> None:
        own = (story for stories in self._own.values() for story in stories)
        if name not in (*self._train, *self._test, *own):
            raise NotFoundError(
                f"lebel2023: no story {name!r}; it has {len(self._train)} training stories and "
                f"{', '.join(self._test) or 'none'} as test stories"
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
            raise DataError(f"{self._derivative / 'respdict.json'}: no entry for {story!r}")
        return self._volumes[story] - 2 * TRIMMED

    def _n_voxels(self, subject: str) -> int:
        """Number of voxels in most of the subject's downloaded stories."""
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
    """Read the number of volumes acquired for each story."""
    try:
        content = json.loads(require_downloaded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); it is needed to check the "
            "length of responses"
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
    """Read the training stories of each session from the released code's JSON file."""
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
    """Open an HDF5 file, to be used as a context manager."""
    import h5py

    require_downloaded(file)
    try:
        return h5py.File(file, "r")
    except FileNotFoundError:
        raise DataError(f"{file}: missing") from None
    except OSError as error:
        raise DataError(f"{file}: not an HDF5 file ({error})") from error


def _published(file: Path, stored: Any) -> Any:
    """The array to use: single repeats if published, otherwise ``data``."""
    import h5py

    data, repeats = stored.get("data"), stored.get("individual_repeats")
    for name, array, dimensions in (("data", data, 2), ("individual_repeats", repeats, 3)):
        if array is None and name == "individual_repeats":
            return data
        if not isinstance(array, h5py.Dataset):
            raise DataError(f"{file}: no dataset {name!r}")
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
    """Read the published responses as float32, (TR, voxel) or (repeat, TR, voxel)."""
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
