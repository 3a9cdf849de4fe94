"""Registers the extractor and its row; imports the standard library and voxelzoo.api only."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

CITATION = """@misc{novelty2025,
  author = {Doe, Jo},
  title = {An example of a voxelzoo plugin},
  year = {2025},
}"""

ROW = ModelEntry(
    name="word-novelty",
    plugin="novelty",
    modality="text",
    n_layers=0,
    embed_dim=2,
    licence="Apache-2.0",
    summary="A word's presence, and whether the story has not had it before.",
)


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """One extractor. Its row needs no weights, so it is also its own tiny model."""
    yield ExtractorSpec(
        name="novelty",
        target="voxelzoo_novelty.extractor:Novelty",
        modality="text",
        summary="How new each word of a story is.",
        tiny=ROW,
        licence="Apache-2.0",
        bibtex=(CITATION,),
    )


@hookimpl
def zoo_register_models() -> Iterator[ModelEntry]:
    """The row that `zoo list` shows."""
    yield ROW
