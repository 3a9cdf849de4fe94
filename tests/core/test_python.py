"""``import voxelzoo``: what a notebook does, with a dataset in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import voxelzoo

TR = 2.0


def speech(rng: np.random.Generator, n: int = 300) -> list[tuple[str, float, float]]:
    """Words that come faster and slower."""
    pace = np.repeat(rng.uniform(0.5, 2.0, n // 10), 10)
    onsets = np.cumsum(rng.gamma(2.0, 0.15, n) * pace)
    words = rng.integers(0, 2000, n)
    return [(f"w{word}", onset, onset + 0.1) for word, onset in zip(words, onsets, strict=True)]


def responses(rng: np.random.Generator, words: list[tuple[str, float, float]]) -> np.ndarray:
    """Five voxels that follow the rate of words two TRs later, then five of noise: (TR, voxel)."""
    onsets = np.array([onset for _, onset, _ in words])
    n_trs = int(onsets[-1] // TR)
    rate = np.histogram(onsets, np.arange(n_trs + 1) * TR)[0].astype(float)
    later = np.concatenate([np.full(2, rate.mean()), rate[:-2]])
    driven = later[:, None] + 0.5 * rng.standard_normal((n_trs, 5))
    return np.concatenate([driven, rng.standard_normal((n_trs, 5))], axis=1)


@pytest.fixture(scope="module")
def dataset() -> voxelzoo.InMemoryDataset:
    rng = np.random.default_rng(0)
    words = {story: speech(rng) for story in ("a", "b", "c")}
    return voxelzoo.InMemoryDataset(
        "sketch",
        responses={"S1": {story: responses(rng, own) for story, own in words.items()}},
        tr=TR,
        words=words,
        test_stories=["c"],
        voxel_labels=["rate"] * 5 + ["noise"] * 5,
    )


def test_importing_it_is_light() -> None:
    """No heavy package comes along, and every name is there."""
    script = (
        "import sys, voxelzoo; print(*{'numpy', 'torch', 'pandas', 'zarr', 'typer'} & "
        "set(sys.modules)); assert {'run', 'plan', 'models'} <= set(dir(voxelzoo))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == ""


def test_a_run_gives_results_as_objects(dataset: voxelzoo.InMemoryDataset, tmp_path: Path) -> None:
    options = voxelzoo.RunOptions(keep=("predictions",))
    results = voxelzoo.run(
        ["word-rate", "position"], dataset, options=options, store=tmp_path, progress=False
    )
    table = results.table().set_index("model")
    assert list(table.index) == ["word-rate", "position"]
    assert table.loc["word-rate", "mean_r"] > table.loc["position", "mean_r"] + 0.2
    r = results[0].array("r")
    assert r.dims == ("voxel",)
    assert list(r["region"].values) == ["rate"] * 5 + ["noise"] * 5
    assert float(r[r["region"] == "rate"].mean()) > 0.7
    assert abs(float(r[r["region"] == "noise"].mean())) < 0.3
    assert "word-rate" in results._repr_html_()

    again = voxelzoo.run("word-rate", dataset, options=options, store=tmp_path, progress=False)
    assert [each.computed for each in again] == [False]
    stored = voxelzoo.open_store(tmp_path).results(model="word-rate")
    assert [each.key for each in stored] == [again[0].key] == [results[0].key]


def test_what_fails_is_named_and_the_others_go_on(
    dataset: voxelzoo.InMemoryDataset, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="mel-spectrogram failed: story 'a' has no audio"):
        results = voxelzoo.run(
            ["mel-spectrogram", "word-rate"], dataset, store=tmp_path, progress=False
        )
    assert [each.record.model for each in results] == ["word-rate"]
    with pytest.raises(voxelzoo.DataError, match="no audio"):
        voxelzoo.run("mel-spectrogram", dataset, store=tmp_path, progress=False)
    with pytest.raises(voxelzoo.NotFoundError, match="wordrate"):
        voxelzoo.run("wordrate", dataset, store=tmp_path, progress=False)
    with pytest.raises(voxelzoo.UsageError, match="dtype"):
        voxelzoo.RunOptions(dtype="float8")  # type: ignore[arg-type]
    with pytest.raises(voxelzoo.UsageError, match="no store at"):
        voxelzoo.open_store(tmp_path / "absent")


def test_plan_counts_what_is_missing(dataset: voxelzoo.InMemoryDataset, tmp_path: Path) -> None:
    before = voxelzoo.plan("word-rate", dataset, store=tmp_path)
    assert list(before["stories_to_read"]) == [3]
    voxelzoo.run("word-rate", dataset, store=tmp_path, progress=False)
    assert list(voxelzoo.plan("word-rate", dataset, store=tmp_path)["stories_to_read"]) == [0]


def test_extract_gives_states_at_the_models_own_times(dataset: voxelzoo.InMemoryDataset) -> None:
    states = voxelzoo.extract("word-rate", dataset, stories=["b"], progress=False)
    assert list(states) == ["b"]
    words = dataset.story("b").need_words()
    np.testing.assert_allclose(states["b"].times, words.times)
    assert states["b"].layers[0].shape == (len(words), 1)


def test_models_are_a_table() -> None:
    table = voxelzoo.models()
    assert table.loc["opt-125m", "parameters"] == 125_239_296
    assert table.loc["word-rate", "weights"] == "none"


def test_a_published_dataset_is_opened_by_name() -> None:
    dataset = voxelzoo.open_dataset("simulated", options={"seconds": "20"})
    assert dataset.test_stories() == ("test01",)
    with pytest.raises(voxelzoo.NotFoundError, match="did you mean simulated"):
        voxelzoo.open_dataset("simulatd")


def test_progress_goes_to_standard_error(
    dataset: voxelzoo.InMemoryDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voxelzoo.run("word-rate", dataset, store=tmp_path)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "word-rate: fit S1" in shown.err
    voxelzoo.run("word-rate", dataset, store=tmp_path, progress=False)
    assert capsys.readouterr().err == ""
