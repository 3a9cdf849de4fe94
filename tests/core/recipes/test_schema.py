"""The shipped recipes are the paper's: its numbers, and tolerances that follow from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.loading import find_recipe, load_recipe, open_recipe


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
    layers = {
        model: layer
        for figure in recipe.figures.values()
        if isinstance(figure, LayerFigure)
        for model, layer in figure.layers.items()
    }
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
    """A slope's standard error needs only the slope, r and the number of points."""
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
    paper = open_recipe("antonello2023")
    miniature = open_recipe("antonello2023", miniature=True)
    assert miniature.expect.keys() == paper.expect.keys()
    assert miniature.expect["opt-gain"].models == ("mini-opt-8", "mini-opt-32")
    assert miniature.expect["opt-gain"].value == 15
    assert miniature.expect["llama-33b-layer"].statistic == "mini-llama-32.best_layer"
    assert miniature.expect["opt-slope"] == paper.expect["opt-slope"]
    for name, expected in miniature.expect.items():
        if expected.figure is not None:
            assert set(expected.models) <= set(miniature.figures[expected.figure].models), name
    assert not miniature.compares
