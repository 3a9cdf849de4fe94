"""What a reader of results should know that their scores do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voxelzoo.science.undefined import REASONS
from voxelzoo.store.records import ResultRecord
from voxelzoo.text import counted, listed


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
    return [*_undefined(records), *_alphas_at_edges(records)]


def _undefined(records: Sequence[ResultRecord]) -> Iterator[str]:
    """How many voxels have no defined r, and why; layers with the same number share a line."""
    layers: dict[tuple[str, str, int, str, int], list[int]] = {}
    for record in records:
        for reason, n in record.undefined.items():
            of = (record.model, record.subject, record.n_voxels, reason, n)
            layers.setdefault(of, []).extend([] if record.layer is None else [record.layer])
    for (model, subject, n_voxels, reason, n), numbers in layers.items():
        where = f" layer{'s' if len(numbers) > 1 else ''} {listed(numbers)}" if numbers else ""
        yield (
            f"{model}{where}, {subject}: r is undefined in {n} of "
            f"{counted(n_voxels, 'voxel')}: {REASONS[reason]}"
        )


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
