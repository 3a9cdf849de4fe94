"""The contract: every hook, each with an example.

Hooks are few and only register. Each returns specs; the real interfaces are the protocols of
:mod:`voxelzoo.api`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from voxelzoo.contract.specs import (
    AlignerSpec,
    DatasetSpec,
    ExtractorSpec,
    ModelEntry,
    RegressorSpec,
)

hookspec = pluggy.HookspecMarker("voxelzoo")


@hookspec
def zoo_register_extractors() -> Iterable[ExtractorSpec]:  # type: ignore[empty-body]
    """Extractors this plugin brings.

    Example::

        @hookimpl
        def zoo_register_extractors():
            yield ExtractorSpec(
                name="acme", target="acme_zoo.extractor:AcmeExtractor", modality="audio",
                summary="ACME's speech encoders.",
            )
    """


@hookspec
def zoo_register_aligners() -> Iterable[AlignerSpec]:  # type: ignore[empty-body]
    """Aligners this plugin brings.

    Example::

        @hookimpl
        def zoo_register_aligners():
            yield AlignerSpec("nearest", "acme_zoo.aligners:Nearest", "The nearest state in time.")
    """


@hookspec
def zoo_register_regressors() -> Iterable[RegressorSpec]:  # type: ignore[empty-body]
    """Regressors this plugin brings.

    Example::

        @hookimpl
        def zoo_register_regressors():
            yield RegressorSpec("lasso", "acme_zoo.lasso:Lasso", "Sparse linear regression.")
    """


@hookspec
def zoo_register_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Datasets this plugin reads.

    Example::

        @hookimpl
        def zoo_register_datasets():
            yield DatasetSpec(
                "acme-stories", "acme_zoo.data:AcmeStories", "Ten listeners, twelve stories.",
                recognise=lambda folder: (folder / "acme.json").is_file(),
            )
    """


@hookspec
def zoo_register_models() -> Iterable[ModelEntry]:  # type: ignore[empty-body]
    """Catalogue rows for models this plugin runs, so that they need no ``registry.yaml``.

    Example::

        @hookimpl
        def zoo_register_models():
            yield ModelEntry(name="acme-small", plugin="acme", modality="audio", n_layers=6)
    """
