"""A run that computes nothing, and a plan, import neither torch nor scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_folder import write_study
from zoo_cli import Zoo

HEAVY = {"torch", "transformers", "sklearn", "scipy.signal", "scipy.stats"}

CODE = """
import sys
from voxelzoo.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sorted(set(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: object) -> tuple[str, set[str]]:
    """What a ``zoo`` of its own process prints, and the heavy modules that it imports."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout, HEAVY & set(ended.stderr.split())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", n_voxels=4)


@pytest.mark.parametrize("regressor", [(), ("--regressor", "ridge:alphas=[1.0,10.0]")])
def test_a_run_that_computes_nothing_is_light(
    zoo: Zoo, tmp_path: Path, study: Path, regressor: tuple[str, ...]
) -> None:
    options = ("--plugin", "word-rate", "--dataset", study, "--store", tmp_path / "store", "--json")
    first = zoo("run", *options, *regressor).json["results"]
    out, heavy = imported("run", *options, *regressor)
    (again,) = json.loads(out)["results"]
    assert again["computed"] is False
    assert again | {"computed": True} == first[0]
    assert heavy == set()


def test_a_plan_is_light(tmp_path: Path, study: Path) -> None:
    out, heavy = imported(
        "plan", "--plugin", "word-rate", "--dataset", study, "--store", tmp_path / "store", "--json"
    )
    assert json.loads(out)["plans"][0]["stories_to_read"] == 3
    assert heavy == set()


def test_what_is_remembered_of_a_regressor_can_be_lost_or_damaged(
    zoo: Zoo, tmp_path: Path, study: Path
) -> None:
    store = tmp_path / "store"
    options = ("run", "--plugin", "word-rate", "--dataset", study, "--store", store, "--json")
    (first,) = zoo(*options).json["results"]
    (memory,) = (store / "regressors").glob("*.json")
    for text in ("{", "[]", '{"parameters": 1}'):
        memory.write_text(text)
        (again,) = zoo(*options).json["results"]
        assert (again["key"], again["computed"]) == (first["key"], False), text
    memory.unlink()
    (again,) = zoo(*options).json["results"]
    assert (again["key"], again["computed"]) == (first["key"], False)


def test_a_wrong_option_is_reported_by_plan_and_run_alike(
    zoo: Zoo, tmp_path: Path, study: Path
) -> None:
    options = ("--plugin", "word-rate", "--dataset", study, "--store", tmp_path / "store")
    for command in ("run", "plan"):
        ended = zoo(command, *options, "--regressor", "ridge:alpha=1")
        assert ended.code == 2
        assert "ridge has no option 'alpha'" in ended.err
    assert not (tmp_path / "store").exists()
