"""Golden values of our own, which anybody's checkout has: see ``make.py`` beside this file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from speech import all_states, assert_same_states, extractor_for, story_of
from voxelzoo.api import ModelEntry, parse_window_policy
from voxelzoo.science.design import delayed
from voxelzoo_aligners.linear import Lanczos

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def make() -> Any:
    """The script that made the files."""
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["sawtooth_512_256", "sawtooth_12_5", "sliding_7"])
def test_contexts_begin_where_they_should(name: str) -> None:
    expected = np.load(HERE / "contexts.npz")[name]
    policy = parse_window_policy(name.replace("_", ":"))
    starts = [policy.start(i) for i in range(1, len(expected) + 1)]
    np.testing.assert_array_equal(starts, expected)


def test_lanczos_weights() -> None:
    golden = np.load(HERE / "alignment.npz")
    weights = Lanczos().weights(golden["times"], golden["scan_times"]).toarray()
    np.testing.assert_allclose(weights, golden["lanczos"], rtol=1e-12, atol=1e-15)


def test_fir_design() -> None:
    golden = np.load(HERE / "alignment.npz")
    np.testing.assert_array_equal(delayed(golden["values"], [1, 2, 3, 4]), golden["fir"])


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_speech_states(family: str, make: Any, tmp_path: Path) -> None:
    """From a checkpoint on disk; float32 against the script's float64."""
    golden = np.load(HERE / "speech.npz")
    config = transformers.AutoConfig.for_model(family, **make.SPEECH)
    network = transformers.AutoModel.from_config(config)
    prefix = f"{family}/weights/"
    weights = {
        name.removeprefix(prefix): torch.from_numpy(golden[name])
        for name in golden.files
        if name.startswith(prefix)
    }
    network.load_state_dict(weights)
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')
    model = ModelEntry(name="golden", plugin=family, modality="audio", repo=str(tmp_path))
    extractor = extractor_for(model, window=str(make.WINDOW), stride=str(make.STRIDE))
    sound = (golden["sound"] / 32768.0).astype(np.float32)
    assert_same_states(all_states(extractor, story_of(sound)), golden[f"{family}/states"])


def test_the_files_are_what_the_script_writes(make: Any) -> None:
    """The parts that depend on no library's random numbers."""
    contexts = np.load(HERE / "contexts.npz")
    np.testing.assert_array_equal(make.sawtooth_starts(60, 12, 5), contexts["sawtooth_12_5"])
    golden = np.load(HERE / "alignment.npz")
    weights = make.lanczos(golden["times"], golden["scan_times"], 3)
    np.testing.assert_allclose(weights, golden["lanczos"], rtol=1e-12, atol=1e-15)
