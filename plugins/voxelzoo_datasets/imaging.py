"""Base class for datasets of brain images: finds runs and turns them into responses.

Story time is scan time: time 0 is the start of the first acquired volume. Words and sound are
placed on it using the onset that each dataset publishes.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    DatasetInfo,
    ScanClock,
    Story,
    UsageError,
    content_digest,
    require_downloaded,
)
from voxelzoo_datasets import images
from voxelzoo_datasets.declared import Declared, Read, disagreements
from voxelzoo_datasets.names import check_name, listed
from voxelzoo_datasets.options import check_options, choice, seconds, whole

OPTIONS = {
    "subjects": "comma-separated (default: all subjects with the chosen stories)",
    "stories": "comma-separated training stories",
    "test": "comma-separated held-out stories",
    "mask": "brain mask image, or auto: computed from each subject's first run",
    "parcellation": "labelled volume; responses are averaged within its regions",
    "confounds": "comma-separated columns of the confounds table to regress out; * is a wildcard",
    "drift": "none (default), cosine (periods over drift_period) or polynomial (drift_order)",
    "drift_period": "longest period kept by drift=cosine, in seconds (default 128)",
    "drift_order": "order of drift=polynomial (default 2)",
    "standardise": "yes (default): z-score each voxel within each run; or no",
    "drop": "volumes to drop at the start of each run (default 0)",
    "rows": "volumes to keep after that (default: all; needed if runs of a story differ in length)",
    "tr": "repetition time in seconds (default: from the sidecar or header)",
    "start": "start of the first acquired volume in seconds (default: 0, or from slice timing)",
}

_PREPARING = (
    "confounds",
    "drift",
    "drift_period",
    "drift_order",
    "standardise",
    "drop",
    "rows",
    "tr",
)
"""Options in the fingerprint; the mask and parcellation enter it as files."""

_PREPARATION = 1
"""Increase whenever the same files and options give different responses."""

_TR_SLACK = 1e-3


@dataclass(frozen=True)
class Run:
    """Files of one run: a volume, a CIFTI image, or a left and a right surface."""

    files: tuple[Path, ...]

    @property
    def first(self) -> Path:
        """The first file; its name identifies the run."""
        return self.files[0]

    @property
    def is_volume(self) -> bool:
        """Whether the run is a volume, which needs a mask or a parcellation."""
        return not self.first.name.endswith((".gii", ".dtseries.nii", ".ptseries.nii"))

    def beside(self, *names: str) -> Path | None:
        """The first of these names present in the run's folder, downloaded or not."""
        for name in names:
            path = self.first.with_name(name)
            if path.is_symlink() or path.exists():
                return path
        return None


def entities(name: str) -> dict[str, str]:
    """Parse ``sub-01_task-pieman_bold.nii.gz`` into ``{"sub": "01", "task": "pieman"}``."""
    stem = name.split(".")[0]
    parts = (part.partition("-") for part in stem.split("_"))
    return {key: label for key, dash, label in parts if dash}


