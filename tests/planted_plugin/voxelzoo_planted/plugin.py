"""Registers the dataset and the models; imports the standard library and voxelzoo.api only."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import DatasetSpec, ExtractorSpec, ModelEntry, hookimpl

SIZES = {"1m": 10**6, "10m": 10**7, "100m": 10**8, "1b": 10**9}


def _row(name: str, n_parameters: int | None = None) -> ModelEntry:
    of_family = n_parameters is not None
    return ModelEntry(
        name=f"planted-{name}",
        plugin="planted",
        extractor="family" if of_family else "exact",
        modality="text",
        family="planted" if of_family else "exact",
        n_parameters=n_parameters,
        n_layers=2 if of_family else 0,
        embed_dim=2 if name == "speech" else 4,
        licence="Apache-2.0",
    )


@hookimpl
def zoo_register_datasets() -> Iterator[DatasetSpec]:
    """One dataset."""
    yield DatasetSpec(
        "planted",
        "voxelzoo_planted.dataset:Planted",
        "Voxels whose drivers, ceilings and best layers are known.",
        needs_path=False,
    )


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """A family of four sizes, and two spaces without noise."""
    for name in ("family", "exact"):
        yield ExtractorSpec(
            name=name,
            target=f"voxelzoo_planted.extractor:{name.title()}",
            modality="text",
            summary="Shows what drives the voxels of the dataset 'planted'.",
            tiny=_row("1m", 10**6) if name == "family" else _row("text"),
        )


@hookimpl
def zoo_register_models() -> Iterator[ModelEntry]:
    """Rows of all."""
    for name, size in SIZES.items():
        yield _row(name, size)
    yield _row("text")
    yield _row("speech")
