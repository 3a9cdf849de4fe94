"""``zoo reproduce`` on a recipe of one's own: match, mismatch, not run and why; resumed."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.recipes.figures import fit_decades
from voxelzoo.recipes.schema import find_recipe
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store
from voxelzoo_datasets.simulated import SimulatedDataset
from zoo_cli import Zoo

RECIPE = """\
schema_version: 1
name: mine
title: Mine
data:
  dataset: simulated
  options: {subjects: "2", stories: "3", voxels: "16", repeats: "4", seconds: "60"}
models:
  word-rate: {}
  word-length: {}
  opt-125m: {layers: "9"}
figures:
  everywhere: {kind: map, summary: r, models: [word-rate]}
  one-region: {kind: map, summary: r, models: [word-rate], region: word-rate, subjects: [sub-02]}
  no-region: {kind: map, summary: r, models: [word-rate], region: AC}
  stories:
    kind: data-scaling
    summary: more data
    models: [word-rate, word-length]
    n_stories: [1, 2, 9]
    n_subsets: 2
  depth: {kind: layers, summary: layers, models: [word-rate, opt-125m]}
  bound: {kind: ceiling, summary: ceilings, models: [word-rate], least_ceiling: 0.3}
  big: {kind: map, summary: r, models: [opt-125m], layers: {opt-125m: 9}}
  start: {kind: long-context, summary: first seconds, models: [word-rate], seconds: 30}
  against:
    kind: baseline
    summary: beats word rate
    models: [word-length]
    baseline: word-rate
    n_permutations: 99
  two: {kind: data-scaling, summary: two, models: [word-rate], n_stories: [1, 2], n_subsets: 2}
  doubling:
    kind: voxel-scaling
    summary: gain by doubling the stories
    models: [word-rate]
    n_stories: [1, 2, 9]
    n_subsets: 2
  stack:
    kind: stacking
    summary: both
    models: [word-length, word-rate]
    layers: {word-length: 0, word-rate: 0}
    single: word-rate
  between: {kind: inter-subject, summary: subjects, models: [word-rate], story: story01}
expect:
  right:
    figure: everywhere
    statistic: n_voxels
    value: 32
    tolerance: 0
    why: exact
    source: here
  wrong:
    figure: everywhere
    statistic: mean_r
    value: 0.9
    tolerance: 0.05
    why: guess
    source: here
  either:
    figure: everywhere
    readings: {high: n_voxels, low: mean_r}
    value: 32
    tolerance: 1
    why: guess
    source: here
  high: {figure: one-region, statistic: mean_r, above: 0.5, source: here}
  nowhere: {figure: no-region, statistic: mean_r, above: 0, source: here}
  partly: {figure: depth, statistic: baselines.best_mean_signed_r2, above: -1, source: here}
  one-layer:
    figure: depth
    statistic: word-rate.best_layer
    value: 0
    tolerance: 0
    why: exact
    source: here
  other-model:
    figure: depth
    statistic: baselines.best_mean_signed_r2
    models: [word-rate]
    above: -1
    source: here
  two-sizes: {figure: two, statistic: fit_r, above: 0, source: here}
  weights: {figure: big, statistic: mean_r, above: 0, source: here}
  words: {figure: bound, claim: "room is left", source: here}
  effort: {claim: "a lot of work", statistic: cpu_hours, source: here}
  belief: {claim: "it was fun", source: here}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return path


def by_id(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in lines}


