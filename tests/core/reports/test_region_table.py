from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from result_records import make_record
from voxelzoo.api import DataError, NotFoundError
from voxelzoo.reports import significance
from voxelzoo.reports.options import SignificanceOptions
from voxelzoo.reports.region_table import by_story
from voxelzoo.science.ceilings import inter_subject_ceiling
from voxelzoo.science.held_out import HeldOut
from voxelzoo.store.store import Store
from zoo_cli import Zoo

SHORT = ("--permutations", "100", "--json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two baselines on both simulated subjects, and one result without predictions."""
    import os

    from voxelzoo.cli.application import app

    root = tmp_path_factory.mktemp("tested") / "store"
    os.environ["HF_HUB_OFFLINE"] = "1"
    common = ["run", "--store", str(root), "--quiet", "--dataset-option", "seconds=200"]
    for arguments in (
        ["-p", "mel-spectrogram", "-p", "word-rate", "--keep", "predictions"],
        ["-p", "word-length", "--subject", "sub-01"],
    ):
        app([*common, *arguments], standalone_mode=False)
    return root


def key(store: Path, model: str, subject: str = "sub-01") -> str:
    (found,) = (
        result.key
        for result in Store(store).results()
        if (result.record.model, result.record.subject) == (model, subject)
    )
    return found[:12]


def test_a_baseline_is_above_chance_where_its_feature_drives(zoo: Zoo, store: Path) -> None:
    ended = zoo("test", key(store, "mel-spectrogram"), "--store", store, *SHORT)
    assert ended.code == 0, ended.err
    (test,) = ended.json["tests"]
    rows = {row["region"]: row for row in test["regions"]}
    sound, noise = rows["sound"], rows["noise"]
    record = Store(store).result(key(store, "mel-spectrogram")).record
    assert sound["r"] == pytest.approx(record.scores.by_region["sound"].mean_r, abs=1e-5)
    assert rows["all voxels"]["ceiling"] == pytest.approx(record.scores.mean_ceiling, abs=1e-5)
    assert sound["q"] < 0.05
    assert sound["share_significant"] > 0.8
    assert noise["share_significant"] < 0.2
    # Familywise error is stricter than the false discovery rate, and this signal passes it.
    assert 0.5 < sound["share_fwer"] <= sound["share_significant"]
    assert noise["share_fwer"] <= noise["share_significant"]
    assert noise["p"] > 0.02
    # There is only one test story, so that every shift is used.
    assert test["notes"][0] == (
        "132 permutations (circular-shift): the smallest possible p is 0.0075"
    )
    assert sound["r_low"] < sound["r"] < sound["r_high"]
    assert sound["headroom"] == pytest.approx(sound["ceiling"] - sound["r"], abs=1e-5)
    assert noise["headroom"] > sound["headroom"]


def test_two_results_are_paired_voxel_by_voxel(zoo: Zoo, store: Path, tmp_path: Path) -> None:
    keys = key(store, "mel-spectrogram"), key(store, "word-rate")
    block = ("--block", "10")  # blocks of 20 s would be nine, too few to swap
    ended = zoo("test", *keys, "--store", store, "--out", tmp_path / "maps.npz", *block, *SHORT)
    assert ended.code == 0, ended.err
    rows = {row["region"]: row for row in ended.json["tests"][0]["regions"]}
    assert rows["sound"]["difference"] > 0.3
    assert rows["sound"]["share_first_better"] > 0.8
    assert rows["word-rate"]["share_second_better"] > 0.8
    assert rows["word-rate"]["difference_high"] < 0
    maps = np.load(tmp_path / "maps.npz")
    r = [Store(store).result(each).map("r") for each in keys]
    np.testing.assert_allclose(maps["sub-01/difference"], r[0] - r[1], atol=1e-5)


def test_headroom_below_what_subjects_share(zoo: Zoo, store: Path, tmp_path: Path) -> None:
    one, out = key(store, "mel-spectrogram"), tmp_path / "maps.npz"
    ended = zoo("test", one, "--ceiling", "inter-subject", "--store", store, "--out", out, *SHORT)
    assert ended.code == 0, ended.err
    (test,) = ended.json["tests"]
    assert "inter-subject (r with the mean of sub-02): 0 voxels undefined" in test["notes"][1]
    results = [
        Store(store).result(key(store, "mel-spectrogram", subject))
        for subject in ("sub-01", "sub-02")
    ]
    assert results[0].stories == results[1].stories == ("test01",)
    own, other = (each.story("test01").response for each in results)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(own.T, other.T, strict=True)]
    maps = np.load(out)
    np.testing.assert_allclose(maps["sub-01/ceiling"], expected, atol=1e-5)
    np.testing.assert_allclose(maps["sub-01/headroom"], expected - maps["sub-01/r"], atol=1e-5)
    rows = {row["region"]: row for row in test["regions"]}
    labels = np.array(results[0].labels)
    for region in ("sound", "noise"):
        of_region = maps["sub-01/headroom"][labels == region].mean()
        assert rows[region]["headroom"] == pytest.approx(of_region, abs=1e-5)


