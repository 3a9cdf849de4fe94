"""What datasets of brain images share: runs on disk, made into responses as the options say.

The story's clock is the scan's: time 0 is when the first acquired volume began, and words and sound
are placed on it by the onset that each dataset publishes.
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
from voxelzoo_datasets.names import known, listed
from voxelzoo_datasets.options import choice, only_known, seconds, whole

OPTIONS = {
    "subjects": "comma-separated (default: all who have the chosen stories)",
    "stories": "comma-separated training stories",
    "test": "comma-separated stories held out whole",
    "mask": "an image of the voxels to use, or auto: made of each subject's first run",
    "parcellation": "a labelled volume: responses are means over its regions",
    "confounds": "columns of the confounds table to regress out, comma-separated; * matches",
    "drift": "none, cosine (slower than drift_period) or polynomial (of drift_order)",
    "drift_period": "seconds (default 128)",
    "drift_order": "of the polynomial (default 2)",
    "standardise": "yes (default): each voxel to mean 0 and variance 1 in each run; or no",
    "drop": "volumes to drop at the start of each run (default 0)",
    "rows": "rows to keep after that, where runs of one story differ in length",
    "tr": "repetition time in seconds, where the files do not say",
    "start": "seconds at which the first acquired volume begins (default 0, or by slice timing)",
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
"""Options that change responses; the mask and the parcellation are files and speak themselves."""

_PREPARATION = 1
"""Raised whenever the same files and options would give other responses."""

_TR_SLACK = 1e-3


@dataclass(frozen=True)
class Run:
    """One run's files: a volume or CIFTI image, or the left and the right surface."""

    files: tuple[Path, ...]

    @property
    def first(self) -> Path:
        """The file that names the run."""
        return self.files[0]

    @property
    def is_volume(self) -> bool:
        """Whether a mask or a parcellation says which voxels there are."""
        return not self.first.name.endswith((".gii", ".dtseries.nii", ".ptseries.nii"))

    def beside(self, *names: str) -> Path | None:
        """The first of these files that is in the run's folder, fetched or not."""
        for name in names:
            path = self.first.with_name(name)
            if path.is_symlink() or path.exists():
                return path
        return None


def entities(name: str) -> dict[str, str]:
    """``sub-01_task-pieman_bold.nii.gz`` as ``{"sub": "01", "task": "pieman"}``."""
    stem = name.split(".")[0]
    parts = (part.partition("-") for part in stem.split("_"))
    return {key: label for key, dash, label in parts if dash}


