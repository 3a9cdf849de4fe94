from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from planted_results import LABELS, SLOPE, N, put
from voxelzoo.api import NotFoundError, UsageError
from voxelzoo.reports.scaling import scaling
from voxelzoo.store.store import open_store
from zoo_cli import Zoo


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family of four sizes that gains ``SLOPE`` a decade, layer 1 best."""
    root = tmp_path_factory.mktemp("family") / "store"
    for i, model in enumerate(N):
        put(root, model, 0.2 + SLOPE * i)
    return root


@pytest.fixture
def store(family: Path, tmp_path: Path) -> Path:
    """The family, in a store that a test may add to."""
    return Path(shutil.copytree(family, tmp_path / "store"))


def read(zoo: Zoo, *arguments: object, code: int = 0) -> Any:
    draws = () if arguments[0] == "layers" else ("--draws", "200")
    ended = zoo("scaling", *arguments, *draws, "--json")
    assert ended.code == code, ended.err
    return ended.json if code == 0 else ended.err


def test_the_planted_slope_is_found_at_the_best_layer(zoo: Zoo, store: Path) -> None:
    law = read(zoo, "size", "--family", "opt", "--store", store)
    assert [point["layer"] for point in law["points"]] == [1, 1, 1, 1]
    assert {p["layer_chosen_by"] for p in law["points"]} == {"best cv_r within training data"}
    slope = law["slope"]
    assert slope["per_decade"] == pytest.approx(SLOPE, abs=1e-4)
    # The voxel that is undefined counts nowhere.
    first = law["points"][0]["r"]
    assert slope["percent_per_decade"] == pytest.approx(100 * SLOPE / first, rel=1e-3)
    assert slope["r"] == pytest.approx(1)
    assert law["n_undefined_voxels"] == [1, 1, 1]
    for source in ("stories", "voxels", "subjects", "all"):
        low, high = slope["intervals"][source]["per_decade"]
        assert low - 1e-3 <= SLOPE <= high + 1e-3
    assert slope["intervals"]["subsets"] is None
    assert law["forms"][0]["form"] in ("log-linear", "plateau")
    rows = {row["region"]: row for row in law["regions"]}
    assert set(rows) == {"all voxels", *LABELS}
    assert rows["hearing"]["gain_per_doubling"] == pytest.approx(SLOPE * np.log10(2), abs=1e-4)
    assert rows["hearing"]["percent"] < rows["thinking"]["percent"]


def test_gains_of_each_voxel_are_written_where_the_voxels_are(
    zoo: Zoo, store: Path, tmp_path: Path
) -> None:
    read(zoo, "size", "--store", store, "--out", tmp_path / "gains.npz")
    gains = np.load(tmp_path / "gains.npz")["S2"]
    assert gains.shape == (60,)
    np.testing.assert_allclose(gains[:-1], SLOPE * np.log10(2), atol=1e-6)
    assert np.isnan(gains[-1])


def test_a_layer_can_be_asked_for_or_chosen_by_held_out_r(zoo: Zoo, store: Path) -> None:
    fixed = read(zoo, "size", "--layer", "2", "--store", store)
    assert [point["layer"] for point in fixed["points"]] == [2] * 4
    assert fixed["points"][0]["layer_chosen_by"] == "as asked"
    by_r = read(zoo, "size", "--by", "r", "--store", store)
    assert "optimistic" in by_r["points"][0]["layer_chosen_by"]


def test_baselines_and_untrained_models_are_controls(zoo: Zoo, store: Path) -> None:
    put(store, "word-rate", 0.15, family="baselines", layers=(0,), best=0)
    put(store, "opt-m", 0.1, untrained=True)
    law = read(zoo, "size", "--family", "opt", "--store", store)
    controls = {row["control"]: row for row in law["controls"]}
    assert set(controls) == {"word-rate", "opt-m, untrained"}
    assert controls["word-rate"]["r"] < law["points"][0]["r"]
    assert law["slope"]["per_decade"] == pytest.approx(SLOPE, abs=1e-4)


def test_a_control_is_like_the_curve_or_absent(zoo: Zoo, store: Path) -> None:
    put(store, "word-rate", 0.15, family="baselines", layers=(0,), best=0, subjects=("S1",))
    put(store, "position", 0.15, family="baselines", layers=(0,), best=0, n_stories=3)
    put(store, "opt-m", 0.1, untrained=True)
    # Its last layer shines on the test stories only.
    put(store, "opt-m", 0.3, untrained=True, layers=(3,), best=3, mean_cv_r=0.0)
    law = read(zoo, "size", "--family", "opt", "--store", store)
    assert [row["control"] for row in law["controls"]] == ["opt-m, untrained"]
    assert law["controls"][0]["layer"] == 1
    assert law["controls"][0]["layer_chosen_by"] == "best cv_r within training data"


WIDTH = {"regressor_options": {"width": 64, "reduce": "random"}}


def test_models_cut_to_one_width_have_a_curve_of_their_own(zoo: Zoo, store: Path) -> None:
    before = read(zoo, "size", "--family", "opt", "--store", store)
    for i, model in enumerate(N):
        put(store, model, 0.15 + 0.01 * i, **WIDTH)
        put(store, model, 0.1, untrained=True)
    law = read(zoo, "size", "--family", "opt", "--store", store)
    assert law["points"] == before["points"]
    assert law["slope"] == before["slope"]
    slopes = {row["control"]: row for row in law["control_slopes"]}
    assert set(slopes) == {"random to 64", "untrained"}
    assert slopes["random to 64"]["slope"] == pytest.approx(0.01, abs=1e-4)
    assert slopes["random to 64"]["low"] <= 0.0101
    assert slopes["untrained"]["slope"] == pytest.approx(0, abs=1e-4)
    rows = {row["control"]: row for row in law["controls"]}
    assert rows["opt-l, random to 64"]["r"] == pytest.approx(0.17, abs=0.01)
    assert rows["opt-l, random to 64"]["parameters"] == 10**10
    # Alone in a store they are the curve, and say what they are by what they lack.
    alone = store.parent / "alone"
    for i, model in enumerate(N):
        put(alone, model, 0.15 + 0.01 * i, **WIDTH)
    found = read(zoo, "size", "--family", "opt", "--store", alone)
    assert found["slope"]["per_decade"] == pytest.approx(0.01, abs=1e-4)


def test_seeds_of_a_projection_are_one_curve_of_their_mean(zoo: Zoo, store: Path) -> None:
    drawn = {seed: {"regressor_options": WIDTH["regressor_options"] | {"seed": seed}}
             for seed in (0, 1, 2)}  # fmt: skip
    for i, model in enumerate(N):
        for seed, options in drawn.items():
            if seed == 0 or model != "opt-l":  # one model has fewer of them, and weighs no less
                put(store, model, 0.1 + 0.01 * i * (1 + seed), **options)
    law = read(zoo, "size", "--family", "opt", "--store", store)
    (row,) = law["control_slopes"]
    means = [np.mean([0.01 * i * (1 + s) for s in drawn if s == 0 or m != "opt-l"])
             for i, m in enumerate(N)]  # fmt: skip
    assert row["control"] == "random to 64"
    expected = np.polyfit(np.log10(list(N.values())), means, 1)[0]
    assert row["slope"] == pytest.approx(expected, abs=1e-4)
    seeds = [each["projection_seed"] for each in law["controls"] if "opt-s," in each["control"]]
    assert seeds == [0, 1, 2]


def test_an_absent_control_is_named_with_the_command_that_makes_it(zoo: Zoo, store: Path) -> None:
    put(store, "position", 0.05, family="baselines", layers=(0,), best=0)
    put(store, "opt-m", 0.1, untrained=True)
    law = read(zoo, "size", "--family", "opt", "--store", store)
    absent = {row["control"]: row["command"] for row in law["absent_controls"]}
    assert set(absent) == {"untrained", "width", "word-rate", "autocorrelation"}
    data = "--dataset planted --subject S1 --subject S2 --subject S3 --delays 1,2"
    assert absent["word-rate"] == f"zoo run --plugin word-rate {data}"
    others = "--plugin opt-s --plugin opt-l --plugin opt-xl"
    assert absent["untrained"] == f"zoo run {others} --untrained --layer 1 {data}"
    cut = data.replace("--delays", "--regressor ridge:width=W,reduce=pca --delays")
    assert f"--plugin opt-xl --layer 1 {cut}, W being" in absent["width"]
    random = store.parent / "random"
    for i, model in enumerate(N):
        put(random, model, 0.1 + 0.01 * i, untrained=True)
    found = read(zoo, "size", "--family", "opt", "--untrained", "--store", random)
    of_random = {row["control"]: row["command"] for row in found["absent_controls"]}
    assert "untrained" not in of_random
    assert "--untrained --layer 1" in of_random["width"]
    said = zoo("scaling", "size", "--family", "opt", "--store", store).err
    assert f"zoo: no control 'word-rate': {absent['word-rate']}" in said


def test_controls_of_data_are_trained_on_the_same_stories(zoo: Zoo, store: Path) -> None:
    baseline: dict[str, Any] = {"family": "baselines", "layers": (0,), "best": 0}
    for n in (1, 3):
        for seed in range(2):
            put(store, "opt-s", 0.1 + 0.1 * np.log10(n), n_stories=n, subset_seed=seed)
            put(store, "word-rate", 0.1 + 0.02 * np.log10(n), n_stories=n, subset_seed=seed,
                **baseline)  # fmt: skip
            put(store, "opt-s", 0.05, n_stories=n, subset_seed=seed, **WIDTH)
    put(store, "word-rate", 0.1 + 0.02, **baseline)
    put(store, "position", 0.02, n_stories=7, subset_seed=0, **baseline)  # of no point
    law = read(zoo, "data", "--model", "opt-s", "--store", store)
    slopes = {row["control"]: row for row in law["control_slopes"]}
    assert set(slopes) == {"word-rate", "opt-s, random to 64"}
    assert slopes["word-rate"]["slope"] == pytest.approx(0.02, abs=1e-4)
    assert slopes["word-rate"]["n_points"] == 5
    assert [row["n_subsets"] for row in law["amounts"]] == [2, 2, 1]
    absent = {row["control"]: row for row in law["absent_controls"]}
    assert set(absent) == {"untrained", "width", "position", "autocorrelation"}
    # A control that some training sets have is absent from the others: here, from all stories.
    assert absent["width"]["more_commands"] == []
    assert "--subset-seed" not in absent["width"]["command"]
    commands = [absent["position"]["command"], *absent["position"]["more_commands"]]
    assert sum("--train-stories 3 --subset-seed 1" in command for command in commands) == 1
    assert len(commands) == 5
    said = zoo("scaling", "data", "--model", "opt-s", "--store", store).err
    assert "(and for 4 more training sets: see --json)" in said
    command = law["absent_controls"][0]["command"]
    assert command.startswith("zoo run --plugin opt-s --untrained --layer 1")
    found = read(zoo, "grid", "--model", "opt-s", "--model", "opt-m", "--store", store, code=6)
    assert "two amounts of data" in found


def test_grids_and_layers_have_controls_too(zoo: Zoo, tmp_path: Path) -> None:
    store = tmp_path / "grid"
    for i, model in enumerate(N):
        for n in (1, 10):
            put(store, model, 0.2 + 0.05 * np.log10(n) + 0.01 * i, n_stories=n)
            put(store, model, 0.1 + 0.01 * np.log10(n), n_stories=n, untrained=True)
    found = read(zoo, "grid", "--family", "opt", "--store", store)
    slopes = {row["control"]: row["slope"] for row in found["control_slopes"]}
    assert slopes == pytest.approx({f"{model}, untrained": 0.01 for model in N}, abs=1e-4)
    layers = tmp_path / "layers"
    put(layers, "opt-s", 0.2)
    put(layers, "opt-s", 0.1, untrained=True, best=2)
    put(layers, "word-rate", 0.05, family="baselines", layers=(0,), best=0)
    found = read(zoo, "layers", "--model", "opt-s", "--store", layers)
    rows = [(row["control"], row["layer"]) for row in found["controls"]]
    assert rows == [*(("opt-s, untrained", n) for n in (0, 1, 2)), ("word-rate", 0)]
    assert max(found["controls"], key=lambda row: row["r"])["layer"] == 2


def test_a_layer_without_a_score_does_not_hide_the_best(zoo: Zoo, store: Path) -> None:
    put(store, "opt-s", 0.9, layers=(0,), best=0, mean_r=None)
    rows = zoo("scaling", "layers", "--model", "opt-s", "--store", store, "--json").json["layers"]
    assert [row["best_r"] for row in rows] == [False, True, False]


def test_more_training_stories_and_their_subsets(zoo: Zoo, store: Path) -> None:
    for n in (1, 3):
        for seed in range(3):
            put(store, "opt-s", 0.1 + 0.1 * np.log10(n) + 0.005 * (seed - 1),
                n_stories=n, subset_seed=seed)  # fmt: skip
    law = read(zoo, "data", "--model", "opt-s", "--store", store)
    assert [point["stories"] for point in law["points"]] == [1] * 3 + [3] * 3 + [10]
    assert law["slope"]["per_decade"] == pytest.approx(0.1, abs=0.005)
    low, high = law["slope"]["intervals"]["subsets"]["per_decade"]
    assert low < 0.1 < high
    hours = read(zoo, "data", "--model", "opt-s", "--against", "hours", "--store", store)
    assert hours["slope"]["per_decade"] == pytest.approx(law["slope"]["per_decade"])


def test_data_by_size_finds_the_planted_interaction(zoo: Zoo, tmp_path: Path) -> None:
    store = tmp_path / "grid"
    for model, n in N.items():
        for n_stories in (1, 10, 100):
            size, data = np.log10(n) - 9.5, np.log10(n_stories) - 1
            base = 0.3 + 0.02 * size + 0.05 * data + 0.01 * size * data
            put(store, model, base, layers=(1,), n_stories=n_stories)
    found = read(zoo, "grid", "--store", store)
    planted = {"size": 0.02, "data": 0.05, "interaction": 0.01}
    joint = found["interaction"]
    assert {name: joint[name] for name in planted} == pytest.approx(planted, abs=1e-4)
    assert joint["r"] == pytest.approx(1)
    for source in ("stories", "voxels", "subjects", "all"):
        for name, truth in planted.items():
            low, high = joint["intervals"][source][name]
            assert low - 1e-4 <= truth <= high + 1e-4
    assert joint["intervals"]["subsets"] is None
    slopes = [row["slope"] for row in found["models"]]
    assert slopes == pytest.approx([0.035, 0.045, 0.055, 0.065], abs=1e-4)


def test_layer_curves_mark_the_best(zoo: Zoo, store: Path) -> None:
    rows = read(zoo, "layers", "--model", "opt-m", "--store", store)["layers"]
    assert [row["layer"] for row in rows] == [0, 1, 2]
    assert [row["best_r"] for row in rows] == [False, True, False]
    assert rows[1]["se"] == pytest.approx(0.01 / np.sqrt(3), rel=0.05)
    assert rows[1]["depth"] == 0.5


@pytest.mark.parametrize(
    ("changed", "arguments", "said"),
    [
        ({"protocol": "antonello2023"}, ("size",), "differ in protocol"),
        ({"dataset": "other"}, ("size",), "choose with --dataset"),
        ({"family": "llama"}, ("size",), "choose one with --family"),
        ({"n_stories": 3}, ("size",), "zoo scaling grid"),
        ({}, ("size", "--family", "bert"), "no such result"),
        ({}, ("size", "--layer", "9"), "no result of layer 9"),
        (
            {"regressor_options": {"scoring": "r2"}},
            ("size", "--family", "opt"),
            "differ in regressor_options (none, scoring=r2)",
        ),
        ({}, ("data", "--model", "opt-s"), "two sizes or more, and there is only one"),
        ({}, ("data",), "choose it with --model"),
        ({}, ("data", "--model", "opt-s", "--against", "words"), "use stories or hours"),
        ({}, ("size", "--draws", "0"), "draws 0: use 1 or more"),
        ({}, ("size", "--out", "gains.csv"), "must end in .npz"),
        ({}, ("grid",), "two amounts of data"),
        ({}, ("size", "--by", "eye"), "by 'eye': use auto, cv_r or r"),
    ],
)
def test_why_results_are_no_curve_is_one_clear_line(
    zoo: Zoo, store: Path, changed: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    if changed:
        put(store, "opt-s", 0.2, **changed)
    ended = zoo("scaling", *arguments, "--store", store)
    assert ended.code != 0
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


def test_subjects_without_results_of_a_model_are_skipped_and_named(zoo: Zoo, store: Path) -> None:
    put(store, "opt-xxl", 0.4, subjects=("S1", "S2"), n_parameters=10**12)
    ended = zoo("scaling", "size", "--store", store, "--json")
    assert ended.json["subjects"] == ["S1", "S2"]
    assert "zoo: subject S3 skipped" in ended.err


def test_results_of_runs_are_points_of_a_curve(zoo: Zoo) -> None:
    for n in (1, 2):
        ended = zoo("run", "-p", "word-rate", "--train-stories", n, "--quiet")
        assert ended.code == 0, ended.err
    law = read(zoo, "data", "--model", "word-rate")
    assert [point["stories"] for point in law["points"]] == [1, 2]
    assert law["subjects"] == ["sub-01", "sub-02"]


# ------------------------------------------------------------------------------------- from Python


def test_the_function_gives_what_the_command_prints(zoo: Zoo, store: Path) -> None:
    for kind, options in (("size", {}), ("layers", {}), ("grid", {}), ("data", {})):
        if kind == "grid":
            for model in N:
                put(store, model, 0.3, n_stories=100)
        arguments = ("--model", "opt-s") if kind == "data" else ("--family", "opt")
        options = {"models": ["opt-s"]} if kind == "data" else {"family": "opt"}
        if kind == "size":
            assert read(zoo, kind, *arguments, "--store", store)
        printed = read(zoo, kind, *arguments, "--store", store)
        printed.pop("schema_version")
        draws = {} if kind == "layers" else {"n_draws": 200}
        assert scaling(store, kind, **options, **draws).record() == printed  # type: ignore[call-overload]


def test_a_law_is_an_object_with_tables_and_maps(store: Path) -> None:
    law = scaling(open_store(store), "size", family="opt", n_draws=50)
    assert law.line.slope == pytest.approx(SLOPE, abs=1e-4)
    assert law.maps.keys() == {"S1", "S2", "S3"}
    assert np.nanmedian(law.maps["S1"]) == pytest.approx(SLOPE * np.log10(2), abs=1e-6)
    points = law.table("points")
    assert list(points["model"]) == list(N)
    assert list(law.table("regions")["region"]) == ["all voxels", *LABELS]
    assert "<table" in law._repr_html_()
    with pytest.raises(NotFoundError, match="no table 'point'; there are points, forms"):
        law.table("point")


def test_options_are_checked_before_a_store_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="models takes a list, not the string 'opt-s'"):
        scaling(tmp_path, models="opt-s")
    with pytest.raises(UsageError, match="kind 'depth': use size, data, grid or layers"):
        scaling(tmp_path, "depth")  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", ["size", "layers"])
def test_a_piped_curve_is_one_table(zoo: Zoo, tmp_path: Path, kind: str) -> None:
    for model in N:
        put(tmp_path, model, 0.1 + 0.02 * N[model] / 10**11)
    options = ("scaling", kind, "--family", "opt", "--store", tmp_path)
    curve = zoo(*options, "--json").json
    ended = zoo(*options)
    rows = [line.split("\t") for line in ended.out.splitlines()]
    first = "points" if kind == "size" else "layers"
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 1 + len(curve[first])
    assert f"this is the table {first}" in ended.err
    named = "slope" if kind == "size" else "best"
    own = zoo(*options, "--table", named)
    lines = [line.split("\t") for line in own.out.splitlines()]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines != rows
    if kind == "size":
        values = dict(zip(lines[0], lines[1], strict=True))
        assert float(values["per_decade"]) == curve["slope"]["per_decade"]
    assert zoo(*options, "--table", "pionts").code == 2
