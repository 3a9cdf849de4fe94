"""Registers precomputed states, which run as ``--plugin features/<name>``."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """One extractor. Its models are the files in the dataset, so there are no rows."""
    yield ExtractorSpec(
        "features",
        "voxelzoo_baselines.features:PrecomputedFeatures",
        "any",
        "Precomputed states, from stories/<story>/features/<name>.npz.",
        reads_features=True,
    )
