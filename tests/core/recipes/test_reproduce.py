"""A recipe is run as far as data and weights allow, compared, written, and resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pages import block
from recipe_files import EVERY_KIND, ONE_FIGURE, Reproduce
from shared_data import SHARED, needs_shared
from voxelzoo.recipes.loading import find_recipe, load_recipe
from voxelzoo.recipes.options import ReproduceOptions
from voxelzoo.recipes.output import write
from voxelzoo.recipes.reproduce import open_zoo_for, reproduce
from voxelzoo.recipes.reproduction import ComparisonLine, Reproduction
from voxelzoo.store.result_list import Results
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store
from voxelzoo_datasets.simulated import SimulatedDataset
from zoo_cli import Zoo

NO_WEIGHTS = "no-cache"


@dataclass(frozen=True)
class Reproduced:
    """A recipe with every kind of figure, run once for all tests that look at the outcome."""

    path: Path
    options: ReproduceOptions
    reproduction: Reproduction

    @property
    def lines(self) -> dict[str, ComparisonLine]:
        return {line.id: line for line in self.reproduction.lines}

    def results(self, **fields: Any) -> Results:
        """Results in the store whose record has these values."""
        return Store(self.options.store).results(**fields)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reproduced]:
    folder = tmp_path_factory.mktemp("mine")
    path = folder / "mine.yaml"
    path.write_text(EVERY_KIND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CONFIG", str(folder / "config.yaml"))
        patch.setenv("HF_HUB_CACHE", str(folder / NO_WEIGHTS))
        patch.setenv("HF_HUB_OFFLINE", "1")
        recipe, options = load_recipe(path), ReproduceOptions(store=folder / "store")
        yield Reproduced(path, options, reproduce(open_zoo_for(recipe), recipe, options))


def test_every_line_has_its_status(reproduced: Reproduced) -> None:
    assert {name: line.status for name, line in reproduced.lines.items()} == {
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


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nowhere", "needs region labels: the dataset has no 'AC'"),
        ("weights", "needs weights: opt-125m (facebook/opt-125m) is not on this machine"),
        ("partly", "within tolerance; without opt-125m (needs weights"),
        ("one-layer", "only layer 0 of word-rate was run"),
        ("two-sizes", "r of a fit needs three sizes, 2 were run"),
        ("either.low", "either.high, another reading, matches"),
        ("effort", "for this call, on this machine"),
        ("belief", "a claim that no figure is about"),
        ("words", "a claim in words: see bound"),
    ],
)
def test_a_line_gives_the_reason_of_its_status(reproduced: Reproduced, line: str, why: str) -> None:
    assert why in reproduced.lines[line].why


def test_a_mismatch_says_by_how_much_it_misses_and_where_the_tolerance_is_from(
    reproduced: Reproduced,
) -> None:
    line = reproduced.lines["wrong"]
    assert isinstance(line.obtained, float)
    assert line.why == f"{0.9 - line.obtained:.3g} off, more than the tolerance (guess)"
    assert line.tolerance == "guess"


def test_the_time_of_the_call_is_counted(reproduced: Reproduced) -> None:
    hours = reproduced.lines["effort"].obtained
    assert isinstance(hours, float)
    assert hours > 0


def test_a_model_that_does_not_beat_the_baseline_adds_nothing(reproduced: Reproduced) -> None:
    verdict = reproduced.lines["against"].obtained
    assert "word-length adds nothing beyond word-rate" in str(verdict)


def test_scores_are_those_of_the_results(reproduced: Reproduced) -> None:
    whole = reproduced.results(model="word-rate", subset_seed=None)
    mean = np.mean([result.record.scores.mean_r for result in whole])
    assert reproduced.lines["wrong"].obtained == pytest.approx(mean, 1e-4)


def test_scores_of_one_size_are_averaged_over_subsets_and_subjects(
    reproduced: Reproduced,
) -> None:
    rows = reproduced.reproduction.figures["stories"].rows
    assert [(row["n_stories"], row["n_subsets"]) for row in rows[:3]] == [(1, 2), (2, 2), (3, 1)]
    results = [
        a.record for a in reproduced.results(model="word-rate") if a.record.n_train_stories == 1
    ]
    assert len(results) == 4
    mean = np.mean([record.scores.mean_r for record in results])
    assert rows[0]["mean_r"] == pytest.approx(mean, abs=1e-5)


def test_tables_maps_and_pictures_are_written(reproduced: Reproduced, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write(reproduced.reproduction, folder)
    assert json.loads((folder / "reproduction.json").read_text())["recipe"] == "mine"
    with (folder / "stories.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    with (folder / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(reproduced.reproduction.lines)
    assert np.load(folder / "everywhere.npz")["r_word-rate_sub-01"].shape == (16,)
    if find_spec("matplotlib") is not None:
        pictures = {file.stem for file in folder.glob("*.png")}
        assert pictures == set(reproduced.reproduction.figures)


def test_a_second_call_computes_nothing_and_gives_the_same_numbers(
    reproduced: Reproduced,
) -> None:
    recipe, first = load_recipe(reproduced.path), reproduced.reproduction
    again = reproduce(open_zoo_for(recipe), recipe, reproduced.options)
    assert again.outcomes.n_computed == 0
    assert again.outcomes.n_kept == first.outcomes.n_computed + first.outcomes.n_kept > 0
    assert again.record()["figures"] == first.record()["figures"]
    (effort,) = (line for line in again.lines if line.id == "effort")
    assert effort.why == "nothing was computed: every result was in the store"


def test_a_reproduction_is_a_table_and_shows_its_totals(reproduced: Reproduced) -> None:
    reproduction = reproduced.reproduction
    table = reproduction.table().set_index("id")
    assert list(table.index) == list(reproduced.lines)
    assert table.loc["wrong", "obtained"] == reproduced.lines["wrong"].obtained
    assert repr(reproduction) == (
        "<Reproduction of mine: 4 match, 2 mismatch, 4 not run, 1 partial, 9 not compared>"
    )
    assert "off, more than the tolerance (guess)" in reproduction._repr_html_()
    figure = reproduction.figures["everywhere"]
    assert figure.table().loc[0, "region"] == "all"
    assert "2 maps" in repr(figure)


def one_subject(reproduced: Reproduced, n_stories: int) -> list[Result]:
    """Results of word-rate in the first subject, trained on so many stories."""
    results = reproduced.results(model="word-rate", subject="sub-01")
    return [result for result in results if result.record.n_train_stories == n_stories]


def test_gain_by_doubling_is_the_slope_of_each_voxel(reproduced: Reproduced) -> None:
    """r of each voxel against log2 of stories, subsets of one size averaged: least squares."""
    gain = reproduced.reproduction.figures["doubling"].maps["gain_per_doubling_sub-01"]
    r = {n: np.mean([a.map("r") for a in one_subject(reproduced, n)], axis=0) for n in (1, 2, 3)}
    for voxel in range(16):
        slope = np.polyfit(np.log2([1, 2, 3]), [r[n][voxel] for n in (1, 2, 3)], 1)[0]
        np.testing.assert_allclose(gain[voxel], slope, atol=1e-6)


def test_inflation_is_r_with_and_without_the_first_seconds(reproduced: Reproduced) -> None:
    """Of the same predictions of the held-out story; 30 s are 20 TRs."""
    figure = reproduced.reproduction.figures["start"]
    (whole,) = (each for each in one_subject(reproduced, 3) if "predictions" in each.kept)
    prediction, response = whole.story("test01").prediction, whole.story("test01").response
    assert figure.statistics["n_first_trs"] == 20
    for voxel in range(16):
        both = [
            np.corrcoef(prediction[first:, voxel], response[first:, voxel])[0, 1]
            for first in (0, 20)
        ]
        difference = figure.maps["difference_word-rate_0_sub-01"][voxel]
        np.testing.assert_allclose(difference, both[0] - both[1], atol=1e-5)


def test_share_of_the_ceiling_and_headroom_are_shown_where_the_ceiling_is_high(
    reproduced: Reproduced,
) -> None:
    maps = reproduced.reproduction.figures["bound"].maps
    ceiling = maps["ceiling_word-rate_sub-01"]
    r = one_subject(reproduced, 3)[0].map("r")
    assert 0 < (ceiling > 0.3).sum() < 16
    for voxel in range(16):
        shown = ceiling[voxel] > 0.3
        for name, expected in (
            ("normalised_r", r[voxel] / ceiling[voxel]),
            ("headroom", ceiling[voxel] - r[voxel]),
        ):
            value = maps[f"{name}_word-rate_sub-01"][voxel]
            np.testing.assert_allclose(value, expected if shown else np.nan, atol=1e-5)


def test_a_stack_is_compared_with_its_single_space(reproduced: Reproduced) -> None:
    maps = reproduced.reproduction.figures["stack"].maps
    (stack,) = reproduced.results(family="joint", subject="sub-01")
    gain = stack.map("r") - one_subject(reproduced, 3)[0].map("r")
    np.testing.assert_allclose(maps["gain_sub-01"], gain, atol=1e-6)
    weights = [maps[f"weight_{name}:0_sub-01"] for name in ("word-length", "word-rate")]
    np.testing.assert_allclose(maps["centre_of_mass_sub-01"], weights[0], atol=1e-6)
    np.testing.assert_allclose(sum(weights), 1, atol=1e-4)


GAINS = """\
schema_version: 1
name: gains
title: Three sizes, of which two are run
data:
  dataset: simulated
  options: {subjects: "2", stories: "3", voxels: "16", seconds: "60"}
