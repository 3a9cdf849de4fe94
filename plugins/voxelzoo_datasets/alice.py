"""Alice in Wonderland, chapter 1, as Brennan et al. (2016) published it (CC BY 4.0).

Fifteen listeners, 362 volumes of 2.0 s, six regions of interest. Ten volumes were dropped at the
start, so response row ``i`` starts at TextGrid time ``20 + 2 i`` s. The motion files contain all
372 volumes. There is one story without audio, evaluated by contiguous folds.
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
"""Window of the drift filter in volumes: an odd number, about 120 s."""

_PREPARATION = 1
"""Increase whenever the same files and options give different responses."""

_OPTIONS = {
    "radius": "radius of the regions: 10mm (default) or 6mm",
    "drift": "drift removal: savgol (default; order 2, 120 s) or none",
    "motion": "keep (default), or regress to remove the six motion parameters",
    "shift": "delay added to word times in seconds, as a misalignment control (default 0)",
}


class AliceDataset:
    """Responses of each listener and of ``group``, the mean over usable listeners.

    A Savitzky-Golay filter (order 2, 120 s) is subtracted from each region to remove drift, and the
    result is z-scored. ``group`` averages the z-scored responses. Listeners with constant published
    time courses are excluded.

    Parameters
    ----------
    path : Path
        The folder with ``alice_data_shared`` and ``alice_stim_shared``.
    **options : str
        - ``radius``: radius of the regions, ``10mm`` (default) or ``6mm``.
        - ``drift``: ``savgol`` (default) or ``none``.
        - ``motion``: ``keep`` (default), or ``regress`` to remove the six motion parameters.
        - ``shift``: delay added to word times, in seconds (default 0).

    Raises
    ------
    UsageError
        If an option is unknown or invalid.
    DataError
        If a file is missing or damaged; the message names it.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options("alice", options, _OPTIONS)
        self.radius = choice("radius", options.get("radius", "10mm"), ("10mm", "6mm"))
        self.drift = choice("drift", options.get("drift", "savgol"), ("savgol", "none"))
        self.regress = choice("motion", options.get("motion", "keep"), ("keep", "regress"))
        self.shift = seconds("shift", options.get("shift", "0"))
        root = alice_root(path)
        if root is None:
            raise DataError(f"{path}: no alice_data_shared and alice_stim_shared")
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
        self._constant = {
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
            ALICE,
            "Chapter 1 of Alice in Wonderland, heard in the scanner; six regions.",
            preparation=self._preparation(),
        )

    def _preparation(self) -> str:
        steps = []
        if self.drift != "none":
            steps.append("slow drifts were removed (Savitzky-Golay, order 2, 120 s)")
        if self.regress == "regress":
            steps.append("six motion parameters were regressed out")
        return ", ".join([*steps, "each region was z-scored over the run"])

    def subjects(self) -> tuple[str, ...]:
        """Listeners with usable time courses, then ``group``."""
        return (*self._raw, GROUP)

    def averages(self) -> tuple[str, ...]:
        """``group``, the mean over listeners."""
        return (GROUP,)

    def unusable_subjects(self) -> dict[str, str]:
        """Listeners with constant published time courses, with the regions concerned."""
        return dict(self._constant)

    def train_stories(self) -> tuple[str, ...]:
        """The one story."""
        return (STORY,)

    def test_stories(self) -> tuple[str, ...]:
        """None: evaluation is by contiguous folds."""
        return ()

    def story(self, name: str) -> Story:
        """The words of the chapter; silences have empty text."""
        _check_story(name)
        return Story(STORY, words=read_textgrid(self._grid).shifted(self.shift))

    def clock(self, story: str) -> ScanClock:
        """362 volumes of 2.0 s; the first kept volume starts at 20 s."""
        _check_story(story)
        return ScanClock(tr=TR, start=START, n_trs=N_TRS, n_dropped=N_DROPPED)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Cleaned, z-scored responses, (TR, region) = (362, 6)."""
        _check_story(story)
        if subject == GROUP:
            mean = np.mean([self._cleaned(listener) for listener in self._raw], axis=0)
            return np.asarray(mean, dtype=np.float32)
        self._usable(subject)
        return self._cleaned(subject).astype(np.float32)

    def motion(self, subject: str) -> NDArray[np.float64]:
        """Realignment parameters of the kept volumes.

        Parameters
        ----------
        subject : str
            One of :meth:`subjects`.

        Returns
        -------
        ndarray of float64
            (362, 6): translations in mm, then rotations in radians.
        """
        self._usable(subject)
        return _table(self._motion_file(subject), N_TRS + N_DROPPED, 6)[N_DROPPED:]

    def voxel_labels(self, subject: str) -> tuple[str, ...]:
        """Names of the six regions."""
        return REGIONS

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the files and of the cleaning options."""
        _check_story(story)
        if subject != GROUP:
            self._usable(subject)
        listeners = list(self._raw) if subject == GROUP else [subject]
        files = [self._files[listener] for listener in listeners]
        if self.regress == "regress":
            files += [self._motion_file(listener) for listener in listeners]
        settings = f"alice {_PREPARATION} {subject == GROUP} {self.drift} {self.regress}"
        return content_digest(settings, *files)

    def _usable(self, subject: str) -> None:
        if subject in self._constant:
            raise DataError(
                f"alice: {subject} cannot be used: {self._constant[subject]} "
                f"({self._files[subject]})"
            )
        if subject not in self._raw:
            raise NotFoundError(
                f"alice: no subject {subject!r}; it has {', '.join(self.subjects())}"
            )

    def _motion_file(self, subject: str) -> Path:
        files = sorted(self._data.glob(f"{subject}-rp_*.txt"))
        if len(files) != 1:
            raise DataError(f"{self._data}: {len(files)} files {subject}-rp_*.txt, expected one")
        return files[0]

    def _clean(self, subject: str) -> NDArray[np.float64]:
        rows = self._without_drift(self._raw[subject])
        rows = rows - rows.mean(axis=0)
        if self.regress == "regress":
            # Filter the motion parameters too, or the regression would add drift again.
            motion = self._without_drift(self.motion(subject))
            motion = motion - motion.mean(axis=0)
            rows = rows - motion @ np.linalg.lstsq(motion, rows, rcond=None)[0]
        scores: NDArray[np.float64] = rows / rows.std(axis=0)
        return scores

    def _without_drift(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.drift == "none":
            return rows
        from scipy.signal import savgol_filter  # slow to import

        detrended: NDArray[np.float64] = rows - savgol_filter(rows, DRIFT_ROWS, 2, axis=0)
        return detrended


def _check_story(story: str) -> None:
    if story != STORY:
        raise NotFoundError(f"alice: no story {story!r}; it has one, {STORY!r}")


def _flat(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = np.ptp(rows, axis=0) == 0
    return flat


def _table(path: Path, n_rows: int, n_columns: int) -> NDArray[np.float64]:
    """Read a table of numbers of exactly this shape; :class:`DataError` names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file is reported by its shape
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