def join_hemispheres(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Group files by run: left and right surfaces together, every other file alone."""
    runs: dict[str, list[Path]] = {}
    for file in sorted(files):
        runs.setdefault(str(file.parent / re.sub(r"_hemi-[LR]", "", file.name)), []).append(file)
    for parts in runs.values():
        if "_hemi-" in parts[0].name and len(parts) != 2:
            raise DataError(f"{parts[0]}: the other hemisphere's file is missing")
    return [tuple(parts) for parts in runs.values()]


class ImagingDataset(ABC):
    """Base class for datasets of brain images; subclasses locate the runs and the words.

    Parameters
    ----------
    path : Path
        Root folder of the dataset.
    options : mapping of str to str
        Any of :data:`OPTIONS`, which gives their units and defaults, and the subclass's own.

    Attributes
    ----------
    runs : dict
        Subject -> story -> runs; several runs are repeats.

    Raises
    ------
    UsageError
        If an option is unknown or invalid.
    DataError
        If a file is missing or damaged; the message names it.
    """

    name: str
    declared: Declared | None = None
    allowed_options: Mapping[str, str] = OPTIONS
    default_mask: str | None = None

    def __init__(self, path: Path, options: Mapping[str, str]) -> None:
        check_options(self.name, options, self.allowed_options)
        self.root = path
        self.options = options
        self.cleaning = images.Cleaning(
            listed(options.get("confounds", "")),
            choice("drift", options.get("drift", "none"), ("none", "cosine", "polynomial")),
            seconds("drift_period", options.get("drift_period", "128"), least=1),
            whole("drift_order", options.get("drift_order", "2"), least=1),
            choice("standardise", options.get("standardise", "yes"), ("yes", "no")) == "yes",
        )
        self._drop = whole("drop", options.get("drop", "0"), least=0)
        self._rows = whole("rows", options["rows"], least=1) if "rows" in options else None
        self._atlas = _file(options.get("parcellation"), "parcellation")
        mask = options.get("mask", self.default_mask)
        if mask is not None and self._atlas is not None and "mask" in options:
            raise UsageError("dataset options mask and parcellation: choose one of them")
        self._mask = mask if mask == "auto" else _file(mask, "mask")
        self.runs = self.find_runs()
        self._choose()
        self._n_volumes = cache(images.n_volumes)
        self._clock = cache(self._read_clock)
        self._subject_mask = cache(self._find_mask)
        self._labels: dict[str, list[str] | None] = {}
        self._n_voxels: dict[str, tuple[int, Path]] = {}

    # ------------------------------------------------------------------------- for each dataset

    @abstractmethod
    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """Runs of each subject and story."""

    @abstractmethod
    def info(self) -> DatasetInfo:
        """Name, licence and citation."""

    @abstractmethod
    def story(self, name: str) -> Story:
        """The stimulus, in scan time."""

    def default_tests(self, stories: Sequence[str]) -> tuple[str, ...]:
        """Held-out stories if the user names none.

        Parameters
        ----------
        stories : sequence of str
            Every story.
        """
        return ()

    def sidecar(self, run: Run) -> dict[str, Any]:
        """Contents of the JSON file next to a run; empty if there is none.

        Parameters
        ----------
        run : Run
            One scan of one story.
        """
        name = re.sub(r"_hemi-[LR]", "", run.first.name).split(".")[0] + ".json"
        file = run.beside(run.first.name.split(".")[0] + ".json", name)
        return read_json(file) if file is not None else {}

    def masks_of(self, run: Run) -> Path | None:
        """The brain mask published with a run, or ``None``.

        Parameters
        ----------
        run : Run
            One scan of one story.
        """
        stem = run.first.name.split(".")[0]
        return run.beside(re.sub(r"(_desc-[^_]+)?_bold$", "_desc-brain_mask", stem) + ".nii.gz")

    def confounds_of(self, run: Run) -> Path | None:
        """The confounds table published with a run, or ``None``."""
        stem = re.sub(r"_(space|res|den|hemi|desc)-[^_]+", "", run.first.name.split(".")[0])
        stem = re.sub(r"_bold$", "", stem)
        return run.beside(
            f"{stem}_desc-confounds_timeseries.tsv", f"{stem}_desc-confounds_regressors.tsv"
        )

    # ------------------------------------------------------------------------------ the contract

    def subjects(self) -> tuple[str, ...]:
        """Subjects with every chosen story."""
        return self._subjects

    def unusable_subjects(self) -> dict[str, str]:
        """Excluded subjects, with the reason."""
        return dict(self._excluded)

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting."""
        return self._train

    def test_stories(self) -> tuple[str, ...]:
        """Held-out stories."""
        return self._test

    def clock(self, story: str) -> ScanClock:
        """Acquisition times of the kept volumes, the same for every subject."""
        self.check_story(story)
        return self._clock(story)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses, (TR, voxel), or (repeat, TR, voxel) if there are several runs."""
        self._check(subject, story)
        clock = self.clock(story)
        repeats = [self._prepare(subject, run, clock) for run in self.runs[subject][story]]
        return repeats[0] if len(repeats) == 1 else np.stack(repeats)

    def voxel_labels(self, subject: str) -> list[str] | None:
        """Region, structure or hemisphere of each voxel; ``None`` for masked volumes."""
        check_name("subject", subject, self._subjects, self.name)
        if subject not in self._labels:
            self.responses(subject, self._train[0])
        return self._labels[subject]

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the files and of every option that changes the responses."""
        self._check(subject, story)
        parts: list[str | Path] = [
            f"{self.name} {_PREPARATION} {self._mask == 'auto'}",
            *(f"{name}={self.options.get(name)}" for name in _PREPARING),
        ]
        for run in self.runs[subject][story]:
            parts += run.files
            table = self.confounds_of(run) if self.cleaning.confounds else None
            parts += [table] if table is not None else []
        parts += self._mask_files(subject) if self.runs[subject][story][0].is_volume else []
        return content_digest(*parts)

    def disagreements(self) -> list[str]:
        """One line for each number that differs from the published one."""
        if self.declared is None or self._drop or self._rows:
            return []
        stories = (*self._train, *self._test)
        differences = disagreements(self.declared, Read({s: self.clock(s).n_trs for s in stories}))
        for story in stories:
            tr = self.clock(story).tr
            if abs(tr - self.declared.tr) > _TR_SLACK:
                differences.append(f"{story}: TR {tr:g} s, published with {self.declared.tr:g} s")
        return differences

    # ----------------------------------------------------------------------------------- details

    def check_story(self, name: str) -> None:
        """Raise :class:`NotFoundError` unless ``name`` is a chosen story."""
        check_name("story", name, (*self._train, *self._test), self.name)

    def _check(self, subject: str, story: str) -> None:
        check_name("subject", subject, self._subjects, self.name)
        self.check_story(story)

    def _choose(self) -> None:
        """Set the stories (default: those all subjects heard) and the subjects who have them."""
        requested = listed(self.options.get("subjects", ""))
        for subject in requested:
            check_name("subject", subject, self.runs, self.name)
        candidates = requested or tuple(self.runs)
        available = sorted({s for subject in candidates for s in self.runs[subject]}, key=_natural)
        test, train = (listed(self.options.get(key, "")) for key in ("test", "stories"))
        for story in (*test, *train):
            check_name("story", story, available, self.name)
        if both := [story for story in train if story in test]:
            raise UsageError(f"{self.name}: {both[0]!r} is in both stories and test: a leak")
        if not train:
            shared = [
                s for s in available if all(s in self.runs[subject] for subject in candidates)
            ]
            if not shared:
                counts = ", ".join(
                    f"{s} ({sum(s in self.runs[subject] for subject in candidates)})"
                    for s in available
                )
                raise UsageError(
                    f"{self.name}: no story that all {len(candidates)} subjects heard; choose "
                    f"with --dataset-option stories=...: {counts}"
                )
            test = test or self.default_tests(shared)
            train = tuple(story for story in shared if story not in test)
        self._train, self._test = train, test
        chosen = (*train, *test)
        self._excluded = {
            subject: why for subject in candidates if (why := self._unusable(subject, chosen))
        }
        if self._excluded and (requested or len(self._excluded) == len(candidates)):
            subject, why = next(iter(self._excluded.items()))
            raise DataError(f"{self.name}: {subject} {why}")
        self._subjects = tuple(s for s in candidates if s not in self._excluded)

    def _unusable(self, subject: str, stories: Sequence[str]) -> str | None:
        """Why a subject cannot be used (a missing story or file), or ``None``."""
        if missing := [story for story in stories if story not in self.runs[subject]]:
            return "has no " + ", ".join(missing)
        try:
            for story in stories:
                for run in self.runs[subject][story]:
                    for file in run.files:
                        require_downloaded(file)
        except DataError as error:
            return f"has {error}"
        return None

    def tr(self, runs: Sequence[Run] | Mapping[Run, Any]) -> float:
        """Repetition time in seconds, on which all sidecars and headers must agree."""
        if "tr" in self.options:
            return seconds("tr", self.options["tr"], least=1e-6)
        agreed: float | None = None
        for run in runs:
            published = self.sidecar(run).get("RepetitionTime")
            if published is not None and not (
                isinstance(published, int | float) and 0 < published < math.inf
            ):
                raise DataError(
                    f"{run.first}: RepetitionTime in its sidecar is {published!r}, not seconds"
                )
            header = images.header_tr(run.first)
            if published and header and abs(published - header) > _TR_SLACK:
                raise DataError(
                    f"{run.first}: TR {header:g} s in its header, {published:g} s in its sidecar; "
                    "choose with --dataset-option tr=SECONDS"
                )
            value = published or header
            if value is None:
                raise DataError(
                    f"{run.first}: no RepetitionTime in a JSON sidecar or in its header; "
                    "pass --dataset-option tr=SECONDS"
                )
            if agreed is not None and abs(value - agreed) > _TR_SLACK:
                raise DataError(f"{run.first}: TR {value:g} s, but other runs have {agreed:g} s")
            agreed = agreed or float(value)
        assert agreed is not None
        return agreed

    def _read_clock(self, story: str) -> ScanClock:
        counts = {
            run: self._n_volumes(run.first) - self._drop
            for subject in self._subjects
            for run in self.runs[subject][story]
        }
        shortest, longest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        n = self._rows or counts[shortest]
        if self._rows is None and counts[longest] != n:
            raise DataError(
                f"{shortest.first}: {n} rows, but {longest.first.name} has {counts[longest]}; "
                f"to keep the first {n} of each: --dataset-option rows={n}"
            )
        if n > counts[shortest]:
            raise DataError(f"{shortest.first}: {counts[shortest]} rows, fewer than rows={n}")
        if n < 2:
            raise DataError(f"{shortest.first}: only {n} rows remain; at least 2 are needed")
        tr = self.tr(counts)
        start = self._start(shortest, tr) + self._drop * tr
        return ScanClock(tr=tr, start=start, n_trs=n, n_dropped=self._drop)

    def _start(self, run: Run, tr: float) -> float:
        """Start of the first acquired volume, in seconds.

        Slice timing correction interpolates each volume to ``StartTime`` after its onset. The
        start is chosen so that the middle of the volume is that time.
        """
        if "start" in self.options:
            return seconds("start", self.options["start"])
        sidecar = self.sidecar(run)
        at = sidecar.get("StartTime")
        if sidecar.get("SliceTimingCorrected") is True and isinstance(at, int | float):
            return float(at) - tr / 2
        return 0.0

    def _mask_files(self, subject: str) -> list[Path]:
        if self._atlas is not None:
            return [self._atlas]
        if isinstance(self._mask, Path):
            return [self._mask]
        runs = [run for story in self._chosen(subject) for run in story]
        if self._mask == "auto":
            return [runs[0].first]
        masks = [self.masks_of(run) for run in runs]
        if unmasked := [run for run, mask in zip(runs, masks, strict=True) if mask is None]:
            raise DataError(
                f"{unmasked[0].first}: no brain mask next to it; pass --dataset-option mask=PATH, "
                "mask=auto or parcellation=PATH"
            )
        return list(dict.fromkeys(mask for mask in masks if mask is not None))

    def _chosen(self, subject: str) -> list[tuple[Run, ...]]:
        return [self.runs[subject][story] for story in (*self._train, *self._test)]

    def _find_mask(self, subject: str) -> Any:
        files = self._mask_files(subject)
        return images.compute_mask(files[0]) if self._mask == "auto" else images.subject_mask(files)

    def _prepare(self, subject: str, run: Run, clock: ScanClock) -> NDArray[np.float32]:
        for file in run.files:
            require_downloaded(file)
        mask = self._subject_mask(subject) if run.is_volume and self._atlas is None else None
        if self._atlas is not None and not run.is_volume:
            raise UsageError(
                f"{self.name}: {run.first.name} is not a volume; a parcellation needs volumes"
            )
        rows, labels = images.read_rows(run.files, mask, self._atlas)
        count, first = self._n_voxels.setdefault(subject, (rows.shape[1], run.first))
        if rows.shape[1] != count:
            raise DataError(f"{run.first}: {rows.shape[1]} voxels, but {first.name} has {count}")
        self._labels[subject] = labels
        kept = slice(self._drop, self._drop + clock.n_trs)
        if len(rows[kept]) != clock.n_trs:
            raise DataError(f"{run.first}: {len(rows)} volumes, but its header says more")
        confounds = None
        if self.cleaning.confounds:
            table = self.confounds_of(run)
            if table is None:
                raise DataError(f"{run.first}: no ..._desc-confounds_timeseries.tsv next to it")
            confounds = images.read_confounds(table, self.cleaning.confounds)
            if len(confounds) != len(rows):
                raise DataError(
                    f"{table}: {len(confounds)} rows for the {len(rows)} volumes of "
                    f"{run.first.name}"
                )
            confounds = confounds[kept]
        return self.cleaning.apply(rows[kept], clock.tr, confounds)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; :class:`DataError` says what is wrong with which file."""
    try:
        content = json.loads(require_downloaded(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must be a JSON object, not {type(content).__name__}")
    return content


def _file(text: str | None, option: str) -> Path | None:
    if text is None or text == "auto":
        return None
    path = Path(text).expanduser()
    if not (path.is_symlink() or path.is_file()):
        raise UsageError(f"dataset option {option}={text!r}: no such file")
    return path.resolve() if path.exists() else path


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``run-2`` before ``run-10``."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