fit: {delays: [1, 2, 3, 4], alphas: {log10_from: 0, log10_to: 8, n: 17}}
models: {word-rate: {}, word-length: {}, position: {}}
figures:
  sizes: {kind: size-scaling, summary: sizes, models: [word-length, word-rate, position]}
expect:
  gain:
    figure: sizes
    models: [word-length, word-rate]
    readings: {r: gain_percent, r2: gain_percent_signed_r2}
    value: 20.9
    tolerance: 1
    why: "measured before: data and fit are the same in every run"
    source: here
  other-gain:
    figure: sizes
    models: [word-length, position]
    statistic: gain_percent
    above: 0
    source: here
"""


def test_a_gain_is_between_its_two_ends_whatever_else_was_run(reproduce_recipe: Reproduce) -> None:
    record = reproduce_recipe(GAINS, "--models", "word-length", "--models", "word-rate")
    rows = {row["model"]: row for row in record["figures"]["sizes"]["rows"]}
    lines = record["lines"]
    for reading, score in (("r", "mean_r"), ("r2", "mean_signed_r2")):
        before, after = rows["word-length"][score], rows["word-rate"][score]
        obtained = lines[f"gain.{reading}"]["obtained"]
        assert obtained == pytest.approx(100 * (after - before) / before)
        assert "(word-length to word-rate)" in lines[f"gain.{reading}"]["expected"]
    assert lines["gain.r"]["status"] == "match"
    assert lines["gain.r2"]["status"] == "mismatch"
    assert lines["other-gain"]["status"] == "not run"
    assert lines["other-gain"]["why"] == "missing: position (not selected)"


NETWORK = """\
schema_version: 1
name: network
title: A very small network
registry: REGISTRY
data:
  dataset: simulated
  options: {subjects: "1", stories: "2", voxels: "16", seconds: "60"}
