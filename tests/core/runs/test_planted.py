"""Truth is planted in a dataset and in a plugin's models; every command finds it again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hermetic import Site
from rates import at_rate
from voxelzoo.api import ExtractorRequest
from voxelzoo.data.responses import read_responses
from voxelzoo.science.ceiling_intervals import ceiling_interval
from voxelzoo.science.ceilings import estimate_ceiling
from voxelzoo.science.design import DesignSpec
from voxelzoo.science.evaluation import evaluate
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.layers import layer_sets
from voxelzoo.science.protocols import CLEAN
from voxelzoo.science.scaling import Measured, fit_line, slope_intervals
from voxelzoo.science.scores import Scores
from voxelzoo.science.splits import HeldOutStories
from voxelzoo.store.store import Store
from voxelzoo_aligners.linear import Lanczos
from voxelzoo_planted import extractor, plugin, truth
from voxelzoo_planted.dataset import Planted
from voxelzoo_regressors import Ridge, Stacking
from zoo_cli import Zoo

SIZES = {"1m": 1e6, "10m": 1e7, "100m": 1e8, "1b": 1e9}


@pytest.fixture
def planted(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """``zoo`` with the plugin installed, and a store."""
    source = Path(plugin.__file__).read_text()
    Site(tmp_path).add("voxelzoo-planted", {"planted": source}, version="0.1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ZOO_STORE", str(tmp_path / "store"))
    return zoo


def run(zoo: Zoo, *arguments: Any) -> list[dict[str, Any]]:
    ended = zoo("run", "--dataset", "planted", "--delays", truth.LAG, "--json", "-q", *arguments)
    assert ended.code == 0, ended.err
    results: list[dict[str, Any]] = ended.json["results"]
    return results


def family(*more: Any) -> list[Any]:
    names = [part for size in SIZES for part in ("--plugin", f"planted-{size}")]
    return [*names, *more]


def test_size_layer_and_ceiling_are_found(planted: Zoo) -> None:
    more = {"stories": "10", "test_stories": "4", "test_trs": "300"}
    told = [part for name in more for part in ("--dataset-option", f"{name}={more[name]}")]
    results = run(planted, *family("--layer", "all", "--keep", "predictions", *told))
    assert len(results) == 12
    data = Planted(**more)
    labels = np.array(data.voxel_labels("s1"))
    for each in results:
        for region in ("early", "late"):
            ceiling = data.ceiling[labels == region].mean()
            r = truth.shown(each["n_parameters"], each["layer"], region) * ceiling
            assert each["by_label"][region]["mean_r"] == pytest.approx(r, abs=0.07), each["model"]
        # The mean ceiling of all voxels, to within what 1,200 rows say.
        assert each["mean_ceiling"] == pytest.approx(data.ceiling.mean(), abs=0.02)
    law = planted("scaling", "size", "--family", "planted", "--layer", 2, "--json").json
    late = next(row for row in law["regions"] if row["region"] == "late")
    expected = truth.SHOWN_PER_DECADE * data.ceiling[labels == "late"].mean()
    assert late["slope"] == pytest.approx(expected, abs=0.02)
    best = planted("scaling", "layers", "--family", "planted", "--json").json["best"]
    found = {(row["model"], row["region"]): row["layer_cv_r"] for row in best}
    may_be = {(row["model"], row["region"]): row["may_be_best"] for row in best}
    for size in SIZES:
        for region, layer in truth.BEST_LAYER.items():
            assert found[f"planted-{size}", region] == layer
            assert layer in may_be[f"planted-{size}", region]
    assert may_be["planted-1b", "late"] == [2]  # an advantage of .1 is beyond doubt


def test_the_plugin_conforms(planted: Zoo) -> None:
    ended = planted("check", "planted")
    assert ended.code == 0, ended.out + ended.err


def test_a_stack_of_two_spaces_is_found(planted: Zoo, tmp_path: Path) -> None:
    spaces = ("--plugin", "planted-text", "--plugin", "planted-speech")
    (result,) = run(planted, *spaces, "--regressor", "stacking")
    data = Planted()
    weights = Store(tmp_path / "store").result(result["key"]).map("weights")
    both = np.array(data.voxel_labels("s1")) == "both"
    error = weights[both, 0] - data.weight
    assert np.abs(error).max() < 0.2
    assert abs(error.mean()) < 0.05
    assert weights[~both, 0].min() > 0.8  # the others follow text alone


# --------------------------------------------------------------------- at their rate, 200 seeds

SEEDS = range(200)


def states_of(name: str, story: Any, layer: int, clock: Any) -> np.ndarray:
    """What the plugin's model gives, on the scanner's clock by the default aligner."""
    (row,) = [each for each in plugin.zoo_register_models() if each.name == f"planted-{name}"]
    target = extractor.Family if row.n_parameters else extractor.Exact
    made = target(ExtractorRequest(model=row))
    (block,) = made.extract(story, [layer])
    return np.asarray(Lanczos().weights(made.times(story), clock.times) @ block.states[0])


FEW = (1.0, 30.0, 1000.0)
"""Penalties: a few do for four features, and cost less."""


def evaluated(data: Planted, *parts: tuple[str, int], make: Any = None) -> Scores:
    """One fit of a layer, or of several spaces, scored on the test stories."""
    stories = HeldOutStories(data.train_stories(), data.test_stories())
    design, responses, widths = {}, {}, {}
    for name in stories.stories:
        story, clock = data.story(name), data.clock(name)
        spaces = {f"{n}:{layer}": states_of(n, story, layer, clock) for n, layer in parts}
        widths = {space: each.shape[1] for space, each in spaces.items()}
        design[name] = np.concatenate(list(spaces.values()), axis=1)
        responses[name] = read_responses(data, "s1", name, clock.n_trs, True)
    fitting = DesignSpec(
        make or partial(Ridge, FEW), (truth.LAG,), spaces=widths if len(parts) > 1 else None
    )
    return evaluate(stories, CLEAN, fitting, design, responses)


def as_held_out(scores: Scores, data: Planted) -> HeldOut:
    parts = {name: (each.prediction, each.response) for name, each in scores.parts.items()}
    return HeldOut(parts, labels=data.voxel_labels("s1"))


def rate(hits: Any) -> float:
    return float(np.mean(hits))


@pytest.mark.slow
def test_the_slope_lies_in_its_interval_at_its_rate() -> None:
    """Of sixteen stories, as the plugin's models, the aligner and the regression leave them."""
    hits, errors = [], []
    for seed in SEEDS:
        data = Planted(seed=str(seed), stories="3", trs="240", test_stories="16", test_trs="24",
                       voxels="8")  # fmt: skip
        late = np.array(data.voxel_labels("s1")) == "late"
        fits = [evaluated(data, (size, 2)) for size in SIZES]
        measured = Measured(
            np.log10(list(SIZES.values())),
            [np.stack([fit.r[late] for fit in fits])],
            [np.array([[part.r[late].mean() for part in fit.parts.values()] for fit in fits])],
        )
        slope = fit_line(measured.x, measured.performance).slope
        interval = slope_intervals(measured, n_draws=400, seed=seed)["stories"]
        assert interval is not None
        expected = truth.SHOWN_PER_DECADE * data.ceiling[late].mean()
        hits.append(interval.slope[0] <= expected <= interval.slope[1])
        errors.append(slope - expected)
    assert abs(np.mean(errors)) < 0.1 * truth.SHOWN_PER_DECADE
    assert at_rate(hits, 0.95), np.mean(hits)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["schoppe", "split-half", "explainable-variance"])
