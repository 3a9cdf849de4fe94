"""Read NIfTI volumes, GIFTI surfaces and CIFTI images as (TR, voxel) arrays, and clean them.

nibabel reads the files; nilearn does masking, parcellation and nuisance regression. Install both
with ``pip install 'voxelzoo[bids]'``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, MissingError, ZooError, require_downloaded
from voxelzoo_datasets.tables import read_table

Rows = NDArray[np.float32]


def load_image(path: Path) -> Any:
    """Load an image with nibabel; :class:`DataError` says what is wrong with which file."""
    try:
        import nibabel
        import nilearn  # noqa: F401 - so that one line names both
    except ImportError as error:
        raise MissingError(
            f"brain images need {error.name or 'nibabel'}; run: pip install 'voxelzoo[bids]'"
        ) from None
    require_downloaded(path)
    if not path.exists():
        raise DataError(f"{path}: missing")
    with _reading(path):
        return nibabel.load(path)


def n_volumes(path: Path) -> int:
    """Number of volumes in a run, read from its header."""
    if path.name.endswith(".gii"):
        require_downloaded(path)
        with _reading(path), path.open("rb") as file:
            head = file.read(1 << 16)
        count = re.search(rb'NumberOfDataArrays\s*=\s*"\s*(\d+)\s*"', head)
        if count is None:
            raise DataError(f"{path}: not a GIFTI image (no NumberOfDataArrays)")
        return int(count[1])
    shape = load_image(path).shape
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return int(shape[0])
    if len(shape) != 4:
        raise DataError(f"{path}: shape {shape}, expected (x, y, z, TR)")
    return int(shape[3])


def header_tr(path: Path) -> float | None:
    """Repetition time in seconds, or ``None`` if the header does not give it."""
    if path.name.endswith(".gii"):
        return None
    image = load_image(path)
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        with _reading(path):
            axis = image.header.get_axis(0)
        step, unit = getattr(axis, "step", 0.0), str(getattr(axis, "unit", "SECOND"))
        return float(step) or None if unit.upper() == "SECOND" else None
    step = float(image.header.get_zooms()[3]) if len(image.shape) == 4 else 0.0
    unit = image.header.get_xyzt_units()[1]
    return {"sec": step, "msec": step / 1000, "unknown": step}.get(unit, 0.0) or None


def read_rows(
    files: Sequence[Path], mask: Any = None, atlas: Path | None = None
) -> tuple[Rows, list[str] | None]:
    """Read one run.

    Parameters
    ----------
    files : sequence of Path
        One 4D NIfTI volume, one CIFTI image, or the GIFTI surfaces of both hemispheres.
    mask : nibabel image, optional
        Brain mask of a NIfTI volume.
    atlas : Path, optional
        Labelled NIfTI volume. Responses are averaged within its regions and ``mask`` is not used.

    Returns
    -------
    rows : array of shape (TR, voxel), float32
        NaN values are kept.
    labels : list of str, or None
        Region, structure or hemisphere of each voxel; ``None`` for a masked volume.

    Raises
    ------
    DataError
        If a file is damaged, or its shape does not fit the mask or the other hemisphere.
    """
    first = files[0]
    if first.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return _read_cifti(first)
    if first.name.endswith(".gii"):
        hemispheres = [_read_surface(file) for file in files]
        if len({len(rows) for rows in hemispheres}) > 1:
            counts = " and ".join(
                f"{f.name} {len(r)}" for f, r in zip(files, hemispheres, strict=True)
            )
            raise DataError(f"{first.parent}: hemispheres differ in number of volumes ({counts})")
        sides = [re.search(r"hemi-([LR])", file.name) for file in files]
        labels = [
            f"hemi-{side[1]}" if side else "surface"
            for side, rows in zip(sides, hemispheres, strict=True)
            for _ in range(rows.shape[1])
        ]
        return np.concatenate(hemispheres, axis=1), labels
    image = load_image(first)
    return _read_regions(first, image, atlas) if atlas is not None else _masked(first, image, mask)


def _masked(path: Path, image: Any, mask: Any) -> tuple[Rows, None]:
    from nilearn.masking import apply_mask

    where = mask.get_filename() or "the mask"
    if image.shape[:3] != mask.shape[:3] or not np.allclose(image.affine, mask.affine, atol=1e-3):
        raise DataError(
            f"{path}: grid {image.shape[:3]} or its affine differs from {where} {mask.shape[:3]}; "
            "resample one of them"
        )
    with _reading(path):
        rows = apply_mask(image, mask, dtype="f", ensure_finite=False)
    if not rows.shape[1]:
        raise DataError(f"{where}: the mask is empty")
    return np.asarray(rows, dtype=np.float32), None


def _read_regions(path: Path, image: Any, atlas: Path) -> tuple[Rows, list[str]]:
    from nilearn.maskers import NiftiLabelsMasker

    regions = load_image(atlas)
    with _reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the atlas is resampled to the data's grid on purpose
        masker = NiftiLabelsMasker(regions, resampling_target="data")
        rows = np.asarray(masker.fit_transform(image), dtype=np.float32)
        labels = [str(number) for number in masker.region_ids_.values() if number != "background"]
    if len(labels) != rows.shape[1]:
        labels = [str(i + 1) for i in range(rows.shape[1])]
    return rows, labels


def _read_surface(path: Path) -> Rows:
    with _reading(path):
        arrays = [np.asarray(a.data, dtype=np.float32) for a in load_image(path).darrays]
        rows = np.stack(arrays)
    if rows.ndim != 2:
        raise DataError(f"{path}: arrays {rows.shape[1:]}, expected one value per vertex")
    return rows


def _read_cifti(path: Path) -> tuple[Rows, list[str]]:
    import nibabel

    image = load_image(path)
    with _reading(path):
        series, brain_models = (image.header.get_axis(i) for i in (0, 1))
        if not isinstance(series, nibabel.cifti2.SeriesAxis):
            raise DataError(f"{path}: its rows are not a time series")
        rows = np.asarray(image.dataobj, dtype=np.float32)
    labels = [str(name).removeprefix("CIFTI_STRUCTURE_") for name in brain_models.name]
    return rows, labels


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert errors that libraries raise while reading ``path`` into a one-line DataError.

    Their parsers share no base class: a damaged file can raise almost any exception.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: not a brain image, or damaged ({line})") from error


def subject_mask(masks: Sequence[Path]) -> Any:
    """The intersection of the runs' masks."""
    from nilearn.masking import intersect_masks

    images = [load_image(path) for path in masks]
    for path, image in zip(masks, images, strict=True):
        if image.shape != images[0].shape or not np.allclose(image.affine, images[0].affine):
            raise DataError(
                f"{path}: its grid differs from that of {masks[0].name} {images[0].shape}"
            )
    with _reading(masks[0]):
        return images[0] if len(images) == 1 else intersect_masks(images, 1, connected=False)


