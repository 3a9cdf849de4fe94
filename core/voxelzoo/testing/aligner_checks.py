"""Checks of an aligner, built with its default parameters."""

from __future__ import annotations

import pickle

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from voxelzoo.api import Aligner, AlignerSpec
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import load_target
from voxelzoo.testing.report import Named


def aligner_checks(registered: Registered[AlignerSpec]) -> list[Named]:
    """Checks of an aligner: 20 scan times 2 s apart, states at random times."""
    scans = np.arange(1.0, 41.0, 2.0)
    times = np.sort(np.random.default_rng(0).uniform(0, 40, 150))

    def make() -> Aligner:
        aligner: Aligner = load_target(registered)()
        return aligner

    def matrix(at: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = scipy.sparse.csc_array(make().weights(at, scans))  # of dense or sparse
        return np.asarray(weights.toarray())

    def protocol() -> None:
        assert isinstance(make(), Aligner), "methods of voxelzoo.api.Aligner are missing"
        pickle.dumps(dict(make().fingerprint()))

    def shape() -> None:
        weights = matrix(times)
        assert weights.shape == (20, 150), f"weights have shape {weights.shape}, expected (20, 150)"
        assert np.isfinite(weights).all(), "weights are not finite"

    def local() -> None:
        weights = matrix(np.array([20.2]))[:, 0]
        assert abs(int(np.abs(weights).argmax()) - 10) <= 1, "a state weighs most far from its time"

    def shifts() -> None:
        early, late = matrix(np.array([15.3]))[:, 0], matrix(np.array([17.3]))[:, 0]
        assert np.allclose(early[:-1], late[1:]), "a shift by a TR is not a shift by a row"

    return [
        ("keeps the protocol", protocol),
        ("gives (TR, time), finite", shape),
        ("a state weighs most at its own time", local),
        ("a shift by a TR is a shift by a row", shifts),
    ]