def test_own_recipe_is_run_compared_written_and_resumed(zoo: Zoo, mine: Path) -> None:
    first = zoo("reproduce", mine, "--json", "-q", "--out", "out")
    assert first.code == 0, first.err
    found = first.json["reproduction"]
    lines = by_id(found["lines"])
    status = {name: line["status"] for name, line in lines.items()}
    assert status == {
        "right": "match",
        "wrong": "mismatch",
        "either.high": "match",
        "either.low": "mismatch",
        "high": "match",
        "nowhere": "not run",
        "partly": "partial",
        "one-layer": "not run",
        "other-model": "match",
        "two-sizes": "not run",
        "weights": "not run",
        "words": "not compared",
        "effort": "not compared",
        "belief": "not compared",
        "stories": "not compared",
        "start": "not compared",
        "against": "not compared",
        "doubling": "not compared",
        "stack": "not compared",
        "between": "not compared",
    }
    assert "needs region labels" in lines["nowhere"]["why"]
    assert "needs weights: opt-125m (facebook/opt-125m)" in lines["weights"]["why"]
    assert lines["partly"]["why"].startswith("within tolerance; without opt-125m (needs weights")
    assert lines["one-layer"]["why"] == "only layer 0 of word-rate was run"
    assert lines["two-sizes"]["why"] == "r of a fit needs three sizes, 2 were run"
    assert lines["effort"]["obtained"] > 0
    assert lines["wrong"]["tolerance"] == "guess"
    off = 0.9 - lines["wrong"]["obtained"]
    assert lines["wrong"]["why"] == f"{off:.3g} off, more than the tolerance (guess)"
    assert "either.high, another reading, matches" in lines["either.low"]["why"]
    assert "word-length adds nothing beyond word-rate" in lines["against"]["obtained"]

    # Scores are those of the results themselves.
    shown = zoo("results", "list", "--json").json["results"]
    whole = [r for r in shown if r["model"] == "word-rate" and r["subset_seed"] is None]
    assert lines["wrong"]["obtained"] == pytest.approx(np.mean([r["mean_r"] for r in whole]), 1e-4)
    rows = found["figures"]["stories"]["rows"]
    assert [(row["n_stories"], row["n_subsets"]) for row in rows[:3]] == [(1, 2), (2, 2), (3, 1)]
    ones = [r["mean_r"] for r in shown if r["model"] == "word-rate" and r["n_train_stories"] == 1]
    assert len(ones) == 4
    assert rows[0]["mean_r"] == pytest.approx(np.mean(ones), abs=1e-5)

    folder = Path("out")
    assert json.loads((folder / "reproduction.json").read_text())["recipe"] == "mine"
    with (folder / "stories.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    if find_spec("matplotlib") is not None:
        assert {file.stem for file in folder.glob("*.png")} == set(found["figures"])
    assert np.load(folder / "everywhere.npz")["r_word-rate_sub-01"].shape == (16,)

    again = zoo("reproduce", mine, "--json", "-q", "--out", "out").json["reproduction"]
    assert again["computed"] == 0
    assert again["from_store"] == found["computed"] + found["from_store"] > 0
    assert again["figures"] == found["figures"]


NETWORKS = """\
schema_version: 1
name: networks
title: Two sizes of three
registry: {registry}
data:
  dataset: simulated
  options: {{subjects: "2", stories: "2", voxels: "16", seconds: "60"}}
fit: {{untrained: true}}
models:
  mini-opt-8: {{layers: all}}
  mini-opt-16: {{layers: all}}
  mini-opt-32: {{layers: "1,2"}}
  opt-125m: {{layers: all}}
figures:
  sizes: {{kind: size-scaling, summary: sizes, models: [mini-opt-8, mini-opt-16, mini-opt-32]}}
  depth: {{kind: layers, summary: layers, models: [mini-opt-8, mini-opt-16]}}
expect:
  gain:
    figure: sizes
    models: [mini-opt-8, mini-opt-16]
    readings: {{r: gain_percent, r2: gain_percent_signed_r2}}
    value: 0
    tolerance: 1000000
    why: any number will do
    source: here
  other-gain:
    figure: sizes
    models: [mini-opt-8, mini-opt-32]
    statistic: gain_percent
    above: 0
    source: here
  layer:
    figure: depth
    models: [mini-opt-8]
    statistic: mini-opt-8.best_layer
    value: 1
    tolerance: 1
    why: there are three
    source: here
"""


def test_a_gain_is_between_its_two_ends_whatever_else_was_run(zoo: Zoo, tmp_path: Path) -> None:
    registry = find_recipe("antonello2023").with_name("antonello2023-miniature-models.yaml")
    path = tmp_path / "networks.yaml"
    path.write_text(NETWORKS.format(registry=registry))
    run = ("--json", "-q", "--models", "mini-opt-8", "--models", "mini-opt-16")
    found = zoo("reproduce", path, *run).json["reproduction"]
    lines = by_id(found["lines"])
    rows = {row["model"]: row for row in found["figures"]["sizes"]["rows"]}
    for reading, score in (("r", "mean_r"), ("r2", "mean_signed_r2")):
        small, large = rows["mini-opt-8"][score], rows["mini-opt-16"][score]
        line = lines[f"gain.{reading}"]
        if small > 0:
            assert line["obtained"] == pytest.approx(100 * (large - small) / small)
            assert line["status"] == "match"
        assert "(mini-opt-8 to mini-opt-16)" in line["expected"]
    assert lines["other-gain"]["status"] == "not run"
    assert lines["other-gain"]["why"] == "mini-opt-32 (was not asked for) absent"
    depth = [row for row in found["figures"]["depth"]["rows"] if row["model"] == "mini-opt-8"]
    best = max(depth, key=lambda row: row["mean_signed_r2"])["layer"]
    assert lines["layer"]["obtained"] == best
    assert lines["layer"]["status"] == "match"


def test_stories_are_read_once_for_all_runs(
    zoo: Zoo, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real ones are hours of sound, whose digest is in every result's key."""
    read: list[str] = []
    story = SimulatedDataset.story
    monkeypatch.setattr(
        SimulatedDataset, "story", lambda self, name: read.append(name) or story(self, name)
    )
    assert zoo("reproduce", mine, "--json", "-q", "-f", "stories").code == 0
    assert sorted(read) == ["story01", "story02", "story03", "test01"]


def test_what_is_too_big_is_weighed_by_its_extractor(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its parameters alone; and states that are in the store weigh nothing."""
    registry = find_recipe("antonello2023").with_name("antonello2023-miniature-models.yaml")
    path = tmp_path / "networks.yaml"
    path.write_text(NETWORKS.format(registry=registry))
    run = ("reproduce", path, "--json", "-q", "--models", "mini-opt-8", "-f", "depth")
    weights = 4 * 20176
    monkeypatch.setattr("voxelzoo.recipes.runner._memory", lambda device: weights)
    line = by_id(zoo(*run).json["reproduction"]["lines"])["layer"]
    assert line["status"] == "not run"
    assert "too big: mini-opt-8 takes 1." in line["why"]
    assert "in float32, cpu has 80.7 kB" in line["why"]
    monkeypatch.setattr("voxelzoo.recipes.runner._memory", lambda device: 2**30)
    assert by_id(zoo(*run).json["reproduction"]["lines"])["layer"]["status"] == "match"
    monkeypatch.setattr("voxelzoo.recipes.runner._memory", lambda device: weights)
    assert by_id(zoo(*run).json["reproduction"]["lines"])["layer"]["status"] == "match"


def test_maps_are_what_the_results_say_by_loops(zoo: Zoo, mine: Path) -> None:
    asked = [part for name in ("doubling", "start", "bound", "stack") for part in ("-f", name)]
    ended = zoo("reproduce", mine, "--json", "-q", "--out", "out", *asked)
    figures = ended.json["reproduction"]["figures"]
    maps = {name: np.load(Path("out") / f"{name}.npz") for name in figures}
    results = [
        each for each in Store(Path("zoo-store")).results() if each.record.subject == "sub-01"
    ]

    def one(model: str, n: int) -> list[Result]:
        found = [r for r in results if r.record.model == model]
        return [r for r in found if r.record.n_train_stories == n]

    # r of each voxel against log2 of stories, subsets of one size averaged, by least squares.
    r = {n: np.mean([each.map("r") for each in one("word-rate", n)], axis=0) for n in (1, 2, 3)}
    x = np.log2([1, 2, 3])
    for voxel in range(16):
        slope = np.polyfit(x, [r[n][voxel] for n in (1, 2, 3)], 1)[0]
        found = maps["doubling"]["gain_per_doubling_sub-01"][voxel]
        np.testing.assert_allclose(found, slope, atol=1e-6)

    # Predictions and responses of the held-out story, with and without its first 30 s (20 TRs).
    (whole,) = (each for each in one("word-rate", 3) if "predictions" in each.kept)
    prediction, response = whole.story("test01").prediction, whole.story("test01").response
    lead = figures["start"]["statistics"]["n_first_trs"]
    assert lead == 20
    for voxel in range(16):
        both = [
            np.corrcoef(prediction[first:, voxel], response[first:, voxel])[0, 1]
            for first in (0, lead)
        ]
        found = maps["start"]["difference_word-rate_0_sub-01"][voxel]
        np.testing.assert_allclose(found, both[0] - both[1], atol=1e-5)

    bound = maps["bound"]["ceiling_word-rate_sub-01"]
    for voxel in range(16):
        shown = bound[voxel] > 0.3
        for name, expected in (
            ("normalised_r", r[3][voxel] / bound[voxel]),
            ("headroom", bound[voxel] - r[3][voxel]),
        ):
            found = maps["bound"][f"{name}_word-rate_sub-01"][voxel]
            np.testing.assert_allclose(found, expected if shown else np.nan, atol=1e-5)

    (stack,) = (each for each in results if each.record.family == "joint")
    gain = stack.map("r") - r[3]
    np.testing.assert_allclose(maps["stack"]["gain_sub-01"], gain, atol=1e-6)
    weights = [maps["stack"][f"weight_{name}:0_sub-01"] for name in ("word-length", "word-rate")]
    np.testing.assert_allclose(maps["stack"]["centre_of_mass_sub-01"], weights[0], atol=1e-6)
    np.testing.assert_allclose(sum(weights), 1, atol=1e-4)


def test_only_what_was_asked_for_runs(zoo: Zoo, mine: Path) -> None:
    ended = zoo("reproduce", mine, "--json", "-q", "--models", "word-length", "-f", "stories")
    found = ended.json["reproduction"]
    assert {row["model"] for row in found["figures"]["stories"]["rows"]} == {"word-length"}
    assert by_id(found["lines"])["right"]["why"] == "was not asked for"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--models", "gpt5"), 2, "has no model 'gpt5'"),
        (("--figure", "fig9"), 2, "has no figure 'fig9'"),
        (("--miniature",), 2, "names no miniature"),
        (("--subject", "sub-77"), 3, "no subject 'sub-77'"),
        (("--dtype", "float8"), 2, "--dtype 'float8': one of float32"),
        (("--dataset-option", "storys=3"), 2, "has no option 'storys'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    zoo: Zoo, mine: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = zoo("reproduce", mine, *arguments)
    assert (ended.code, said in ended.err) == (code, True), ended.err


def test_the_paper_without_its_data_says_what_it_needs(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    ended = zoo("reproduce", "antonello2023", "--json")
    lines = by_id(ended.json["reproduction"]["lines"])
    assert {line["status"] for line in lines.values()} == {"not run"}
    assert "needs data: --dataset lebel2023:PATH" in lines["opt-slope.r"]["why"]
    assert "needs weights: opt-125m, opt-1.3b" in lines["opt-slope.r"]["why"]
    assert any("hf download REPO" in note for note in ended.json["reproduction"]["notes"])
    assert not list(tmp_path.glob("reproduction-*"))


def test_a_line_through_decades_is_least_squares() -> None:
    rows = [{"n": 10, "r": 0.2}, {"n": 100, "r": 0.26}, {"n": 1000, "r": 0.3}]
    found = fit_decades(rows[::-1], "n", "r")
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.26, 0.3])
    slope = ((x - 2) * (y - y.mean())).sum() / ((x - 2) ** 2).sum()
    assert found["per_decade"] == pytest.approx(slope)
    assert found["percent_per_decade"] == pytest.approx(100 * slope / 0.2)
    assert found["fit_r"] == pytest.approx(np.corrcoef(x, y)[0, 1])


@needs_shared
def test_alice_is_reported_as_it_is(zoo: Zoo) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "alice.yaml"
    ended = zoo("reproduce", recipe, "-d", SHARED / "data" / "alice", "--json", "-q")
    assert ended.code == 0, ended.err
    figures = ended.json["reproduction"]["figures"]
    regions = [row["region"] for row in figures["ceiling"]["rows"]]
    assert regions == ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]
    assert figures["ceiling"]["statistics"]["n_subjects"] == 14
    assert figures["ceiling"]["statistics"]["mean_ceiling"] == pytest.approx(0.2384, abs=1e-3)
    assert figures["ceiling"]["rows"][5]["least_ceiling"] < 0  # one listener's, and stays so
    group = figures["group"]
    tested = [row for row in group["rows"] if row["model"] == "stories260k"]
    assert [row["layer"] for row in tested] == [0, 1, 2, 3, 4, 5]
    assert all(0 < row["p"] <= 1 and 0 < row["p_paired"] <= 1 for row in tested)
    better = [r for r in tested if r["p_paired"] * 6 < 0.05 and r["over_baseline"] > 0]
    assert group["statistics"]["stories260k.layers_above_baseline"] == len(better)
    adds = "stories260k adds nothing beyond word-rate" not in group["statistics"]["verdict"]
    assert adds == bool(better)


@pytest.mark.slow
def test_the_miniature_makes_every_figure(zoo: Zoo) -> None:
    ended = zoo("reproduce", "antonello2023", "--miniature", "--json", "-q", "--out", "mini")
    assert ended.code == 0, ended.err
    found = ended.json["reproduction"]
    assert found["not_run"] == {}
    made = set(found["figures"])
    assert {f"fig1{letter}" for letter in "abcdef"} <= made
    assert {"fig2", "fig3", "fig4", "figA", "figB", "figD", "figE1", "figE2"} <= made
    lines = by_id(found["lines"])
    assert {line["status"] for line in lines.values()} == {"not compared"}
    assert lines["opt-slope.r"]["expected"] == "4.4 ± 2.8"
    assert lines["opt-slope.r"]["low"] < lines["opt-slope.r"]["obtained"]
    assert lines["opt-30b-layer"]["statistic"] == "mini-opt-32.best_layer"
    for name, figure in found["figures"].items():
        assert figure["rows"], name
        assert not figure["missing"], name
        assert any(v is not None for v in figure["statistics"].values()), name
