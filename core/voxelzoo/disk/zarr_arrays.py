"""Zarr arrays of folders from elsewhere, opened without running anything that they name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxelzoo.errors import DataError

CODECS = frozenset({"blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd"})
"""Codecs of the Zarr v3 specification. Others are looked up by name among installed packages, and
one of them (pickle) runs code that the folder holds."""


TYPES = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2,
    "uint32": 4, "uint64": 8, "float16": 2, "float32": 4, "float64": 8,
}  # fmt: skip
"""Types of numbers, and their sizes in bytes."""


MOST_METADATA = 1 << 20
FREE, MOST_GROWTH = 1 << 26, 1000
"""An array may have this many bytes, or this many times those on disk, if that is more."""


def open_zarr_array(path: Path) -> Any:
    """Open a Zarr v3 array for reading.

    Parameters
    ----------
    path : Path
        Folder of the array.

    Returns
    -------
    zarr.Array

    Raises
    ------
    DataError
        If it is not a Zarr v3 array of numbers, has a codec that is not in :data:`CODECS`, or is
        far larger than its files. Nothing that it names is looked up or run.
    """
    import zarr  # slow to import

    try:
        _check(path)
        return zarr.open_array(path, mode="r", zarr_format=3)
    except DataError:
        raise
    except Exception as error:  # damaged metadata can raise anything
        raise DataError(f"{path}: damaged ({_line(error)})") from error


def _check(path: Path) -> None:
    with (path / "zarr.json").open("rb") as file:
        raw = file.read(MOST_METADATA + 1)
    if len(raw) > MOST_METADATA:
        raise DataError(f"{path}: zarr.json is larger than {MOST_METADATA:,} bytes")
    metadata = json.loads(raw)
    if metadata["zarr_format"] != 3 or metadata["node_type"] != "array":
        raise DataError(f"{path}: not a Zarr v3 array")
    if metadata["data_type"] not in TYPES:
        raise DataError(f"{path}: values of type {metadata['data_type']!r:.40}, which is no number")
    _check_codecs(path, metadata["codecs"])
    if metadata.get("storage_transformers"):
        raise DataError(f"{path}: has storage transformers, which are not read")
    shape = metadata["shape"]
    _check_chunks(path, shape, metadata["chunk_grid"]["configuration"]["chunk_shape"])
    n_bytes = math.prod(shape) * TYPES[metadata["data_type"]]
    on_disk = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    if n_bytes > max(FREE, MOST_GROWTH * on_disk):
        raise DataError(f"{path}: an array of {n_bytes:,} bytes in files of {on_disk:,}")


def _check_codecs(path: Path, codecs: Sequence[Any]) -> None:
    for codec in codecs:
        name = codec if isinstance(codec, str) else codec["name"]
        if name not in CODECS:
            raise DataError(
                f"{path}: compressed with {name!r:.40}, which is not read; one of "
                f"{', '.join(sorted(CODECS))} is"
            )
        if name == "sharding_indexed":
            _check_codecs(path, codec["configuration"]["codecs"])
            _check_codecs(path, codec["configuration"]["index_codecs"])


def _check_chunks(path: Path, shape: Sequence[int], chunk: Sequence[int]) -> None:
    fits = len(shape) == len(chunk) and all(
        n >= 0 and 1 <= c <= max(1, 2 * n) for n, c in zip(shape, chunk, strict=True)
    )
    if not fits:
        raise DataError(f"{path}: chunks of {chunk!r:.40} in an array of {shape!r:.40}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
