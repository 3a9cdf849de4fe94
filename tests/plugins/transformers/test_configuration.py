"""What a model's row states is read without torch, and is what transformers would say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from text_models import request_for, tiny_row
from voxelzoo.api import ModelEntry, PluginError
from voxelzoo_transformers.configuration import load_config
from voxelzoo_transformers.cost import built_size
from voxelzoo_transformers.quiet import quiet_transformers

ROOT = Path(__file__).resolve().parents[3]
TEXT = ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")
SPEECH = ("num_hidden_layers", "hidden_size", "intermediate_size", "conv_dim", "conv_kernel")
WHISPER = ("encoder_layers", "hidden_size", "num_mel_bins", "max_source_positions")


@cache
def networks() -> dict[str, ModelEntry]:
    """Rows of the registry that have an architecture."""
    rows = yaml.safe_load((ROOT / "registry.yaml").read_text())["models"]
    fields = (
        "plugin", "extractor", "modality", "n_parameters", "n_layers", "embed_dim", "architecture"
    )  # fmt: skip
    return {
        name: ModelEntry(name=name, **{field: row[field] for field in fields if field in row})
        for name, row in rows.items()
        if "architecture" in row
    }


@pytest.mark.parametrize("name", networks())
def test_values_stated_in_a_row_are_those_of_transformers(name: str) -> None:
    row = networks()[name]
    config = load_config(request_for(row))
    names = WHISPER if row.plugin == "whisper" else SPEECH if row.modality == "audio" else TEXT
    for attribute in names:
        stated = config.stated(attribute)
        expected = getattr(config.full, attribute, None)
        assert stated is None or stated == expected or list(stated) == list(expected), attribute


QUICK = """
import json, sys
import numpy as np
from importlib import import_module
from voxelzoo.api import Audio, ExtractorRequest, ModelEntry, Story, Words
onsets = np.arange(40.0)
story = Story("story", Words(("word",) * 40, onsets, onsets + 0.5),
              Audio(samples=np.ones(160000, np.float32), rate=16000))
for fields in json.loads(sys.stdin.read()):
    target = fields.pop("target").split(":")
    request = ExtractorRequest(ModelEntry(**fields), untrained=True, dtype="bfloat16")
    extractor = getattr(import_module(target[0]), target[1])(request)
    layers = list(extractor.layers())
    assert len(layers) == fields["n_layers"] + 1, fields["name"]
    extractor.fingerprint()
    assert len(extractor.times(story)) == (40 if fields["modality"] == "text" else 100)
    cost = extractor.cost(story, layers)
    assert cost.flops > 0 and cost.seconds > 0
    assert cost.peak_bytes >= 2 * fields["n_parameters"], fields["name"]
    heavy = {"torch", "transformers", "scipy"} & set(sys.modules)
    assert not heavy, (fields["name"], heavy)
"""


def test_planning_a_row_of_the_registry_imports_neither_torch_nor_transformers() -> None:
    targets = {
        "opt": "voxelzoo_opt.extractor:OPTExtractor",
        "llama": "voxelzoo_llama.extractor:LlamaExtractor",
        "transformers": "voxelzoo_transformers.text.extractor:CausalLMExtractor",
        "whisper": "voxelzoo_whisper.extractor:WhisperExtractor",
        "hubert": "voxelzoo_hubert.extractor:HubertExtractor",
        "wavlm": "voxelzoo_wavlm.extractor:WavLMExtractor",
    }
    rows = [
        {
            "target": targets[row.extractor or row.plugin],
            "name": name,
            "plugin": row.plugin,
            "modality": row.modality,
            "n_parameters": row.n_parameters,
            "n_layers": row.n_layers,
            "architecture": dict(row.architecture),
        }
        for name, row in networks().items()
        if (row.extractor or row.plugin) in targets
        and not {"num_local_experts", "num_experts"} & set(row.architecture)
        and row.architecture["model_type"] != "bloom"  # its number of positions is not stated
    ]
    assert len(rows) > 40
    ended = subprocess.run(
        [sys.executable, "-c", QUICK], input=json.dumps(rows), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["opt-125m", "opt-350m", "gpt2", "whisper-tiny", "hubert-base"])
def test_estimated_sizes_are_near_those_of_the_network(name: str) -> None:
    import importlib

    row = networks()[name]
    module = {"transformers": "voxelzoo_transformers.text.extractor"}.get(
        row.plugin, f"voxelzoo_{row.plugin}.extractor"
    )
    classes = vars(importlib.import_module(module)).values()
    own = [c for c in classes if isinstance(c, type) and c.__module__ == module]
    extractor: Any = next(c for c in own if c.__name__.endswith("Extractor"))(request_for(row))
    built, estimated = built_size(extractor.config), extractor._size
    assert estimated.per_position == pytest.approx(built.per_position, rel=0.05)
    assert estimated.total == pytest.approx(built.total, rel=0.05)


def test_a_value_that_the_row_does_not_state_is_transformers_default() -> None:
    config = load_config(request_for(tiny_row("opt")))
    assert config.stated("activation_function") is None
    assert config.activation_function == "relu"
    assert config.stated("activation_function", "gelu") == "gelu"


def test_a_misspelt_model_type_is_refused_at_once() -> None:
    row = replace(tiny_row("opt"), architecture={"model_type": "optt", "vocab_size": 9})
    with pytest.raises(PluginError, match="cannot be used"):
        load_config(request_for(row))


UNTOUCHED = """
import os
before = dict(os.environ)
import transformers
from transformers.utils import logging
logging.set_verbosity_info()
import voxelzoo_transformers.loading, voxelzoo_transformers.speech.waveform
import voxelzoo_transformers.text.batches
assert logging.get_verbosity() == logging.INFO
assert logging.is_progress_bar_enabled()
assert dict(os.environ) == before
"""


def test_importing_changes_neither_the_environment_nor_transformers() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DISABLE_")}
    ended = subprocess.run(
        [sys.executable, "-c", UNTOUCHED], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_loading_is_quiet_and_leaves_transformers_settings_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.utils import logging

    monkeypatch.delenv("DISABLE_SAFETENSORS_CONVERSION", raising=False)
    before = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        with quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
            assert os.environ["DISABLE_SAFETENSORS_CONVERSION"] == "1"
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
        assert "DISABLE_SAFETENSORS_CONVERSION" not in os.environ
    finally:
        logging.set_verbosity(before)
