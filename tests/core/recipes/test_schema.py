"""Recipes: what the package ships is the paper's, and what is wrong is said with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pages import block
from voxelzoo.api import NotFoundError, PluginError
from voxelzoo.recipes.schema import Recipe, find_recipe, load_recipe
from zoo_cli import Zoo

GOOD = """\
schema_version: 1
name: mine
title: Mine
data:
  dataset: simulated
models:
  word-rate: {}
figures:
  one:
    kind: map
    summary: r of every voxel
    models: [word-rate]
expect:
  first:
    figure: one
    statistic: mean_r
    value: 0.2
    tolerance: 0.1
    why: a guess
    source: nowhere
"""


def load(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_recipe(path)


def test_the_papers_numbers_are_the_papers() -> None:
    recipe = load_recipe(find_recipe("antonello2023"))
    numbers = {
        name: (e.figure, e.readings.get("r", e.statistic), e.value)
        for name, e in recipe.expect.items()
        if e.value
    }
    assert numbers == {
        "opt-gain": ("fig1a", "gain_percent", 15),
        "opt-slope": ("fig1a", "percent_per_decade", 4.4),
        "opt-fit": ("fig1a", "fit_r", 0.91),
        "opt-data-slope": ("fig1b", "percent_per_decade", 122),
        "opt-data-fit": ("fig1b", "fit_r", 0.989),
        "whisper-slope": ("fig1d", "percent_per_decade", 32.2),
        "whisper-fit": ("fig1d", "fit_r", 0.991),
        "whisper-data-slope": ("fig1e", "percent_per_decade", 144),
        "whisper-data-fit": ("fig1e", "fit_r", 0.988),
        "opt-125m-layer": ("fig1c", "opt-125m.best_layer", 9),
        "opt-30b-layer": ("fig1c", "opt-30b.best_layer", 33),
        "llama-33b-layer": ("fig1c", "llama-33b.best_layer", 18),
        "whisper-large-layer": ("fig1f", "whisper-large.best_layer", 30),
        "best-voxel": ("fig2", "best_voxel_r", 0.82),
        "mean-r": ("fig2", "mean_r", 0.17162),
        "voxels": ("fig2", "n_voxels", 95_556),
        "opt-signed-r2": ("fig1c", "opt.best_mean_signed_r2", 0.03),
    }
    assert recipe.expect["opt-gain"].models == ("opt-125m", "opt-30b")
    assert recipe.expect["long-context"].at_most == 20
    assert recipe.data.train_stories == {"UTS01": 93, "UTS02": 98, "UTS03": 98}
    assert recipe.data.repeats["wheretheressmoke"] == 10
    assert len(recipe.data.lacks["UTS01"]) == 98 - 93
    assert recipe.fit.alphas is not None
    assert recipe.fit.alphas.values[0] == 10
    assert recipe.fit.alphas.values[-1] == 10_000
    assert len(recipe.fit.alphas.values) == 15
    layers = {m: n for f in recipe.figures.values() for m, n in f.layers.items()}
    assert layers == {"opt-30b": 33, "opt-125m": 9, "llama-33b": 18, "whisper-large": 30}


@pytest.mark.parametrize(
    ("slope", "fit", "n_sizes"),
    [
        ("opt-slope", "opt-fit", 6),
        ("whisper-slope", "whisper-fit", 5),
        ("opt-data-slope", "opt-data-fit", 5),
        ("whisper-data-slope", "whisper-data-fit", 5),
    ],
)
def test_tolerances_of_fits_follow_from_what_the_paper_prints(
    slope: str, fit: str, n_sizes: int
) -> None:
    """A slope's standard error needs but the slope, r and the number of points."""
    expected = load_recipe(find_recipe("antonello2023")).expect
    r, printed = expected[fit].value, expected[slope].value
    tolerance, interval = expected[slope].tolerance, expected[fit].interval
    assert r is not None
    assert printed is not None
    assert tolerance is not None
    error = printed * np.sqrt((1 / r**2 - 1) / (n_sizes - 2))
    assert 0 <= tolerance - error * stats.t.ppf(0.975, n_sizes - 2) < 0.02 * printed
    z = np.arctanh(r) + np.array([-1, 1]) * stats.norm.ppf(0.975) / np.sqrt(n_sizes - 3)
    assert interval == pytest.approx(np.tanh(z), abs=0.0015)


