"""Alice in Wonderland, chapter 1, as Brennan et al. (2016) published it (CC BY 4.0).

Fifteen listeners, 362 volumes of 2.0 s, six regions of interest. Ten volumes were dropped at the
start, so response row ``i`` is TextGrid time ``20 + 2 i`` s; the motion files still have all 372.
There is one story and no audio: evaluation is by contiguous folds.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    DatasetInfo,
    NotFoundError,
    ScanClock,
    Story,
    content_digest,
    read_textgrid,
)
from voxelzoo_datasets.options import check_options, choice, seconds
from voxelzoo_datasets.plugin import ALICE, alice_root

REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
STORY = "alice"
GROUP = "group"
"""The mean over listeners."""
TR = 2.0
START = 20.0
N_TRS = 362
N_DROPPED = 10
DRIFT_ROWS = 61
"""Volumes under the drift filter: the odd number nearest to 120 s."""

_PREPARATION = 1
"""Raised whenever the same files and options would give other responses."""

_OPTIONS = {
    "radius": "10mm (default) or 6mm, the radius of a region",
    "drift": "savgol (default: second order, 120 s) or none",
    "motion": "keep (default) or regress, which removes the six motion parameters",
    "shift": "seconds by which words are made late, the misalignment control (default 0)",
}


class AliceDataset:
    """Responses per listener, and ``group``: their mean over valid listeners.

    Each region's drift is removed (a second-order Savitzky-Golay filter of 120 s, subtracted) and
    the rest standardised; ``group`` averages the standardised responses. A listener whose published
    time courses are constant is left out and refused by name.

    Raises :class:`DataError` for a folder without the layout or with a damaged file, and
    :class:`UsageError` for an unknown option.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options("alice", options, _OPTIONS)
        self.radius = choice("radius", options.get("radius", "10mm"), ("10mm", "6mm"))
        self.drift = choice("drift", options.get("drift", "savgol"), ("savgol", "none"))
        self.regress = choice("motion", options.get("motion", "keep"), ("keep", "regress"))
        self.shift = seconds("shift", options.get("shift", "0"))
        root = alice_root(path)
        if root is None:
            raise DataError(f"{path}: no alice_data_shared and alice_stim_shared in it")
        self._data = root / "alice_data_shared"
        folder = self._data / self.radius
        self._files = {p.name.split("-")[0]: p for p in sorted(folder.glob("s*-timecourses.txt"))}
        if not self._files:
            raise DataError(f"{folder}: no s##-timecourses.txt")
        grids = sorted((root / "alice_stim_shared").glob("*.TextGrid"))
        if len(grids) != 1:
            raise DataError(f"{root / 'alice_stim_shared'}: {len(grids)} TextGrids, expected one")
        self._grid = grids[0]
        raw = {subject: _table(file, N_TRS, len(REGIONS)) for subject, file in self._files.items()}
        self._raw = {subject: rows for subject, rows in raw.items() if not _flat(rows).any()}
        self._refused = {
            subject: "its published time courses are constant in "
            + ", ".join(name for name, flat in zip(REGIONS, _flat(rows), strict=True) if flat)
            for subject, rows in raw.items()
            if subject not in self._raw
        }
        if not self._raw:
            raise DataError(f"{folder}: no listener has usable time courses")
        self._cleaned = cache(self._clean)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            ALICE, "Chapter 1 of Alice in Wonderland, heard in the scanner; six regions."
        )

    def subjects(self) -> tuple[str, ...]:
        """Listeners with usable time courses, then ``group``."""
        return (*self._raw, GROUP)

    def averages(self) -> tuple[str, ...]:
        """``group``, the mean over listeners."""
        return (GROUP,)

    def unusable_subjects(self) -> dict[str, str]:
        """Listeners whose published time courses are constant, with the regions that are."""
        return dict(self._refused)

    def train_stories(self) -> tuple[str, ...]:
        """The one story."""
        return (STORY,)

    def test_stories(self) -> tuple[str, ...]:
        """None: evaluation is by contiguous folds."""
        return ()

    def story(self, name: str) -> Story:
        """The chapter's words; silences are items without text."""
        _known(name)
        return Story(STORY, words=read_textgrid(self._grid).shifted(self.shift))

    def clock(self, story: str) -> ScanClock:
        """362 volumes of 2.0 s; the first kept one begins at 20 s."""
        _known(story)
        return ScanClock(tr=TR, start=START, n_trs=N_TRS, n_dropped=N_DROPPED)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(362, 6), cleaned and standardised."""
        _known(story)
        if subject == GROUP:
            mean = np.mean([self._cleaned(listener) for listener in self._raw], axis=0)
            return np.asarray(mean, dtype=np.float32)
        self._usable(subject)
        return self._cleaned(subject).astype(np.float32)

    def motion(self, subject: str) -> NDArray[np.float64]:
        """Realignment parameters of the kept volumes, (362, 6): three shifts, three rotations."""
        self._usable(subject)
        return _table(self._motion_file(subject), N_TRS + N_DROPPED, 6)[N_DROPPED:]

    def voxel_labels(self, subject: str) -> tuple[str, ...]:
        """Names of the six regions."""
        return REGIONS

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the files read and how they are cleaned."""
        _known(story)
        if subject != GROUP:
            self._usable(subject)
        listeners = list(self._raw) if subject == GROUP else [subject]
        files = [self._files[listener] for listener in listeners]
        if self.regress == "regress":
            files += [self._motion_file(listener) for listener in listeners]
        how = f"alice {_PREPARATION} {subject == GROUP} {self.drift} {self.regress}"
        return content_digest(how, *files)

    def _usable(self, subject: str) -> None:
        if subject in self._refused:
            raise DataError(
                f"alice: {subject} cannot be used: {self._refused[subject]} "
                f"({self._files[subject]})"
            )
        if subject not in self._raw:
            raise NotFoundError(
                f"alice: no subject {subject!r}; it has {', '.join(self.subjects())}"
            )

    def _motion_file(self, subject: str) -> Path:
        found = sorted(self._data.glob(f"{subject}-rp_*.txt"))
        if len(found) != 1:
            raise DataError(f"{self._data}: {len(found)} files {subject}-rp_*.txt, expected one")
        return found[0]

    def _clean(self, subject: str) -> NDArray[np.float64]:
        rows = self._without_drift(self._raw[subject])
        rows = rows - rows.mean(axis=0)
        if self.regress == "regress":
            # The same filter on both sides, or the regression would bring drift back.
            motion = self._without_drift(self.motion(subject))
            motion = motion - motion.mean(axis=0)
            rows = rows - motion @ np.linalg.lstsq(motion, rows, rcond=None)[0]
        standard: NDArray[np.float64] = rows / rows.std(axis=0)
        return standard

    def _without_drift(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.drift == "none":
            return rows
        from scipy.signal import savgol_filter  # slow to import

        without: NDArray[np.float64] = rows - savgol_filter(rows, DRIFT_ROWS, 2, axis=0)
        return without


def _known(story: str) -> None:
    if story != STORY:
        raise NotFoundError(f"alice: no story {story!r}; it has one, {STORY!r}")


def _flat(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = np.ptp(rows, axis=0) == 0
    return flat


def _table(path: Path, n_rows: int, n_columns: int) -> NDArray[np.float64]:
    """A table of numbers of exactly this shape; :class:`DataError` names the file and the fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of an empty file; the shape tells it
            table = np.loadtxt(path, ndmin=2, dtype=np.float64)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: not a table of numbers ({error})") from error
    if table.shape != (n_rows, n_columns):
        raise DataError(f"{path}: {table.shape} values, expected ({n_rows}, {n_columns})")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise DataError(f"{path}:{row + 1}: column {column + 1} is not a finite number")
    return table