def compute_mask(run: Path) -> Any:
    """Compute a brain mask from a run with nilearn's ``compute_epi_mask``."""
    from nilearn.masking import compute_epi_mask

    image = load_image(run)
    with _reading(run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compute_epi_mask(image)


# -------------------------------------------------------------------------------------- cleaning


def read_confounds(path: Path, patterns: Sequence[str]) -> NDArray[np.float64]:
    """Read the columns of a confounds table that match the patterns.

    Parameters
    ----------
    path : Path
        Table with one row per volume.
    patterns : sequence of str
        Column names; ``*`` matches any text.

    Returns
    -------
    array of shape (TR, column), float64
        Derivatives have no value in the first row (``n/a``); it is set to zero.

    Raises
    ------
    DataError
        If a pattern matches no column, or a value is missing in a later row.
    """
    rows = read_table(path)
    header = list(rows[0].values) if rows else []
    chosen: list[str] = []
    for pattern in patterns:
        matches = [name for name in header if fnmatchcase(name, pattern)]
        if not matches:
            raise DataError(f"{path}: no column {pattern!r}; it has {', '.join(header[:12])}...")
        chosen += [name for name in matches if name not in chosen]
    values = np.zeros((len(rows), len(chosen)))
    for i, row in enumerate(rows):
        for j, name in enumerate(chosen):
            value = row.number_or_none(name)
            if value is None and i:
                raise DataError(f"{row.where}: no {name}")
            values[i, j] = value or 0.0
    return values


@dataclass(frozen=True)
class Cleaning:
    """What is regressed out of each voxel in one step, and whether it is then standardised."""

    confounds: Sequence[str]
    """Columns of the confounds table."""
    drift: str
    """``none``, ``cosine`` or ``polynomial``."""
    period: float
    """Cosine drift: periods longer than this are removed, in seconds."""
    order: int
    """Polynomial drift: order of the Legendre polynomials."""
    standardise: bool
    """Whether each voxel is z-scored over the run."""

    def describe(self) -> str | None:
        """Say what it does, in clauses for a methods section; None if it does nothing."""
        steps = []
        if self.confounds:
            steps.append(f"the confounds {', '.join(self.confounds)} were regressed out")
        if self.drift == "cosine":
            steps.append(f"drifts slower than {self.period:g} s were removed by cosines")
        if self.drift == "polynomial":
            steps.append(f"a polynomial drift of order {self.order} was removed")
        if self.standardise:
            steps.append("each voxel was z-scored within each run")
        return ", ".join(steps) or None

    def apply(self, rows: Rows, tr: float, confounds: NDArray[np.float64] | None) -> Rows:
        """Clean the responses of one run.

        Parameters
        ----------
        rows : array of shape (TR, voxel), float32
            Responses.
        tr : float
            Repetition time, in seconds.
        confounds : array of shape (TR, column), or None
            Nuisance regressors.

        Returns
        -------
        array of shape (TR, voxel), float32
            A voxel with any non-finite value is NaN throughout.
        """
        if self.describe() is None:
            return rows
        from nilearn.signal import clean

        nuisances = [] if confounds is None else [confounds]
        if self.drift == "polynomial":
            at = np.linspace(-1, 1, len(rows))
            powers = np.asarray(np.polynomial.legendre.legvander(at, self.order), dtype=np.float64)
            nuisances.append(powers[:, 1:])
        usable = np.isfinite(rows).all(axis=0)
        cleaned = np.full_like(rows, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant voxels stay constant and are reported later
            cleaned[:, usable] = clean(
                rows[:, usable].astype(np.float64),
                detrend=False,
                standardize="zscore_sample" if self.standardise else None,
                confounds=np.concatenate(nuisances, axis=1) if nuisances else None,
                filter="cosine" if self.drift == "cosine" else False,
                high_pass=1 / self.period if self.drift == "cosine" else None,
                t_r=tr,
            )
        return cleaned
