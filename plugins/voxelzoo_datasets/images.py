"""Brain images as rows of voxels: NIfTI volumes, GIFTI surfaces and CIFTI, cleaned on request.

Reading is nibabel's, masks, parcellations and regression are nilearn's: ``pip install
'voxelzoo[bids]'``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, MissingError, ZooError, require_downloaded
from voxelzoo_datasets.tables import read_table

Rows = NDArray[np.float32]


def load_image(path: Path) -> Any:
    """An image of nibabel's; :class:`DataError` names the file and the fault."""
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
    """Volumes in a run, from its header."""
    if path.name.endswith(".gii"):
        require_downloaded(path)
        with _reading(path), path.open("rb") as file:
            head = file.read(1 << 16)
        counted = re.search(rb'NumberOfDataArrays\s*=\s*"\s*(\d+)\s*"', head)
        if counted is None:
            raise DataError(f"{path}: not a GIFTI image (it counts no data arrays)")
        return int(counted[1])
    shape = load_image(path).shape
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return int(shape[0])
    if len(shape) != 4:
        raise DataError(f"{path}: shape {shape}, expected (x, y, z, TR)")
    return int(shape[3])


def header_tr(path: Path) -> float | None:
    """Repetition time in seconds, where the header has it."""
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
    """A run as (TR, voxel), and a label for each voxel where the image names regions.

    One NIfTI volume within ``mask`` or averaged in the regions of ``atlas``; GIFTI surfaces, left
    and right joined; or one CIFTI image. What is not a number stays so.
    """
    first = files[0]
    if first.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return _read_cifti(first)
    if first.name.endswith(".gii"):
        hemispheres = [_read_surface(file) for file in files]
        if len({len(rows) for rows in hemispheres}) > 1:
            found = " and ".join(
                f"{f.name} {len(r)}" for f, r in zip(files, hemispheres, strict=True)
            )
            raise DataError(f"{first.parent}: hemispheres differ in volumes ({found})")
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
            f"{path}: grid {image.shape[:3]} is not that of {where} {mask.shape[:3]}; resample one"
        )
    with _reading(path):
        rows = apply_mask(image, mask, dtype="f", ensure_finite=False)
    if not rows.shape[1]:
        raise DataError(f"{where}: no voxel is in the mask")
    return np.asarray(rows, dtype=np.float32), None


def _read_regions(path: Path, image: Any, atlas: Path) -> tuple[Rows, list[str]]:
    from nilearn.maskers import NiftiLabelsMasker

    regions = load_image(atlas)
    with _reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of resampling to the data's grid, which is meant
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
        raise DataError(f"{path}: arrays {rows.shape[1:]}, expected one value a vertex")
    return rows


def _read_cifti(path: Path) -> tuple[Rows, list[str]]:
    import nibabel

    image = load_image(path)
    with _reading(path):
        series, places = (image.header.get_axis(i) for i in (0, 1))
        if not isinstance(series, nibabel.cifti2.SeriesAxis):
            raise DataError(f"{path}: its rows are no time series")
        rows = np.asarray(image.dataobj, dtype=np.float32)
    labels = [str(name).removeprefix("CIFTI_STRUCTURE_") for name in places.name]
    return rows, labels


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what libraries raise while a file is read into a line that names it.

    Their parsers have no error in common: of a damaged file they raise whatever they meet.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: not a brain image, or damaged ({line})") from error


def subject_mask(masks: Sequence[Path]) -> Any:
    """The voxels that are in every run's mask."""
    from nilearn.masking import intersect_masks

    images = [load_image(path) for path in masks]
    for path, image in zip(masks, images, strict=True):
        if image.shape != images[0].shape or not np.allclose(image.affine, images[0].affine):
            raise DataError(f"{path}: not on the grid of {masks[0].name} {images[0].shape}")
    with _reading(masks[0]):
        return images[0] if len(images) == 1 else intersect_masks(images, 1, connected=False)


def made_mask(run: Path) -> Any:
    """A mask made of a run's mean image, by nilearn's threshold between brain and air."""
    from nilearn.masking import compute_epi_mask

    image = load_image(run)
    with _reading(run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compute_epi_mask(image)


# -------------------------------------------------------------------------------------- cleaning


def read_confounds(path: Path, patterns: Sequence[str]) -> NDArray[np.float64]:
    """The columns of a confounds table that match, (TR, column).

    A pattern may have ``*``. Differences have no value in the first row (``n/a``), where they are
    zero; a value that lacks elsewhere is a :class:`DataError`.
    """
    rows = read_table(path)
    header = list(rows[0].values) if rows else []
    chosen: list[str] = []
    for pattern in patterns:
        found = [name for name in header if fnmatchcase(name, pattern)]
        if not found:
            raise DataError(f"{path}: no column {pattern!r}; it has {', '.join(header[:12])}...")
        chosen += [name for name in found if name not in chosen]
    values = np.zeros((len(rows), len(chosen)))
    for i, row in enumerate(rows):
        for j, name in enumerate(chosen):
            value = row.number_or_none(name)
            if value is None and i:
                raise DataError(f"{row.where}: no {name}")
            values[i, j] = value or 0.0
    return values


def clean(
    rows: Rows,
    tr: float,
    confounds: NDArray[np.float64] | None,
    drift: str,
    period: float,
    order: int,
    standardise: bool,
) -> Rows:
    """Regresses confounds and drift out of each voxel, at once, and standardises it.

    ``drift`` is ``none``, ``cosine`` (all slower than ``period`` seconds) or ``polynomial`` of an
    ``order``. A voxel with a value that is no number becomes NaN throughout.
    """
    from nilearn.signal import clean as nilearn_clean

    nuisances = [] if confounds is None else [confounds]
    if drift == "polynomial":
        at = np.linspace(-1, 1, len(rows))
        powers = np.asarray(np.polynomial.legendre.legvander(at, order), dtype=np.float64)
        nuisances.append(powers[:, 1:])
    usable = np.isfinite(rows).all(axis=0)
    cleaned = np.full_like(rows, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of voxels that never change: they stay so, and are told
        cleaned[:, usable] = nilearn_clean(
            rows[:, usable].astype(np.float64),
            detrend=False,
            standardize="zscore_sample" if standardise else None,
            confounds=np.concatenate(nuisances, axis=1) if nuisances else None,
            filter="cosine" if drift == "cosine" else False,
            high_pass=1 / period if drift == "cosine" else None,
            t_r=tr,
        )
    return cleaned