def test_all_subjects_are_found_and_tested_together(zoo: Zoo, store: Path) -> None:
    ended = zoo("test", key(store, "word-rate"), "--all-subjects", "--store", store, *SHORT)
    assert ended.code == 0, ended.err
    assert [test["subject"] for test in ended.json["tests"]] == ["sub-01", "sub-02"]
    over = {row["region"]: row for row in ended.json["across_subjects"]}
    assert over["word-rate"]["n_subjects"] == 2
    assert over["word-rate"]["p"] == 0.5  # the least that two subjects can give
    options = [each for each in SHORT if each != "--json"]
    piped = zoo("test", key(store, "word-rate"), "--all-subjects", "--store", store, *options)
    head, *lines = [line.split("\t") for line in piped.out.splitlines()]
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert {row["subject"] for row in rows} == {"sub-01", "sub-02"}
    for row in rows:
        assert float(row["group_r"]) == over[row["region"]]["r"]
        assert float(row["group_p"]) == over[row["region"]]["p"]


def test_each_story_is_scored_by_itself_and_all_together() -> None:
    rng = np.random.default_rng(3)
    y = {name: rng.standard_normal((n, 3)) for name, n in (("one", 60), ("two", 40))}
    x = {name: each + rng.standard_normal(each.shape) for name, each in y.items()}
    y["two"][:, 2] = 0.0  # undefined there, and not where both are joined
    held = HeldOut({name: (x[name], y[name]) for name in y}, labels=["left", "left", "right"])
    found = by_story(held, SignificanceOptions(n_draws=50))
    rows = {(row["story"], row["region"]): row for row in found.rows}
    ends = {"one": ["one"], "two": ["two"], "together": ["one", "two"]}
    for story, names in ends.items():
        prediction, response = (np.concatenate([side[n] for n in names]) for side in (x, y))
        r, r2 = [], []
        for voxel in (0, 1):
            a, b = prediction[:, voxel], response[:, voxel]
            r.append(np.corrcoef(a, b)[0, 1])
            r2.append(1 - ((b - a) ** 2).sum() / ((b - b.mean()) ** 2).sum())
        row = rows[story, "left"]
        assert row["r"] == pytest.approx(np.mean(r), abs=1e-5)
        assert row["signed_r2"] == pytest.approx(np.mean(np.abs(r) * r), abs=1e-5)
        assert row["r2"] == pytest.approx(np.mean(r2), abs=1e-5)
        assert row["r_low"] < row["r"] < row["r_high"]
    assert rows["two", "right"]["r"] is None
    assert [rows[s, "right"]["n_undefined"] for s in ends] == [0, 1, 0]


def test_stories_are_shown_with_their_scores(zoo: Zoo, store: Path) -> None:
    one = key(store, "mel-spectrogram")
    ended = zoo("test", one, "--by-story", "--store", store, *SHORT)
    assert ended.code == 0, ended.err
    rows = {(r["story"], r["region"]): r for r in ended.json["tests"][0]["regions"]}
    record = Store(store).result(one).record
    together = rows["together", "all voxels"]
    assert together["r"] == pytest.approx(record.scores.mean_r, abs=1e-5)
    assert together["signed_r2"] == pytest.approx(record.scores.mean_signed_r2, abs=1e-5)
    assert rows["test01", "sound"]["r2"] > 0.05 > rows["test01", "noise"]["r2"]


def test_the_start_of_a_story_can_be_left_out(zoo: Zoo, store: Path) -> None:
    one = key(store, "mel-spectrogram")
    ended = zoo("test", one, "--without-first", "20", "--store", store, "--json")
    assert ended.code == 0, ended.err
    row = ended.json["tests"][0]["regions"][0]
    story = Store(store).result(one).story("test01")
    x, y = story.prediction[20:], story.response[20:]
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)])
    assert row["r_without_start"] == pytest.approx(expected, abs=1e-5)
    assert row["difference"] == pytest.approx(row["r"] - row["r_without_start"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("word-length",), "zoo run --keep predictions"),
        (("word-rate", "--over", "stories"), "two held-out stories"),
        (("word-rate", "--null", "shuffle"), "circular-shift or blocks"),
        (("word-rate", "--ceiling", "top"), "there are schoppe"),
        (("word-length", "--ceiling", "inter-subject"), "zoo run --keep predictions"),
        (("word-rate", "--without-first", "131"), "cannot drop 131 TRs"),
        (("word-rate", "--by-story", "--all-subjects"), "--by-story is for one result"),
        (("word-rate", "--out", "maps.csv"), "must end in .npz"),
        (("word-rate", "--permutations", "10"), "permutations 10: use 20 or more"),
        (("word-rate", "--without-first", "5", "--all-subjects"), "--without-first is for one"),
    ],
)
def test_why_a_result_cannot_be_tested_is_one_clear_line(
    zoo: Zoo, store: Path, arguments: tuple[str, ...], said: str
) -> None:
    model, *options = arguments
    ended = zoo("test", key(store, model), *options, "--store", store)
    assert ended.code != 0
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