def test_the_tolerance_of_the_gain_is_the_scatter_about_the_papers_line() -> None:
    """Residuals of a line with the printed slope and r through the paper's six sizes."""
    expected = load_recipe(find_recipe("antonello2023")).expect
    slope, r = expected["opt-slope"].value, expected["opt-fit"].value
    assert slope is not None
    assert r is not None
    sizes = np.log10([125e6, 1.3e9, 13e9, 30e9, 66e9, 175e9])
    explained = slope**2 * ((sizes - sizes.mean()) ** 2).sum()
    scatter = np.sqrt(explained * (1 / r**2 - 1) / (len(sizes) - 2))
    assert scatter == pytest.approx(2.6, abs=0.05)
    assert expected["opt-gain"].tolerance == np.ceil(scatter * np.sqrt(2))


def test_the_tolerance_of_mean_r_is_twice_what_fewer_stories_cost() -> None:
    expected = load_recipe(find_recipe("antonello2023")).expect
    slope, r, tolerance = expected["opt-data-slope"].value, expected["mean-r"].value, 0.01
    assert slope is not None
    assert r is not None
    score = {n: 1 + slope / 100 * np.log10(n) for n in (82, 98)}  # of that of one story
    cost = r * (1 - score[82] / score[98])
    assert cost == pytest.approx(0.005, abs=5e-4)
    assert expected["mean-r"].tolerance == tolerance == pytest.approx(2 * cost, abs=1e-3)


def test_tolerances_of_layers_are_the_papers_own_spread() -> None:
    expected = load_recipe(find_recipe("antonello2023")).expect
    spread = 9 / 12 - 33 / 48
    depths = {"opt-125m": 12, "opt-30b": 48, "llama-33b": 60, "whisper-large": 32}
    tolerances = {model: expected[f"{model}-layer"].tolerance for model in depths}
    assert tolerances == {model: np.ceil(spread * depth) for model, depth in depths.items()}


def test_every_tolerance_says_where_it_comes_from() -> None:
    expected = load_recipe(find_recipe("antonello2023")).expect
    assert all(e.why for e in expected.values() if e.value is not None)


def test_the_miniature_has_every_figure_of_the_paper() -> None:
    path = find_recipe("antonello2023")
    recipe = load_recipe(path)
    miniature = load_recipe(path.parent / str(recipe.miniature))
    assert {n: f.kind for n, f in miniature.figures.items()} == {
        n: f.kind for n, f in recipe.figures.items()
    }
    assert list(miniature.data.repeats.values()) == [10, 5, 5]
    assert miniature.data.trims == recipe.data.trims
    assert not miniature.compares


