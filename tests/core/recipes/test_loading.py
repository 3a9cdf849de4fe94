"""Recipes are found and read; what is wrong is reported with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe_files import ONE_FIGURE, Load
from voxelzoo.api import NotFoundError, PluginError, UsageError
from voxelzoo.recipes.loading import find_recipe, load_recipe, open_recipe
from zoo_cli import Zoo


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("title: Mine", "titel: Mine", 3, "unknown field 'titel'"),
        ("title: Mine\n", "", 1, "'title' is missing"),
        ("    tolerance: 0.1\n", "", 14, "value goes with tolerance or with interval"),
        ("    tolerance: 0.1\n", "    interval: [0.3, 0.4]\n", 14, "does not contain the value"),
        ("    why: a guess\n", "", 14, "state where its tolerance comes from"),
        ("statistic: mean_r", "statistic: gain_percent", 14, "models: [from, to]"),
        (
            "    statistic: mean_r\n",
            "    models: [position]\n    statistic: mean_r\n",
            16,
            "'position' is not in one",
        ),
        ("    value: 0.2\n    tolerance: 0.1\n", "", 14, "give one of value"),
        ("figure: one", "figure: two", 15, "no figure 'two'"),
        ("[word-rate]", "[word-rat]", 12, "model 'word-rat' is not one of models"),
        ("kind: map", "kind: mapp", 10, "figures.one.kind: input should be one of 'size-scaling'"),
        ("    kind: map\n", "", 9, "figures.one: 'kind' is missing"),
        ("    models: [word-rate]\n", "", 9, "figures.one: 'models' is missing"),
        ("[word-rate]", "[]", 12, "figures.one.models: tuple should have at least 1 item"),
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
def test_what_is_wrong_is_reported_with_file_and_line(
    load: Load, old: str, new: str, line: int, text: str
) -> None:
    assert old in ONE_FIGURE
    with pytest.raises(PluginError) as error:
        load(ONE_FIGURE.replace(old, new, 1))
    message = str(error.value)
    assert f"mine.yaml:{line}: " in message
    assert text in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("figure", "problem"),
    [
        (
            "kind: map, plateau_from: 3, models: [word-rate]",
            "figures.one: unknown field 'plateau_from' of a figure of kind map",
        ),
        (
            "kind: layers, layers: {word-rate: 0}, models: [word-rate]",
            "figures.one: unknown field 'layers' of a figure of kind layers",
        ),
        (
            "kind: long-context, region: AC, models: [word-rate]",
            "figures.one: unknown field 'region' of a figure of kind long-context",
        ),
        ("kind: data-scaling, models: [word-rate]", "figures.one: 'n_stories' is missing"),
        ("kind: inter-subject", "figures.one: 'story' is missing"),
        ("kind: baseline, models: [word-rate]", "figures.one: 'baseline' is missing"),
        (
            "kind: baseline, models: [word-rate], baseline: position",
            "figures.one.models: model 'position' is not one of models",
        ),
        (
            "kind: baseline, models: [word-rate], baseline: word-length, layers: {word-rate: 0}",
            "figures.one: layers names 'word-rate': only the baseline's layer can be set",
        ),
        (
            "kind: stacking, models: [word-rate], single: word-length",
            "figures.one: single 'word-length' is not one of the figure's models",
        ),
        (
            "kind: voxel-scaling, models: [word-rate, word-length], n_stories: [1, 2]",
            "figures.one: voxel-scaling over n_stories takes one model",
        ),
    ],
)
def test_a_kind_of_figure_has_only_its_own_fields(load: Load, figure: str, problem: str) -> None:
    text = ONE_FIGURE.partition("figures:")[0].replace(
        "  word-rate: {}\n", "  word-rate: {}\n  word-length: {}\n"
    )
    with pytest.raises(PluginError) as error:
        load(f"{text}figures:\n  one: {{summary: s, {figure}}}\n")
    assert f"mine.yaml:10: {problem}" in str(error.value)


def test_an_expectation_is_met_within_its_tolerance(load: Load) -> None:
    recipe = load(ONE_FIGURE)
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


def test_a_recipe_without_a_miniature_has_none_to_open(load: Load) -> None:
    recipe = load(ONE_FIGURE)
    assert recipe.path is not None
    with pytest.raises(UsageError, match="recipe mine has no miniature"):
        open_recipe(recipe.path, miniature=True)


def test_a_recipe_with_random_weights_is_not_compared() -> None:
    recipe = open_recipe("antonello2023", untrained=True)
    assert recipe.fit.untrained
    assert not recipe.compares
    assert recipe.path == find_recipe("antonello2023")


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
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
            "fit: {delays: [2s, 4]}\nmodels:\n",
            6,
            "fit: delays '2s,4': use whole TRs, such as 1,2,3,4, or seconds, such as 2s-8s",
        ),
        ("title: Mine", "title: Mine\nregistry: none.yaml", 4, "registry: "),
    ],
)
def test_what_nothing_installed_can_do_is_reported_with_file_and_line(
    zoo: Zoo, tmp_path: Path, old: str, new: str, line: int, text: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(ONE_FIGURE.replace(old, new, 1))
    ended = zoo("reproduce", path, "--quiet")
    assert ended.code != 0
    assert ended.out == ""
    (message,) = ended.err.strip().splitlines()
    assert f"mine.yaml:{line}: {text}" in message