fit: {untrained: true}
models:
  mini-opt-8: {layers: all}
figures:
  depth: {kind: layers, summary: layers, models: [mini-opt-8]}
"""


def test_memory_is_what_the_extractor_estimates_and_only_for_states_that_are_missing(
    reproduce_recipe: Reproduce, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = find_recipe("antonello2023").with_name("antonello2023-miniature-models.yaml")
    text = NETWORK.replace("REGISTRY", str(registry))
    memory = "voxelzoo.recipes.memory.device_memory"
    weights = 4 * 20176
    monkeypatch.setattr(memory, lambda device: weights)
    line = reproduce_recipe(text)["lines"]["depth"]
    assert line["status"] == "not run"
    assert "too big: mini-opt-8 needs 1." in line["why"]
    assert "in float32, cpu has 80.7 kB" in line["why"]
    monkeypatch.setattr(memory, lambda device: 2**30)
    record = reproduce_recipe(text)
    rows = record["figures"]["depth"]["rows"]
    assert [row["layer"] for row in rows] == [0, 1, 2]
    best = max(rows, key=lambda row: row["mean_signed_r2"])["layer"]
    assert record["lines"]["depth"]["obtained"] == best
    monkeypatch.setattr(memory, lambda device: weights)
    assert reproduce_recipe(text)["figures"]["depth"]["rows"] == rows


def test_stories_are_read_once_for_all_runs(
    reproduce_recipe: Reproduce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real ones are hours of sound, whose digest is in every result's key."""
    read: list[str] = []
    story = SimulatedDataset.story
    monkeypatch.setattr(
        SimulatedDataset, "story", lambda self, name: read.append(name) or story(self, name)
    )
    reproduce_recipe(EVERY_KIND, "-f", "stories")
    assert sorted(read) == ["story01", "story02", "story03", "test01"]


