"""Options of a run: one default each, and values that make no sense are refused in one line."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from voxelzoo.api import UsageError, ZooError
from voxelzoo.cli.run import plan, run
from voxelzoo.recipes.schema import Fit
from voxelzoo.runs.options import DEFAULTS, RunOptions


def test_recipes_have_the_same_defaults() -> None:
    fit = Fit()
    for name in Fit.model_fields.keys() & RunOptions.__dataclass_fields__.keys():
        assert getattr(fit, name) == getattr(DEFAULTS, name), name


def test_zoo_run_and_zoo_plan_have_the_same_options() -> None:
    assert inspect.signature(run) == inspect.signature(plan)
    defaults = {name: each.default for name, each in inspect.signature(run).parameters.items()}
    for name in defaults.keys() & RunOptions.__dataclass_fields__.keys() - {"keep"}:
        assert defaults[name] == getattr(DEFAULTS, name), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "dtype 'float8': use float32, bfloat16, float16"),
        ({"keep": ["everything"]}, "keep 'everything': use aligned, states"),
        ({"keep": "states"}, "keep takes a list"),
        ({"subjects": "S1"}, "subjects takes a list"),
        ({"delays": ()}, "delays '': use whole TRs"),
        ({"delays": (1, -1)}, "delays '1,-1': use whole TRs"),
        ({"delays": "8s-2s"}, "delays '8s-2s': use whole TRs"),
        ({"protocol": "dirty"}, "no protocol 'dirty'"),
        ({"folds": 1}, "folds 1: use 2 or more"),
        ({"gap": -1}, "gap -1: use whole TRs"),
        ({"gap": "10 minutes"}, "gap '10 minutes': use whole TRs"),
        ({"seed": -1}, "seed -1"),
        ({"subset_seed": -1}, "subset_seed -1"),
        ({"shift": float("nan")}, "shift nan"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError, match=message) as raised:
        RunOptions(**options)
    assert "\n" not in str(raised.value)


def test_one_that_is_only_known_to_be_wrong_with_data_is_not() -> None:
    assert RunOptions(subjects=["nobody"], train_stories=1000).train_stories == 1000
    assert issubclass(UsageError, ZooError)


def test_options_are_light_to_import() -> None:
    code = (
        "import sys; import voxelzoo.runs.options; "
        "sys.exit(len({'numpy', 'scipy', 'torch', 'zarr'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
