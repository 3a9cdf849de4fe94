"""What a reader of results should know that their scores do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voxelzoo.store.records import ResultRecord


def remarks(records: Sequence[ResultRecord]) -> list[str]:
    """Sentences about some results.

    Parameters
    ----------
    records : sequence of ResultRecord
        The results.

    Returns
    -------
    list of str
        One line each; empty if there is nothing to say.
    """
    return list(_alphas_at_edges(records))


def _alphas_at_edges(records: Sequence[ResultRecord]) -> Iterator[str]:
    """How many voxels chose an alpha at an edge of the grid."""
    tried = [record for record in records if record.n_smallest_alpha is not None]
    n_fits = sum(record.n_voxels * (record.n_folds or 1) for record in tried)
    smallest = sum(record.n_smallest_alpha or 0 for record in tried)
    largest = sum(record.n_largest_alpha or 0 for record in tried)
    if not smallest + largest:
        return
    if any("alphas" in record.regressor_options for record in tried):
        yield (
            f"alphas: {smallest / n_fits:.1%} of voxels chose the smallest that was tried, "
            f"{largest / n_fits:.1%} the largest; a wider grid could predict them better"
        )
    else:
        yield (
            f"alphas: {smallest / n_fits:.1%} of voxels chose the smallest (almost no shrinkage), "
            f"{largest / n_fits:.1%} the largest (almost full shrinkage: they are hardly predicted)"
        )
