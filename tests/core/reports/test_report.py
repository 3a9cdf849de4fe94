from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxelzoo.api import UsageError
from voxelzoo.reports.report import save_npz


def test_maps_are_written_whole_and_replace_older_ones(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    save_npz(path, {"S1/r": np.zeros(3)})
    save_npz(path, {"S1/r": np.arange(3.0), "S2/r": np.ones(2)})
    maps = np.load(path)
    assert set(maps.files) == {"S1/r", "S2/r"}
    np.testing.assert_array_equal(maps["S1/r"], [0, 1, 2])
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    save_npz(path, {"r": np.ones(2)})

    class Broken:
        def __array__(self) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        save_npz(path, {"r": Broken()})  # type: ignore[dict-item]
    np.testing.assert_array_equal(np.load(path)["r"], [1, 1])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "message"), [("a.csv", ".npz"), ("no/a.npz", "no folder")])
def test_only_npz_files_in_folders_that_exist(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        save_npz(tmp_path / name, {})
