"""Which layer is reported: the choice sees no test data, and the optimistic one says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxelzoo.science.layers import choose_layers_by
from zoo_cli import Zoo

TRAINING = np.array([[0.2, 0.5, np.nan], [0.3, 0.2, np.nan], [0.2, 0.4, np.nan]])
TEST = np.array([[0.9, 0.1, np.nan], [0.2, 0.3, np.nan], [0.3, 0.8, np.nan]])


def test_layers_are_chosen_without_the_test_data() -> None:
    voxel = choose_layers_by(TRAINING, TEST, "voxel")
    np.testing.assert_array_equal(voxel.layer[:2], [1, 0])
    np.testing.assert_allclose(voxel.r, [0.2, 0.1, np.nan])
    model = choose_layers_by(TRAINING, TEST, "model")
    assert (model.layer == 0).all()
    np.testing.assert_allclose(model.r, [0.9, 0.1, np.nan])


def test_the_optimistic_choice_takes_what_is_best_on_the_test_data() -> None:
    np.testing.assert_allclose(choose_layers_by(TEST, TEST, "voxel").r, [0.9, 0.8, np.nan])
    np.testing.assert_allclose(choose_layers_by(TEST, TEST, "model").r, [0.3, 0.8, np.nan])


def test_on_noise_the_nested_score_is_unbiased_and_the_optimistic_one_is_not() -> None:
    training, test = np.random.default_rng(1).standard_normal((2, 24, 4000))
    assert abs(choose_layers_by(training, test, "voxel").r.mean()) < 0.1
    assert choose_layers_by(test, test, "voxel").r.mean() > 1


OPT = """
schema_version: 1
models:
  opt-mini:
    plugin: opt
    modality: text
    n_parameters: 12345
    n_layers: 2
    embed_dim: 32
    architecture:
      model_type: opt
      num_hidden_layers: 2
      hidden_size: 32
      word_embed_proj_dim: 32
      ffn_dim: 64
      num_attention_heads: 4
      vocab_size: 320
"""


def test_a_run_says_both(zoo: Zoo, tmp_path: Path) -> None:
    overlay = tmp_path / "models.yaml"
    overlay.write_text(OPT)
    ended = zoo(
        "run", "-p", "opt-mini", "--registry", overlay, "--untrained", "--layer", "all",
        "--subject", "sub-01", "--json", "--quiet",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    made, results = ended.json["layer_choices"], ended.json["results"]
    assert len(results) == 3
    by = {(choice["chosen_on"], choice["per"]): choice for choice in made}
    assert set(by) == {(s, p) for s in ("training", "test") for p in ("model", "voxel")}
    best = max(results, key=lambda result: result["mean_r"])
    inner = max(results, key=lambda result: result["mean_cv_r"])
    assert by["test", "model"]["layer"] == best["layer"]
    assert by["test", "model"]["mean_r"] == pytest.approx(best["mean_r"], abs=1e-6)
    assert by["training", "model"]["layer"] == inner["layer"]
    assert by["training", "model"]["mean_r"] == pytest.approx(inner["mean_r"], abs=1e-6)
    assert by["test", "voxel"]["mean_r"] >= by["training", "voxel"]["mean_r"]
    assert [choice["optimistic"] for choice in made] == [False, False, True, True]