def test_a_ceiling_lies_in_its_interval_at_its_rate(method: str) -> None:
    of_voxel, of_region, errors = [], [], []
    for seed in SEEDS:
        data = Planted(seed=str(seed), stories="1", trs="10", test_stories="1", test_trs="300",
                       voxels="8", repeats="6")  # fmt: skip
        (name,) = data.test_stories()
        heard = np.asarray(data.responses("s1", name), dtype=np.float64)
        regions = {"all": np.ones(24, dtype=bool)}
        found = ceiling_interval([heard], method, regions, seed=seed)
        inside = (found.low <= data.ceiling) & (data.ceiling <= found.high)
        of_voxel.append(inside[0])
        low, high = found.regions["all"]
        of_region.append(low <= data.ceiling.mean() <= high)
        errors.append(estimate_ceiling([heard], method).values.mean() - data.ceiling.mean())
    # Thirty blocks of a concave estimate cover a little less than they say.
    assert abs(np.mean(errors)) < 0.005
    assert rate(of_voxel) >= 0.90, rate(of_voxel)
    assert rate(of_region) >= 0.90, rate(of_region)


@pytest.mark.slow
def test_the_best_layer_is_among_those_that_may_be_at_its_rate() -> None:
    hits: dict[str, list[bool]] = {"early": [], "late": []}
    sizes, named = [], []
    for seed in SEEDS:
        data = Planted(seed=str(seed), voxels="4", stories="3", test_stories="4", test_trs="90")
        fits = {n: [as_held_out(evaluated(data, ("10m", n)), data)] for n in (0, 1, 2)}
        found = layer_sets(fits, n_draws=400, seed=seed)
        for region, best in truth.BEST_LAYER.items():
            hits[region].append(best in found[region].layers)
            sizes.append(len(found[region].layers))
            named.append(found[region].best == best)
    for region, each in hits.items():
        assert rate(each) >= 0.92, (region, rate(each))
    assert np.mean(sizes) < 2.5  # it is of use: layers are left out
    assert rate(named) > 0.8


@pytest.mark.slow
def test_weights_of_a_stack_lie_in_their_intervals_at_their_rate() -> None:
    hits, errors = [], []
    for seed in SEEDS:
        data = Planted(seed=str(seed), voxels="5", stories="4", trs="180", test_stories="1")
        both = np.array(data.voxel_labels("s1")) == "both"
        ridge = Ridge(FEW, scoring="r2")
        make = partial(Stacking, regressor=ridge, draws=200, seed=seed)
        scores = evaluated(data, ("text", 0), ("speech", 0), make=make)
        assert scores.spaces.weights is not None
        assert scores.spaces.weights_interval is not None
        low, high = (each[both, 0] for each in scores.spaces.weights_interval)
        hits.append((low <= data.weight) & (data.weight <= high))
        errors.append(scores.spaces.weights[both, 0] - data.weight)
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03
    middle = np.array(hits)[:, 1:-1]  # a percentile cannot cross the simplex's edge
    assert rate(middle) >= 0.90, rate(middle)
