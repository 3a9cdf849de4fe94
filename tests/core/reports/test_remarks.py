from __future__ import annotations

from dataclasses import replace

import pytest

from result_records import make_record as record
from voxelzoo.reports.remarks import remarks


def test_voxels_at_the_edges_of_the_alphas_are_counted() -> None:
    one = replace(record(), n_voxels=100, n_smallest_alpha=1, n_largest_alpha=30)
    two = replace(record(), n_voxels=300, n_smallest_alpha=0, n_largest_alpha=10)
    (line,) = remarks([one, two])
    assert "0.2% of voxels chose the smallest" in line
    assert "10.0% the largest (almost full shrinkage" in line
    assert "wider" not in line
    (line,) = remarks([replace(one, regressor_options={"alphas": [1, 10]})])
    assert "a wider grid" in line


@pytest.mark.parametrize("n", [None, 0])
def test_nothing_is_said_if_no_voxel_is_at_an_edge(n: int | None) -> None:
    assert remarks([replace(record(), n_smallest_alpha=n, n_largest_alpha=n)]) == []
