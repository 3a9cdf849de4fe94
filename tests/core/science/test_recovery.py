"""Truth is planted, then estimated: 200 data sets each, side by side as voxels where they can be.

Rates are held to the binomial interval that 200 data sets allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rates import at_rate
from voxelzoo.science.block_draws import block_sums, drawn_r
from voxelzoo.science.bootstrap import r_interval, tails
from voxelzoo.science.ceilings import METHODS, estimate_ceiling
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.scaling import fit_line, slope_map
from voxelzoo.science.significance import permutation_test
from voxelzoo_datasets.simulated import SimulatedDataset
from voxelzoo_regressors import Ridge, Stacking

N = 200
T = 400
DECADES = np.array([0.0, 1.0, 2.0, 3.0])
BASE, SLOPE = 0.2, 0.08

Floats = Any


def family(seed: int) -> list[HeldOut]:
    """Four models whose true r with the response is ``BASE + SLOPE * decade``, N data sets wide.

    A prediction is the response's signal under as much noise as that r leaves room for.
    """
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((T, N))
    response = signal + 0.5 * rng.standard_normal((T, N))
    own = np.sqrt(1 / 1.25)  # r of the signal itself with the response
    models = []
    for decade in DECADES:
        r = (BASE + SLOPE * decade) / own
        noise = np.sqrt(1 / r**2 - 1) * rng.standard_normal((T, N))
        models.append(HeldOut({"story": (signal + noise, response)}))
    return models


def test_each_models_r_lies_in_its_interval() -> None:
    for decade, model in zip(DECADES, family(0), strict=True):
        found = r_interval(model, n_draws=500)
        truth = BASE + SLOPE * decade
        assert at_rate((found.low <= truth) & (truth <= found.high), 0.95)


def test_the_slope_per_decade_lies_in_its_interval() -> None:
    models = family(1)
    r = np.stack([model.r for model in models])
    slopes = slope_map(DECADES, r)
    assert abs(slopes.mean() - SLOPE) < 4 * slopes.std() / np.sqrt(N)
    weights = [np.random.default_rng(2).multinomial(40, np.full(40, 1 / 40), 500).astype(float)]
    draws = [drawn_r(block_sums(m, slice(None), 10), weights, "time", True) for m in models]
    drawn = np.stack([slope_map(DECADES, np.stack(each)) for each in zip(*draws, strict=True)])
    low, high = np.quantile(drawn, tails(0.95, 40), axis=0)
    assert at_rate((low <= SLOPE) & (high >= SLOPE), 0.95)
    # All data sets together are one model's voxels: the family's slope, absolute and in percent.
    line = fit_line(DECADES, r.mean(axis=1))
    assert line.percent == pytest.approx(100 * SLOPE / BASE, rel=0.1)
    assert line.r > 0.99


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if m.needs == "repeats"])
@pytest.mark.parametrize("truth", [0.5, 0.7, 0.95])
def test_a_planted_ceiling_is_found(method: str, truth: float) -> None:
    """The mean estimate over data sets is within .02, or .04 where the floor cuts the low tail."""
    n_repeats = 10
    rng = np.random.default_rng(3)
    noise = np.sqrt(n_repeats * (1 / truth**2 - 1))
    repeats = rng.standard_normal((1, T, N)) + noise * rng.standard_normal((n_repeats, T, N))
    found = estimate_ceiling(repeats, method)
    assert abs(found.values.mean() - truth) < (0.02 if truth > 0.6 else 0.04)


def test_ceilings_of_the_simulated_dataset_are_its_own() -> None:
    data = SimulatedDataset(seconds="300", repeats="10", voxels="200", stories="1")
    heard = np.asarray(data.responses("sub-01", "test01"), dtype=np.float64)
    driven = np.array(data.drivers()) != "noise"
    truth = data.ceiling("sub-01")
    for method in ("schoppe", "split-half", "explainable-variance"):
        error = estimate_ceiling(heard, method).values[driven] - truth[driven]
        assert np.abs(error).max() < 0.1
        assert abs(error.mean()) < 0.01


def test_noise_voxels_of_the_simulated_dataset_are_significant_at_their_rate() -> None:
    """Predictions that do follow the story, of voxels that do not: smooth against white."""
    data = SimulatedDataset(seconds="300", voxels="800", stories="1", subjects="3")
    drivers = np.array(data.drivers())
    p = []
    for subject in data.subjects():
        heard = np.asarray(data.responses(subject, "test01"), dtype=np.float64).mean(axis=0)
        prediction = data.signal(subject, "test01")[:, drivers == "sound"]
        held = HeldOut({"test01": (prediction, heard[:, drivers == "noise"])})
        p.append(permutation_test(held, seed=1).p)
        blocks = permutation_test(held, "blocks", n_permutations=400).p
        assert at_rate(blocks < 0.05, 0.05)
    joined = np.concatenate(p)
    # There are 199 shifts: p below .05 is one of nine values of 200.
    assert at_rate(joined < 0.05, 9 / 200)


def test_a_planted_stack_of_two_spaces_is_found() -> None:
    """Shares a and b of two orthogonal drives make the best weights a^2 and b^2, over their sum.

    Penalties are chosen by R2: chosen by r, which no shrinkage changes where features are white,
    they leave predictions of any size, and weights that make up for it.
    """
    rng = np.random.default_rng(4)
    X = rng.standard_normal((600, 12))
    mixes = rng.standard_normal((2, 6, N)) / np.sqrt(6)
    drives = [X[:, :6] @ mixes[0], X[:, 6:] @ mixes[1]]
    one, other = (drive / drive.std(axis=0) for drive in drives)
    share = np.linspace(0.0, 1.0, N)
    noise = 0.5 * rng.standard_normal((600, N))
    Y = np.sqrt(share) * one + np.sqrt(1 - share) * other + noise
    spaces = {"text": slice(0, 6), "speech": slice(6, 12)}
    model = Stacking(spaces, regressor=Ridge(scoring="r2"))
    model.fit(X, Y, groups=np.repeat(np.arange(6), 100))
    error = model.weights_[:, 0] - share
    assert np.abs(error).max() < 0.12
    assert abs(error.mean()) < 0.01
