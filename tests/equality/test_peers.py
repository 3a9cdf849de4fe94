from __future__ import annotations

import pytest

from equality import peers


@pytest.mark.parametrize("cases", [peers.ridge, peers.stacking, peers.statistics])
def test_results_equal_the_peers(cases) -> None:
    pytest.importorskip("cvxopt")
    pytest.importorskip("statsmodels")
    different = [case for case in cases() if not case.largest <= case.allowed]
    assert different == []
