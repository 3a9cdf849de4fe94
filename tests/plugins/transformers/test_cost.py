"""What extraction takes is what was planned."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from speech import noise, story_of as sound_of, tiny
from text_models import babble, extractor_for, story_of, tiny_row
from voxelzoo.api import ExtractorRequest, ModelEntry
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.runs.models import open_model
from voxelzoo_transformers.configuration import NetworkConfig, config_from_architecture
from voxelzoo_transformers.cost import built_size, seconds, stated_size
from voxelzoo_transformers.text.states import LayerReader
from zoo_cli import Zoo as ZooCommand


def counted(extractor: Any, story: Any, layers: list[int]) -> float:
    """Operations that torch counts while the story is read."""
    list(extractor.extract(story, layers))  # what loading takes is no part of it
    # Attention is counted where it is made of products that torch knows.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        list(extractor.extract(story, layers))
    return float(counter.get_total_flops())


@pytest.mark.parametrize("plugin", ["opt", "llama", "transformers"])
@pytest.mark.parametrize("layers", [[2], [0, 1]])
def test_text_operations_are_those_that_torch_counts(plugin: str, layers: list[int]) -> None:
    wide = {"opt": "hidden_size", "llama": "hidden_size", "transformers": "n_embd"}[plugin]
    figures = {wide: 128} | ({"word_embed_proj_dim": 128} if plugin == "opt" else {})
    extractor = extractor_for(tiny_row(plugin, **figures), context="sawtooth:16:8")
    story = story_of(babble(60))
    cost = extractor.cost(story, layers)
    assert cost.flops == pytest.approx(counted(extractor, story, layers), rel=0.25)


def test_planned_tokens_are_those_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    plain = LayerReader.__call__

    def spy(self: Any, ids: torch.Tensor, *rest: Any) -> Any:
        fed.append(ids.numel())
        return plain(self, ids, *rest)

    extractor = extractor_for(tiny_row("opt"), context="sawtooth:16:8", batch_tokens="1")
    extractor.load()
    story = story_of(babble(60))
    monkeypatch.setattr(LayerReader, "__call__", spy)
    list(extractor.extract(story, [2]))
    cost = extractor.cost(story, [2])
    assert (cost.n_passes, cost.n_fed) == (len(fed), sum(fed))


@pytest.mark.parametrize("family", ["whisper", "hubert", "wavlm"])
def test_speech_operations_are_those_that_torch_counts(family: str) -> None:
    extractor: Any = tiny(family, window="4", stride="1")
    story = sound_of(noise(6.0))
    layers = list(extractor.layers())
    # Short of what is shared among windows, and of what Fourier transforms save.
    measured = counted(extractor, story, layers)
    assert 0.5 * measured < extractor.cost(story, layers).flops < 2 * measured


def shipped(zoo: Zoo) -> list[ModelEntry]:
    """One network of every type and width of a block that the catalogue has."""
    names = {
        (str(e.architecture["model_type"]), e.extractor): e
        for e in zoo.catalogue.entries
        if e.architecture
    }
    return list(names.values())


def test_rows_state_all_that_a_plan_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`zoo plan` imports neither torch nor transformers for any model of the catalogue."""
    zoo = open_zoo(None, None, True)
    entries = shipped(zoo)
    assert {"bloom", "mixtral", "wav2vec2-bert", "data2vec-audio", "whisper"} <= {
        entry.architecture["model_type"] for entry in entries
    }

    def refuse(self: NetworkConfig) -> None:
        raise AssertionError("the transformers configuration is built")

    monkeypatch.setattr(NetworkConfig, "full", property(refuse))
    text, sound = story_of(babble(30)), sound_of(noise(3.0))
    for entry in entries:
        model = open_model(zoo.host, entry, ExtractorRequest(entry, untrained=True))
        layers = list(model.extractor.layers())
        story = sound if entry.modality == "audio" else text
        assert model.extractor.cost(story, layers).peak_bytes > 0, entry.name
        assert model.extractor.fingerprint()
        assert len(layers) == (entry.n_layers or 0) + 1


MIXTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 300,
    "num_experts_per_tok": 2,
}
"""A small mixture of experts."""


@pytest.mark.parametrize(
    "architecture",
    [
        {"model_type": "mixtral", "num_local_experts": 8, **MIXTURE},
        {"model_type": "qwen3_moe", "num_experts": 8, "moe_intermediate_size": 24, **MIXTURE},
        {"model_type": "olmoe", "num_experts": 8, **MIXTURE},
        {"model_type": "llama", **MIXTURE},
    ],
)
def test_the_size_of_a_language_model_is_that_of_the_network(architecture: dict[str, Any]) -> None:
    config = NetworkConfig(architecture, lambda: config_from_architecture("x", architecture))
    for head in ("none", "language-model"):
        built = built_size(config, head)
        stated = stated_size(config, built_size(config).total, head)
        assert stated is not None
        assert stated.total == built.total
        assert stated.per_position == pytest.approx(built.per_position, rel=0.01)


def test_a_mixture_with_some_plain_blocks_is_counted() -> None:
    architecture = {"model_type": "qwen3_moe", "num_experts": 8, "moe_intermediate_size": 24}
    config = NetworkConfig({**architecture, **MIXTURE, "mlp_only_layers": [0]}, lambda: None)
    assert stated_size(config, 10**6) is None


@pytest.mark.parametrize("name", ["w2v-bert-2.0", "data2vec-audio-base", "hubert-large"])
def test_the_size_of_a_speech_encoder_is_that_of_the_network(name: str) -> None:
    zoo = open_zoo(None, None, True)
    request = ExtractorRequest(zoo.catalogue.find(name), untrained=True)
    extractor: Any = open_model(zoo.host, request.model, request).extractor
    built = built_size(extractor.config)
    assert extractor.network_size().total == built.total
    assert extractor.network_size().per_position == pytest.approx(built.per_position, rel=0.05)


STORIES_260K = {
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 172,
    "vocab_size": 512,
}
"""A network so small that its products take the least of its time."""


@pytest.mark.slow
@pytest.mark.parametrize("n_words", [60, 800])
def test_a_small_network_takes_the_time_that_is_planned(n_words: int) -> None:
    row = replace(tiny_row("llama", **STORIES_260K), n_parameters=260_000, embed_dim=64)
    extractor = extractor_for(row)
    story, layers = story_of(babble(n_words)), list(extractor.layers())
    list(extractor.extract(story_of(babble(5)), layers))
    times = []
    for _ in range(3):
        begun = time.process_time()
        list(extractor.extract(story, layers))
        times.append(time.process_time() - begun)
    assert 1 / 3 < min(times) / extractor.cost(story, layers).seconds < 3


def test_a_plan_counts_what_products_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxelzoo_transformers.cost.product_rate", lambda *_: float("inf"))
    extractor = extractor_for(replace(tiny_row("llama"), embed_dim=64), context="sawtooth:16:8")
    few, many = (extractor.cost(story_of(babble(n)), [1]).seconds for n in (30, 3000))
    assert 0 < few < 0.1 * many
    row = replace(tiny_row("llama"), n_parameters=10**9)
    assert extractor_for(row).cost(story_of(babble(30)), [1]).load_seconds >= 8


def test_loading_is_planned_once_for_all_stories(zoo: ZooCommand, tmp_path: Path) -> None:
    options = ("-p", "opt-1.3b", "--untrained", "--store", tmp_path, "--json")
    (plan,) = zoo("plan", *options).json["plans"]
    assert plan["stories_to_read"] == 4
    per_parameter = 8e-9
    assert plan["extraction_seconds"] > 1.3e9 * per_parameter
    network = seconds(ExtractorRequest(tiny_row("opt")), plan["extraction_flops"], 1024)
    assert plan["extraction_seconds"] < 3 * network + 2 * 1.3e9 * per_parameter
