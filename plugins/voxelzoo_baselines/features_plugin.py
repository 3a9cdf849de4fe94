"""Registers states computed elsewhere, run as ``--plugin features/<name>``."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """One extractor; its models are the names found in the dataset, so it has no rows."""
    yield ExtractorSpec(
        "features",
        "voxelzoo_baselines.features:PrecomputedFeatures",
        "any",
        "States computed elsewhere: stories/<story>/features/<name>.npz.",
        reads_features=True,
    )