def test_the_miniature_shows_what_the_paper_expects_of_the_models_it_stands_for() -> None:
    path = find_recipe("antonello2023")
    paper = load_recipe(path)
    miniature = load_recipe(path.parent / str(paper.miniature)).expecting(paper)
    assert miniature.expect.keys() == paper.expect.keys()
    assert miniature.expect["opt-gain"].models == ("mini-opt-8", "mini-opt-32")
    assert miniature.expect["opt-gain"].value == 15
    assert miniature.expect["llama-33b-layer"].statistic == "mini-llama-32.best_layer"
    assert miniature.expect["opt-slope"] == paper.expect["opt-slope"]
    for name, expected in miniature.expect.items():
        if expected.figure is not None:
            assert set(expected.models) <= set(miniature.figures[expected.figure].models), name
    assert not miniature.compares


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("title: Mine", "titel: Mine", 3, "unknown field 'titel'"),
        ("title: Mine\n", "", 1, "'title' is missing"),
        ("    tolerance: 0.1\n", "", 14, "value goes with tolerance or with interval"),
        ("    tolerance: 0.1\n", "    interval: [0.3, 0.4]\n", 14, "does not hold the value"),
        ("    why: a guess\n", "", 14, "say where its tolerance comes from"),
        ("statistic: mean_r", "statistic: gain_percent", 14, "models: [from, to]"),
        (
            "    statistic: mean_r\n",
            "    models: [position]\n    statistic: mean_r\n",
            16,
            "'position' is not of one",
        ),
        ("    value: 0.2\n    tolerance: 0.1\n", "", 14, "say one of value"),
        ("figure: one", "figure: two", 15, "no figure 'two'"),
        ("[word-rate]", "[word-rat]", 12, "model 'word-rat' is not one of models"),
        ("kind: map", "kind: mapp", 10, "figures.one.kind: input should be"),
        ("value: 0.2", "value: yes", 17, "yes is read as true"),
        ("value: 0.2", 'value: "0.2"', 17, "valid number"),
        ("schema_version: 1", "schema_version: 2", 1, "input should be 1"),
        ("name: mine", "name: Mine Own", 2, "should match"),
        ("models:\n", "fit: {protocol: cleann}\nmodels:\n", 6, "no protocol 'cleann'"),
        (
            "models:\n",
            "  trims: {start_trs: 1, end_trs: 1, test_start_trs: 3}\nmodels:\n",
            6,
            "is 3, but protocol clean skips 0",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in GOOD
    with pytest.raises(PluginError) as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    message = str(error.value)
    assert f"mine.yaml:{line}: " in message
    assert said in message
    assert "\n" not in message


def test_a_recipe_that_is_right_loads(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert recipe.expect["first"].met_by(0.29)
    assert not recipe.expect["first"].met_by(0.31)
    assert not recipe.expect["first"].met_by(float("nan"))


def test_a_shipped_recipe_is_shown_to_copy_from(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(zoo("reproduce", "antonello2023", "--show").out)
    shipped = load_recipe(find_recipe("antonello2023"))
    assert load_recipe(path).model_dump() == shipped.model_dump()
    assert "mini-opt-8" in zoo("reproduce", "antonello2023", "--miniature", "--show").out


@pytest.mark.parametrize("name", ["antonelo2023", "./none.yaml"])
def test_unknown_recipes_are_refused(name: str) -> None:
    with pytest.raises(NotFoundError, match=name.removeprefix("./")):
        find_recipe(name)


def test_on_other_data_than_the_recipes_nothing_matches(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    stories = "dataset: simulated\n  train_stories: {sub-01: 3, sub-02: 5}"
    path.write_text(GOOD.replace("dataset: simulated", stories))
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    assert line["status"] == "partial"
    assert line["why"] == (
        "within tolerance; data: 3 training stories here, 5 in the recipe for sub-02"
    )


@pytest.mark.parametrize(
    ("heard", "declared", "status"), [("4", 4, "match"), ("4", 10, "partial"), ("1", 5, "match")]
)
def test_repeats_are_held_against_the_recipes(
    zoo: Zoo, tmp_path: Path, heard: str, declared: int, status: str
) -> None:
    """One array may be a mean over repeats: it contradicts nothing."""
    path = tmp_path / "mine.yaml"
    data = (
        f'dataset: simulated\n  options: {{repeats: "{heard}"}}\n  test_stories: [test01]\n'
        f"  repeats: {{test01: {declared}}}"
    )
    path.write_text(GOOD.replace("dataset: simulated", data))
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    assert line["status"] == status
    said = "test01: 4 repeats here, 10 in the recipe for sub-01, sub-02"
    assert (said in line["why"]) == (status == "partial")


@pytest.mark.parametrize(("trim", "status"), [("5", "match"), ("2", "partial")])
def test_volumes_dropped_are_held_against_the_recipes(
    zoo: Zoo, tmp_path: Path, trim: str, status: str
) -> None:
    path = tmp_path / "mine.yaml"
    data = (
        f'dataset: simulated\n  options: {{trim: "{trim}"}}\n'
        "  trims: {start_trs: 5, end_trs: 5, test_start_trs: 0}"
    )
    path.write_text(GOOD.replace("dataset: simulated", data))
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    assert line["status"] == status
    said = "test01: 2 volumes dropped at its start here, 5 in the recipe"
    assert (said in line["why"]) == (status == "partial")


def test_data_that_a_figure_does_not_use_leave_its_line_alone(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    data = (
        'dataset: simulated\n  options: {test_stories: "2"}\n  train_stories: {sub-01: 9}\n'
        "  test_stories: [test01, test02]\n  repeats: {test02: 9}"
    )
    text = GOOD.replace("dataset: simulated", data)
    path.write_text(text.replace("models: [word-rate]", "models: [word-rate]\n    story: test01"))
    run = ("--json", "--quiet", "--store", tmp_path / "store")
    (line,) = zoo("reproduce", path, *run).json["reproduction"]["lines"]
    assert line["why"].endswith("data: 3 training stories here, 9 in the recipe for sub-01")
    path.write_text(
        path.read_text().replace("story: test01", "story: test01\n    subjects: [sub-02]")
    )
    (line,) = zoo("reproduce", path, *run).json["reproduction"]["lines"]
    assert line["status"] == "match"


def test_a_story_that_a_subject_should_lack_is_a_difference(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    data = "dataset: simulated\n  subjects: [sub-01, sub-02]\n  lacks: {sub-01: [story02, none]}"
    path.write_text(GOOD.replace("dataset: simulated", data))
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    said = "within tolerance; data: sub-01 heard story02 here and not in the recipe"
    assert (line["status"], line["why"]) == ("partial", said)


def test_subjects_that_the_data_lack_do_not_stop_the_others(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    data = "dataset: simulated\n  subjects: [sub-01, sub-02, sub-03]"
    path.write_text(GOOD.replace("dataset: simulated", data))
    run = ("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    found = zoo(*run).json["reproduction"]
    assert {row["subject"] for row in found["figures"]["one"]["rows"]} == {"sub-01", "sub-02"}
    (line,) = found["lines"]
    said = "within tolerance; data: without subject sub-03 (not in the data)"
    assert (line["status"], line["why"]) == ("partial", said)
    path.write_text(path.read_text().replace("[sub-01, sub-02, sub-03]", "[S1, S2]"))
    ended = zoo(*run)
    assert ended.code == 3
    assert "no subject 'S1'" in ended.err


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("simulated", "simulatd", 5, "data.dataset: no dataset 'simulatd'; did you mean simulated"),
        (
            "simulated\n",
            'simulated\n  options: {storys: "3"}\n',
            5,
            "data.dataset: dataset 'simulated' has no option 'storys'",
        ),
        ("simulated\n", "simulated\n  subjects: [S9]\n", 6, "data.subjects: simulated: no subject"),
        ("models:\n", "fit: {regressor: rigde}\nmodels:\n", 6, "fit: no regressor 'rigde'"),
        ("models:\n", "fit: {aligner: lanzcos}\nmodels:\n", 6, "fit: no aligner 'lanzcos'"),
        (
            "models:\n",
            "fit:\n  regressor_options: {foo: 1}\nmodels:\n",
            6,
            "fit: ridge has no option 'foo'",
        ),
        (
            "models:\n",
            "fit: {delays: []}\nmodels:\n",
            6,
            "fit.delays: tuple should have at least 1",
        ),
        ("title: Mine", "title: Mine\nregistry: none.yaml", 4, "registry: "),
    ],
)
def test_what_nothing_installed_can_do_is_said_with_file_and_line(
    zoo: Zoo, tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    ended = zoo("reproduce", path, "--quiet", "--store", tmp_path / "store")
    assert ended.code != 0
    assert ended.out == ""
    (message,) = ended.err.strip().splitlines()
    assert f"mine.yaml:{line}: {said}" in message


def test_a_statistic_that_a_figure_lacks_is_named_with_those_it_has(
    zoo: Zoo, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        GOOD.replace("statistic: mean_r", "statistic: mean_rr").replace("{}", "{layers: 0}")
    )
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    assert line["status"] == "not run"
    assert line["why"] == "one gives no mean_rr; it gives mean_r, best_voxel_r, n_voxels"


def test_the_recipe_of_the_documentation_runs_as_it_stands(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(block("docs/reproduce.md", "# mine.yaml"))
    ended = zoo("reproduce", path, "--json", "--quiet", "--store", tmp_path / "store")
    (line,) = ended.json["reproduction"]["lines"]
    assert line["status"] == "match"
