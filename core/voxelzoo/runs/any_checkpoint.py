"""A row for a checkpoint that is not in the catalogue: ``hf:ORG/NAME``, ``hf:./folder``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from voxelzoo.api import ExtractorSpec, ModelEntry
from voxelzoo.contract.weights import is_local
from voxelzoo.host.catalogue import Catalogue
from voxelzoo.host.records import Registered

_COMMIT = re.compile(r"[0-9a-f]{40}")

_STAGE = re.compile(
    r"(global[-_]?)?(step|checkpoint|ckpt|iter|iteration|epoch|revision|rev|v)[-_]?\d+.*"
    r"|\d+|[0-9a-f]{7,64}"
    r"|best|checkpoint|final|hf|last|latest|main|model|output|pytorch|snapshot|weights",
    re.IGNORECASE,
)
"""Names of folders that say which stage of a training this is, not which model."""

_QUANTISED = re.compile(r"[-_.](i?q\d\w*|b?f(p)?(16|32)|gguf)(?=$|[-_.])", re.IGNORECASE)
_SIZE = re.compile(
    r"[-_.]?(?<![\d.])\d+(\.\d+)?[kmbt](?![a-z0-9])"
    r"|[-_.](tiny|mini|small|medium|base|large|x+l)(?=$|[-_.])",
    re.IGNORECASE,
)
"""What a name says of a model's size: ``-135M``, ``-1.4b``, ``-large``."""


def any_checkpoint(
    registered: Registered[ExtractorSpec], repo: str, catalogue: Catalogue
) -> ModelEntry:
    """A row for any checkpoint that an extractor's scheme takes.

    Its name says which checkpoint it is: ``ORG/NAME``, ``ORG/NAME@REVISION``, a folder's or a
    file's name, with the folder above it where its own only tells a stage of training
    (``pythia-70m/step1000``). Its family is that of the catalogue, otherwise the name without what
    tells the size and the stage. An extractor beside the plugin's main one is a family of its own,
    as the surprisal of any model is.

    Parameters
    ----------
    registered : Registered
        The extractor.
    repo : str
        Hub id, with ``@REVISION`` if it is pinned, or a folder or file.
    catalogue : Catalogue
        What is known of a repository: family, licence, citation.

    Returns
    -------
    ModelEntry
    """
    spec, main = registered.spec, registered.spec.name == registered.plugin
    if is_local(repo):
        row = _from_path(Path(repo).expanduser().resolve())
    else:
        row = _from_hub(repo, catalogue)
    return replace(
        row,
        name=row.name if main else f"{row.name}-{spec.name}",
        family=row.family if main else spec.name,
        plugin=registered.plugin,
        extractor=spec.name,
        modality=spec.modality,
    )


def told_apart(entries: Iterable[ModelEntry]) -> list[ModelEntry]:
    """The models, each once; folders of one name have the name of the folder above before it."""
    unique = list({(entry.id, entry.repo): entry for entry in entries}.values())
    names = Counter(entry.id for entry in unique)
    return [
        replace(entry, name=f"{Path(entry.repo).parent.name}/{entry.name}")
        if names[entry.id] > 1 and entry.repo is not None and is_local(entry.repo)
        else entry
        for entry in unique
    ]


def _from_path(path: Path) -> ModelEntry:
    """A row for a folder, or for a file."""
    name = path.stem if path.is_file() else path.name
    series = name
    if _STAGE.fullmatch(name) and path.parent.name:
        series, name = path.parent.name, f"{path.parent.name}/{name}"
    return ModelEntry(
        name=name, plugin="", modality="any", family=family_of(series), repo=str(path)
    )


def _from_hub(text: str, catalogue: Catalogue) -> ModelEntry:
    """A row for a repository of the hub, with what the catalogue knows of it."""
    repo, _, revision = text.partition("@")
    name = repo
    if revision:
        name += f"@{revision[:12] if _COMMIT.fullmatch(revision) else revision}"
    row = ModelEntry(name=name, plugin="", modality="any", repo=repo, revision=revision or None)
    for entry in catalogue.entries:
        if (entry.repo or "").lower() == repo.lower() and entry.extractor is None:
            return replace(
                entry,
                name=name,
                family=entry.family or entry.plugin,
                revision=revision or entry.revision,
                aliases=(),
                trust_remote_code=False,
            )
    return replace(row, family=family_of(repo.removesuffix(".gguf").rpartition("/")[2]))


def family_of(name: str) -> str:
    """The family of a model, from its name: without its size and without how it is quantised.

    Parameters
    ----------
    name : str
        Name of a repository, a folder or a file.

    Examples
    --------
    >>> [family_of(name) for name in ("pythia-70m-deduped", "Qwen2.5-0.5B", "gpt2-xl")]
    ['pythia-deduped', 'Qwen2.5', 'gpt2']
    >>> family_of("SmolLM2-135M-Instruct.Q4_1")
    'SmolLM2-Instruct'
    """
    family = _SIZE.sub("", _QUANTISED.sub("", name)).strip("-_.")
    return family or name