def test_only_what_is_selected_is_run(reproduce_recipe: Reproduce) -> None:
    record = reproduce_recipe(EVERY_KIND, "--models", "word-length", "-f", "stories")
    assert {row["model"] for row in record["figures"]["stories"]["rows"]} == {"word-length"}
    assert record["lines"]["right"]["why"] == "not selected"


def test_a_shifted_stimulus_is_a_control_that_is_not_compared(reproduce_recipe: Reproduce) -> None:
    r = {}
    for shift in ("0", "20"):
        line = reproduce_recipe(ONE_FIGURE, "--shift", shift)["lines"]["first"]
        r[shift] = line["obtained"]
    assert r["20"] < r["0"] - 0.05
    assert (line["status"], line["why"]) == ("not compared", "the stimulus is shifted by 20 s")


def test_predictions_and_weights_are_kept_where_asked(reproduce_recipe: Reproduce) -> None:
    reproduce_recipe(ONE_FIGURE, "--keep", "predictions,weights")
    results = Store(Path("zoo-store")).results()
    assert results
    for result in results:
        assert result.kept == {"predictions", "weights"}


def test_the_table_is_printed_with_its_totals(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(ONE_FIGURE)
    ended = zoo("reproduce", path, "--quiet")
    header, row = ended.out.splitlines()
    assert header.split("\t") == [
        "id", "figure", "statistic", "expected", "obtained", "status", "why"
    ]  # fmt: skip
    assert row.split("\t")[:4] == ["first", "one", "mean_r", "0.2 ± 0.1"]
    assert "zoo: 1 match; results: 2 computed, 0 from the store" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--models", "gpt5"), 2, "has no model 'gpt5'"),
        (("--figure", "fig9"), 2, "has no figure 'fig9'"),
        (("--miniature",), 2, "has no miniature"),
        (("--subject", "sub-77"), 3, "no subject 'sub-77'"),
        (("--dtype", "float8"), 2, "--dtype 'float8': use float32"),
        (("--dataset-option", "storys=3"), 2, "has no option 'storys'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(ONE_FIGURE)
    ended = zoo("reproduce", path, *arguments)
    assert (ended.code, message in ended.err) == (code, True), ended.err


def test_a_statistic_that_a_figure_does_not_have_is_named_with_those_it_has(
    reproduce_recipe: Reproduce,
) -> None:
    text = ONE_FIGURE.replace("statistic: mean_r", "statistic: mean_rr").replace(
        "{}", "{layers: 0}"
    )
    line = reproduce_recipe(text)["lines"]["first"]
    assert line["status"] == "not run"
    assert line["why"] == "one has no statistic mean_rr; it has mean_r, best_voxel_r, n_voxels"


def test_the_recipe_of_the_documentation_runs_as_it_stands(reproduce_recipe: Reproduce) -> None:
    (line,) = reproduce_recipe(block("docs/reproduce.md", "# mine.yaml"))["lines"].values()
    assert line["status"] == "match"


def by_id(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in lines}


def test_the_paper_without_its_data_says_what_it_needs(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / NO_WEIGHTS))
    ended = zoo("reproduce", "antonello2023", "--json")
    lines = by_id(ended.json["reproduction"]["lines"])
    assert {line["status"] for line in lines.values()} == {"not run"}
    assert "needs data: --dataset lebel2023:PATH" in lines["opt-slope.r"]["why"]
    assert "needs weights: opt-125m, opt-1.3b" in lines["opt-slope.r"]["why"]
    assert any("hf download REPO" in note for note in ended.json["reproduction"]["notes"])
    assert not list(tmp_path.glob("reproduction-*"))


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
    assert (
        figures["ceiling"]["rows"][5]["least_ceiling"] < 0
    )  # one listener's ceiling is negative, and stays so
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