def test_results_of_different_subjects_are_not_paired(zoo: Zoo, store: Path) -> None:
    keys = key(store, "word-rate"), key(store, "word-rate", "sub-02")
    ended = zoo("test", *keys, "--store", store)
    assert ended.code == 2
    assert "cannot be paired" in ended.err


def test_a_key_that_begins_several_results_is_refused(zoo: Zoo, store: Path) -> None:
    with pytest.raises(NotFoundError, match="begin with key ''"):
        Store(store).result("")


def test_a_mean_over_subjects_is_not_counted_as_a_subject(zoo: Zoo, tmp_path: Path) -> None:
    """Neither to a test over subjects, nor as one of the others in a ceiling."""
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((60, 2))
    heard = {f"s{i}": shared + rng.standard_normal(shared.shape) for i in (1, 2, 3)}
    heard["group"] = np.mean(list(heard.values()), axis=0)
    for subject, responses in heard.items():
        kept = Store(tmp_path).put(
            "results",
            {"responses": subject},
            {"story/a/prediction": shared, "story/a/response": responses},
            make_record(
                subject=subject, is_average=subject == "group", n_voxels=2, test_stories=("a",)
            ).to_json(),
        )
    options = ("--ceiling", "inter-subject", "--store", tmp_path)
    refused = zoo("test", kept.key, *options)
    assert refused.code == 2
    assert "'group' is a mean over subjects" in refused.err
    ended = zoo("test", kept.key, "--all-subjects", *options, *SHORT)
    assert ended.code == 0, ended.err
    assert [test["subject"] for test in ended.json["tests"]] == ["s1", "s2", "s3"]
    assert ended.json["across_subjects"][0]["n_subjects"] == 3
    assert "mean of s2 and s3)" in ended.json["tests"][0]["notes"][1]


@pytest.mark.parametrize("joined", [True, False])
def test_inter_subject_ceiling_is_scored_as_r_is(joined: bool) -> None:
    rng = np.random.default_rng(0)
    shared = {name: rng.standard_normal((n, 4)) for name, n in (("a", 40), ("b", 30))}
    heard = [
        {name: each + rng.standard_normal(each.shape) for name, each in shared.items()}
        for _ in range(3)
    ]
    heard[1]["a"][:, 2] = np.nan  # not defined in one of the others: the rest remain
    for responses in heard[1:]:
        responses["b"][:, 3] = 1.0  # constant in all others
    own, *others = heard
    found = inter_subject_ceiling(
        own, joined, {f"s{i}": lambda each=each: each for i, each in enumerate(others)}
    )
    rows = [["a", "b"]] if joined else [["a"], ["b"]]
    for voxel in (0, 1):
        r = []
        for names in rows:
            mine, *theirs = (np.concatenate([each[n][:, voxel] for n in names]) for each in heard)
            mean = np.mean([(x - x.mean()) / x.std() for x in theirs], axis=0)
            r.append(np.corrcoef(mine, mean)[0, 1])
        assert found.values[voxel] == pytest.approx(np.mean(r))
    assert np.isfinite(found.values[2])
    assert found.n_undefined == (0 if joined else 1)


def test_subjects_whose_voxels_do_not_correspond_have_no_shared_ceiling() -> None:
    own = {"a": np.ones((9, 4))}
    with pytest.raises(DataError, match="none in 's2'"):
        inter_subject_ceiling(own, True, {"s2": lambda: {"b": np.ones((9, 4))}})
    with pytest.raises(DataError, match=r"\(9, 5\) in 's2'"):
        inter_subject_ceiling(own, True, {"s2": lambda: {"a": np.ones((9, 5))}})
    with pytest.raises(DataError, match="at least two subjects"):
        inter_subject_ceiling(own, True, {})


# ------------------------------------------------------------------------------------- from Python


def test_the_function_gives_what_the_command_prints(zoo: Zoo, store: Path) -> None:
    keys = key(store, "mel-spectrogram"), key(store, "word-rate")
    printed = zoo("test", *keys, "--store", store, "--all-subjects", *SHORT).json
    printed.pop("schema_version")
    report = significance.test(store, *keys, all_subjects=True, n_permutations=100)
    assert report.record() == printed
    assert report.maps.keys() >= {"sub-01/difference", "sub-02/difference"}
    regions = report.table("regions")
    assert list(regions["subject"].unique()) == ["sub-01", "sub-02"]
    assert report.table("across_subjects")["n_subjects"].eq(2).all()
    assert report.notes == ["100 swaps of blocks of 14 TRs, two-sided"]  # 20 s at 1.5 s


def test_options_can_be_given_as_one_object(store: Path) -> None:
    one = key(store, "word-rate")
    options = SignificanceOptions(n_permutations=50, ceiling="inter-subject")
    report = significance.test(store, one, options=options)
    changed = significance.test(store, one, n_permutations=50, ceiling="inter-subject")
    assert report.record() == changed.record()
    with pytest.raises(NotFoundError, match="there are schoppe"):
        significance.test(store, one, options=options, ceiling="top")
