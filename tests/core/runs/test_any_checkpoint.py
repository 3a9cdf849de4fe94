"""A checkpoint without a row has a name and a family that say which it is."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from voxelzoo.api import ModelEntry
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.runs import any_checkpoint
from voxelzoo.runs.any_checkpoint import family_of
from voxelzoo.runs.models import choose_models, find_model
from voxelzoo.runs.options import RunOptions


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return open_zoo(None, None, False)


def found(zoo: Zoo, name: str) -> ModelEntry:
    return find_model(zoo.host, zoo.catalogue, name)


@pytest.mark.parametrize(
    ("name", "called", "family"),
    [
        ("hf:acme/tale-1.3b", "acme/tale-1.3b", "tale"),
        ("hf:acme/tale-1.3b@step1000", "acme/tale-1.3b@step1000", "tale"),
        (f"hf:acme/tale-1.3b@{'ab' * 20}", "acme/tale-1.3b@abababababab", "tale"),
        ("surprisal:acme/tale-1.3b", "acme/tale-1.3b-surprisal", "surprisal"),
        ("hf:EleutherAI/pythia-70m@step1000", "EleutherAI/pythia-70m@step1000", "pythia"),
        ("hf:facebook/opt-125m", "facebook/opt-125m", "opt"),
    ],
)
def test_a_repository_is_named_with_its_revision(
    zoo: Zoo, name: str, called: str, family: str
) -> None:
    entry = found(zoo, name)
    assert (entry.name, entry.family, entry.plugin) == (called, family, "transformers")


@pytest.mark.parametrize(
    ("folder", "called", "family"),
    [
        ("tale-70m", "tale-70m", "tale"),
        ("tale-70m/step1000", "tale-70m/step1000", "tale"),
        ("tale-70m/checkpoint-500", "tale-70m/checkpoint-500", "tale"),
        ("tale-70m/epoch_3", "tale-70m/epoch_3", "tale"),
        ("tale-70m/final", "tale-70m/final", "tale"),
        (f"tale-70m/{'0a' * 20}", f"tale-70m/{'0a' * 20}", "tale"),
    ],
)
def test_a_folder_that_tells_only_the_stage_is_named_with_the_one_above(
    zoo: Zoo, folder: str, called: str, family: str, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    entry = found(zoo, f"hf:{tmp_path / folder}")
    assert (entry.name, entry.family) == (called, family)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{0}/a/step1", "{0}/a/step2"),
        ("{0}/a/step1", "{0}/b/step1"),
        ("{0}/a/tale", "{0}/b/tale"),
        ("acme/tale@step1", "acme/tale@step2"),
    ],
)
def test_two_checkpoints_are_two_models(zoo: Zoo, one: str, other: str, tmp_path: Path) -> None:
    names = [f"hf:{each.format(tmp_path)}" for each in (one, other)]
    for name in names:
        if name.startswith(f"hf:{tmp_path}"):
            Path(name.removeprefix("hf:")).mkdir(parents=True)
    chosen = choose_models(zoo, [*names, names[0]], RunOptions())
    assert len(chosen) == 2
    assert len({choice.entry.id for choice in chosen}) == 2
    assert len(choose_models(zoo, ["surprisal:acme/tale", "hf:acme/tale"], RunOptions())) == 2


def test_what_the_catalogue_knows_of_a_repository_is_used(zoo: Zoo) -> None:
    entry, row = found(zoo, "hf:openai-community/gpt2"), zoo.catalogue.find("gpt2")
    for field in ("licence", "citation", "architecture", "n_parameters", "n_layers", "embed_dim"):
        assert getattr(entry, field) == getattr(row, field)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("SmolLM2-135M-Instruct.Q4_1", "SmolLM2-Instruct"),
        ("SmolLM2-1.7B", "SmolLM2"),
        ("Qwen2.5-0.5B", "Qwen2.5"),
        ("Llama-3.2-1B", "Llama-3.2"),
        ("pythia-1.4b-deduped", "pythia-deduped"),
        ("gemma-2-2b-it", "gemma-2-it"),
        ("gpt2", "gpt2"),
        ("gpt2-medium", "gpt2"),
        ("bloom-560m", "bloom"),
        ("phi-2", "phi-2"),
        ("stories260K", "stories"),
        ("llama-2-7b.Q8_0", "llama-2"),
        ("tale-f16", "tale"),
        ("7b", "7b"),
    ],
)
def test_a_family_is_the_name_without_the_size(name: str, family: str) -> None:
    assert family_of(name) == family


def test_examples_are_true() -> None:
    results = doctest.testmod(any_checkpoint)
    assert results.attempted
    assert not results.failed
