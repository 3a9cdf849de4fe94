"""Zarr arrays of others: nothing that a folder names is looked up, and sizes are bounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from voxelzoo.disk.zarr_arrays import open_zarr_array
from voxelzoo.errors import DataError

VALUES = np.arange(200, dtype=np.float32).reshape(10, 20)


def write(path: Path, **more: Any) -> Path:
    array = zarr.create_array(
        path, shape=VALUES.shape, dtype="float32", chunks=(10, 5), zarr_format=3, **more
    )
    array[:] = VALUES
    return path


@pytest.mark.parametrize("more", [{}, {"shards": (10, 10)}, {"compressors": None}])
def test_arrays_that_zarr_writes_are_read(tmp_path: Path, more: dict[str, Any]) -> None:
    array = open_zarr_array(write(tmp_path / "a.zarr", **more))
    np.testing.assert_array_equal(array[...], VALUES)


def set_codec(name: str) -> Callable[[dict[str, Any]], None]:
    def change(metadata: dict[str, Any]) -> None:
        metadata["codecs"].append({"name": name, "configuration": {}})

    return change


def set_inner_codec(metadata: dict[str, Any]) -> None:
    inner = {"chunk_shape": [10, 5], "codecs": [{"name": "numcodecs.pickle"}], "index_codecs": []}
    metadata["codecs"] = [{"name": "sharding_indexed", "configuration": inner}]


def set_field(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(metadata: dict[str, Any]) -> None:
        metadata[name] = value

    return change


def grid(*shape: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": list(shape)}}


@pytest.mark.parametrize(
    "change",
    [
        set_codec("numcodecs.pickle"),
        set_codec("pickle"),
        set_codec("numcodecs.zlib"),
        set_codec("os.system"),
        set_inner_codec,
        set_field("codecs", ["pickle"]),
        set_field("codecs", None),
        set_field("data_type", "variable_length_utf8"),
        set_field("data_type", {"name": "structured"}),
        set_field("data_type", ["float32"]),
        set_field("storage_transformers", [{"name": "x"}]),
        set_field("shape", [10**9, 20]),
        set_field("shape", [-1, 20]),
        set_field("shape", "ab"),
        set_field("chunk_grid", grid(10**9, 10**9)),
        set_field("chunk_grid", grid(0, 5)),
        set_field("chunk_grid", grid(10)),
        set_field("zarr_format", 2),
        set_field("node_type", "group"),
    ],
)
def test_what_is_not_an_array_of_numbers_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    path = write(tmp_path / "a.zarr")
    metadata = json.loads((path / "zarr.json").read_text())
    change(metadata)
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(DataError, match=r"a\.zarr: "):
        open_zarr_array(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', " " * 2_000_000, "\x00"])
def test_damaged_metadata_is_one_line(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.zarr")
    (path / "zarr.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.zarr: ") as raised:
        open_zarr_array(path)
    assert "\n" not in str(raised.value)


def test_older_formats_are_not_opened(tmp_path: Path) -> None:
    """Zarr v2 looks up filters by name, pickle among them."""
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(3,), dtype="float32", zarr_format=2)
    with pytest.raises(DataError, match=r"a\.zarr: "):
        open_zarr_array(path)