def join_hemispheres(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Files of each run: left and right surfaces joined, all else alone."""
    runs: dict[str, list[Path]] = {}
    for file in sorted(files):
        runs.setdefault(str(file.parent / re.sub(r"_hemi-[LR]", "", file.name)), []).append(file)
    for found in runs.values():
        if "_hemi-" in found[0].name and len(found) != 2:
            raise DataError(f"{found[0]}: the other hemisphere is not beside it")
    return [tuple(found) for found in runs.values()]


class ImagingDataset(ABC):
    """Subjects and stories of brain images; subclasses say where words and runs are.

    ``runs`` maps subject to story to its runs: repeats, where there are several. Raises
    :class:`UsageError` for an option that does not fit, and :class:`DataError` naming the file and
    the fault.
    """

    name: str
    declared: Declared | None = None
    known_options: Mapping[str, str] = OPTIONS
    default_mask: str | None = None

    def __init__(self, path: Path, options: Mapping[str, str]) -> None:
        only_known(self.name, options, self.known_options)
        self.root = path
        self.options = options
        self._drift = choice(
            "drift", options.get("drift", "none"), ("none", "cosine", "polynomial")
        )
        self._period = seconds("drift_period", options.get("drift_period", "128"), least=1)
        self._order = whole("drift_order", options.get("drift_order", "2"), least=1)
        self._standardise = choice("standardise", options.get("standardise", "yes"), ("yes", "no"))
        self._drop = whole("drop", options.get("drop", "0"), least=0)
        self._rows = whole("rows", options["rows"], least=1) if "rows" in options else None
        self._confounds = listed(options.get("confounds", ""))
        self._atlas = _file(options.get("parcellation"), "parcellation")
        mask = options.get("mask", self.default_mask)
        if mask is not None and self._atlas is not None and "mask" in options:
            raise UsageError("dataset options mask and parcellation: give one of them")
        self._mask = mask if mask == "auto" else _file(mask, "mask")
        self.runs = self.find_runs()
        self._choose()
        self._n_volumes = cache(images.n_volumes)
        self._clock = cache(self._read_clock)
        self._subject_mask = cache(self._find_mask)
        self._labels: dict[str, list[str] | None] = {}
        self._n_voxels: dict[str, tuple[int, Path]] = {}

    # ---------------------------------------------------------------------- for each dataset to say

    @abstractmethod
    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """Runs of each subject and story."""

    @abstractmethod
    def info(self) -> DatasetInfo:
        """Name, licence and citation."""

    @abstractmethod
    def story(self, name: str) -> Story:
        """The stimulus, on the scan's clock."""

    def default_tests(self, stories: Sequence[str]) -> tuple[str, ...]:
        """Stories held out where the user names none."""
        return ()

    def sidecar(self, run: Run) -> dict[str, Any]:
        """What the JSON file beside a run says, where there is one."""
        name = re.sub(r"_hemi-[LR]", "", run.first.name).split(".")[0] + ".json"
        file = run.beside(run.first.name.split(".")[0] + ".json", name)
        return read_json(file) if file is not None else {}

    def masks_of(self, run: Run) -> Path | None:
        """The brain mask published with a run."""
        stem = run.first.name.split(".")[0]
        return run.beside(re.sub(r"(_desc-[^_]+)?_bold$", "_desc-brain_mask", stem) + ".nii.gz")

    def confounds_of(self, run: Run) -> Path | None:
        """The confounds table published with a run."""
        stem = re.sub(r"_(space|res|den|hemi|desc)-[^_]+", "", run.first.name.split(".")[0])
        stem = re.sub(r"_bold$", "", stem)
        return run.beside(
            f"{stem}_desc-confounds_timeseries.tsv", f"{stem}_desc-confounds_regressors.tsv"
        )

    # ------------------------------------------------------------------------------ the contract

    def subjects(self) -> tuple[str, ...]:
        """Subjects who have every chosen story."""
        return self._subjects

    def unusable_subjects(self) -> dict[str, str]:
        """Subjects left out, with the stories they lack."""
        return dict(self._left_out)

    def train_stories(self) -> tuple[str, ...]:
        """Stories for fitting."""
        return self._train

    def test_stories(self) -> tuple[str, ...]:
        """Stories held out whole."""
        return self._test

    def clock(self, story: str) -> ScanClock:
        """When the kept volumes were acquired, the same for every subject."""
        self.known_story(story)
        return self._clock(story)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where there are several runs."""
        self._known(subject, story)
        clock = self.clock(story)
        repeats = [self._prepared(subject, run, clock) for run in self.runs[subject][story]]
        return repeats[0] if len(repeats) == 1 else np.stack(repeats)

    def voxel_labels(self, subject: str) -> list[str] | None:
        """Regions, parcels, structures or hemispheres, where the images have them."""
        known("subject", subject, self._subjects, self.name)
        if subject not in self._labels:
            self.responses(subject, self._train[0])
        return self._labels[subject]

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the files that are read and of what is done with them."""
        self._known(subject, story)
        parts: list[str | Path] = [
            f"{self.name} {_PREPARATION} {self._mask == 'auto'}",
            *(f"{name}={self.options.get(name)}" for name in _PREPARING),
        ]
        for run in self.runs[subject][story]:
            parts += run.files
            table = self.confounds_of(run) if self._confounds else None
            parts += [table] if table is not None else []
        parts += self._mask_files(subject) if self.runs[subject][story][0].is_volume else []
        return content_digest(*parts)

    def disagreements(self) -> list[str]:
        """A line for each number that is not the published one."""
        if self.declared is None or self._drop or self._rows:
            return []
        stories = (*self._train, *self._test)
        said = disagreements(self.declared, Read({s: self.clock(s).n_trs for s in stories}))
        for story in stories:
            tr = self.clock(story).tr
            if abs(tr - self.declared.tr) > _TR_SLACK:
                said.append(f"{story}: TR {tr:g} s, published with {self.declared.tr:g} s")
        return said

    # ----------------------------------------------------------------------------------- details

    def known_story(self, name: str) -> None:
        """Refuses the name of no chosen story."""
        known("story", name, (*self._train, *self._test), self.name)

    def _known(self, subject: str, story: str) -> None:
        known("subject", subject, self._subjects, self.name)
        self.known_story(story)

    def _choose(self) -> None:
        """Stories asked for, or all that the subjects share, and the subjects who have them."""
        asked = listed(self.options.get("subjects", ""))
        for subject in asked:
            known("subject", subject, self.runs, self.name)
        candidates = asked or tuple(self.runs)
        there = sorted({s for subject in candidates for s in self.runs[subject]}, key=_natural)
        test, train = (listed(self.options.get(key, "")) for key in ("test", "stories"))
        for story in (*test, *train):
            known("story", story, there, self.name)
        if both := [story for story in train if story in test]:
            raise UsageError(f"{self.name}: {both[0]!r} is in both stories and test: a leak")
        if not train:
            shared = [s for s in there if all(s in self.runs[subject] for subject in candidates)]
            if not shared:
                counts = ", ".join(
                    f"{s} ({sum(s in self.runs[subject] for subject in candidates)})" for s in there
                )
                raise UsageError(
                    f"{self.name}: no story that all {len(candidates)} subjects heard; choose with "
                    f"--dataset-option stories=...: {counts}"
                )
            test = test or self.default_tests(shared)
            train = tuple(story for story in shared if story not in test)
        self._train, self._test = train, test
        chosen = (*train, *test)
        self._left_out = {
            subject: why for subject in candidates if (why := self._lacks(subject, chosen))
        }
        if self._left_out and (asked or len(self._left_out) == len(candidates)):
            subject, why = next(iter(self._left_out.items()))
            raise DataError(f"{self.name}: {subject} {why}")
        self._subjects = tuple(s for s in candidates if s not in self._left_out)

    def _lacks(self, subject: str, stories: Sequence[str]) -> str | None:
        """Why a subject cannot be used: a story not heard, or a run not fetched."""
        if lacking := [story for story in stories if story not in self.runs[subject]]:
            return "has no " + ", ".join(lacking)
        try:
            for story in stories:
                for run in self.runs[subject][story]:
                    for file in run.files:
                        require_downloaded(file)
        except DataError as error:
            return f"has {error}"
        return None

    def tr(self, runs: Sequence[Run] | Mapping[Run, Any]) -> float:
        """The repetition time that the sidecar and the header of every run agree on, in seconds."""
        if "tr" in self.options:
            return seconds("tr", self.options["tr"], least=1e-6)
        found: float | None = None
        for run in runs:
            said = self.sidecar(run).get("RepetitionTime")
            if said is not None and not (isinstance(said, int | float) and 0 < said < math.inf):
                raise DataError(f"{run.first}: its sidecar has RepetitionTime {said!r}")
            header = images.header_tr(run.first)
            if said and header and abs(said - header) > _TR_SLACK:
                raise DataError(
                    f"{run.first}: TR {header:g} s by its header, {said:g} s by its sidecar; say "
                    "which: --dataset-option tr=SECONDS"
                )
            one = said or header
            if one is None:
                raise DataError(
                    f"{run.first}: no RepetitionTime in a JSON file beside it and none in its "
                    "header; say it: --dataset-option tr=SECONDS"
                )
            if found is not None and abs(one - found) > _TR_SLACK:
                raise DataError(f"{run.first}: TR {one:g} s, other runs have {found:g} s")
            found = found or float(one)
        assert found is not None
        return found

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
                f"keep the first of each: --dataset-option rows={n}"
            )
        if n > counts[shortest]:
            raise DataError(f"{shortest.first}: {counts[shortest]} rows, fewer than rows={n}")
        if n < 2:
            raise DataError(f"{shortest.first}: {n} rows are left of the run")
        tr = self.tr(counts)
        start = self._start(shortest, tr) + self._drop * tr
        return ScanClock(tr=tr, start=start, n_trs=n, n_dropped=self._drop)

    def _start(self, run: Run, tr: float) -> float:
        """When the first acquired volume begins, so that its middle is the time it stands for.

        Slice timing correction moves a volume to ``StartTime`` after its onset.
        """
        if "start" in self.options:
            return seconds("start", self.options["start"])
        said = self.sidecar(run)
        at = said.get("StartTime")
        if said.get("SliceTimingCorrected") is True and isinstance(at, int | float):
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
        found = [self.masks_of(run) for run in runs]
        if lacking := [run for run, mask in zip(runs, found, strict=True) if mask is None]:
            raise DataError(
                f"{lacking[0].first}: no brain mask beside it; say which voxels: --dataset-option "
                "mask=PATH, mask=auto or parcellation=PATH"
            )
        return list(dict.fromkeys(mask for mask in found if mask is not None))

    def _chosen(self, subject: str) -> list[tuple[Run, ...]]:
        return [self.runs[subject][story] for story in (*self._train, *self._test)]

    def _find_mask(self, subject: str) -> Any:
        files = self._mask_files(subject)
        return images.made_mask(files[0]) if self._mask == "auto" else images.subject_mask(files)

    def _prepared(self, subject: str, run: Run, clock: ScanClock) -> NDArray[np.float32]:
        for file in run.files:
            require_downloaded(file)
        mask = self._subject_mask(subject) if run.is_volume and self._atlas is None else None
        if self._atlas is not None and not run.is_volume:
            raise UsageError(
                f"{self.name}: {run.first.name} is no volume; a parcellation is of volumes only"
            )
        rows, labels = images.read_rows(run.files, mask, self._atlas)
        count, first = self._n_voxels.setdefault(subject, (rows.shape[1], run.first))
        if rows.shape[1] != count:
            raise DataError(f"{run.first}: {rows.shape[1]} voxels, {first.name} has {count}")
        self._labels[subject] = labels
        kept = slice(self._drop, self._drop + clock.n_trs)
        if len(rows[kept]) != clock.n_trs:
            raise DataError(f"{run.first}: {len(rows)} volumes, its header has more")
        confounds = None
        if self._confounds:
            table = self.confounds_of(run)
            if table is None:
                raise DataError(f"{run.first}: no ..._desc-confounds_timeseries.tsv beside it")
            confounds = images.read_confounds(table, self._confounds)
            if len(confounds) != len(rows):
                raise DataError(
                    f"{table}: {len(confounds)} rows for the {len(rows)} volumes of "
                    f"{run.first.name}"
                )
            confounds = confounds[kept]
        standardise = self._standardise == "yes"
        if confounds is None and self._drift == "none" and not standardise:
            return rows[kept]
        return images.clean(
            rows[kept], clock.tr, confounds, self._drift, self._period, self._order, standardise
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; :class:`DataError` names the file and the fault."""
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
    """Sorts ``run-2`` before ``run-10``."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
