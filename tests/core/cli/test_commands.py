"""The command line, as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from zoo_cli import Zoo

SMALL = [
    *("--dataset-option", "seconds=60"),
    *("--dataset-option", "voxels=12"),
    *("--dataset-option", "subjects=1"),
]
FIELDS = {
    *("model", "layer", "subject", "dataset", "n_voxels", "n_train", "n_test"),
    *("mean_r", "median_r", "mean_signed_r2", "best_voxel_r", "evaluation", "computed", "key"),
}


def write_folder(root: Path, stories: dict[str, int], test: tuple[str, ...] = ()) -> Path:
    """A plain-folder dataset in which two voxels follow the word rate and one is noise."""
    random = np.random.default_rng(0)
    train = [name for name in stories if name not in test]
    (root / "responses" / "S1").mkdir(parents=True)
    (root / "dataset.yaml").write_text(
        f"name: mine\ntr: 2.0\nstart: 0.0\nsubjects: [S1]\n"
        f"stories: {{train: [{', '.join(train)}], test: [{', '.join(test)}]}}\n"
        "licence: CC0-1.0\ncitation: nobody\n"
    )
    for name, n_trs in stories.items():
        folder = root / "stories" / name
        folder.mkdir(parents=True)
        onsets = np.cumsum(
            random.exponential(0.4, size=5 * n_trs) * random.choice([0.4, 2.0], 5 * n_trs)
        )
        onsets = onsets[onsets < 2.0 * n_trs - 1]
        lines = [f"word,{onset:.3f},{onset + 0.1:.3f}" for onset in onsets]
        (folder / "words.csv").write_text("\n".join(["word,onset,offset", *lines]))
        rate = np.histogram(onsets, bins=np.arange(n_trs + 1) * 2.0)[0].astype(float)
        late = np.concatenate([[0, 0], rate[:-2]])
        signal = np.stack([late, late, np.zeros(n_trs)], axis=1)
        noisy = signal + random.normal(size=(n_trs, 3))
        np.save(root / "responses" / "S1" / f"{name}.npy", noisy.astype(np.float32))
    return root


def test_run_gives_one_document_and_a_second_run_computes_nothing(zoo: Zoo) -> None:
    first = zoo("run", "--plugin", "word-rate", *SMALL, "--json")
    assert first.code == 0, first.err
    document = first.json
    assert document["schema_version"] == 1
    assert document["failures"] == []
    for record in document["results"]:
        assert record.keys() >= FIELDS
        assert record["model"] == "word-rate"
        assert record["computed"] is True

    second = zoo("run", "--plugin", "word-rate", *SMALL, "--json")
    assert "nothing computed" in second.err
    assert [r | {"computed": True} for r in second.json["results"]] == document["results"]
    assert all(r["computed"] is False for r in second.json["results"])


def test_a_changed_setting_is_a_new_result(zoo: Zoo) -> None:
    base = ("run", "--plugin", "word-rate", *SMALL, "--json")
    keys = {zoo(*base).json["results"][0]["key"]}
    for change in (
        ("--delays", "1,2"),
        ("--aligner", "mean"),
        ("--shift", "20"),
        ("--regressor", "ridge:alphas=[1.0,10.0]"),
        ("--dataset-option", "seed=1"),
    ):
        found = zoo(*base, *change)
        assert found.code == 0, found.err
        keys.add(found.json["results"][0]["key"])
    assert len(keys) == 6


LONGER = ("--dataset-option", "seconds=120")


def test_a_story_shorter_than_what_a_protocol_drops_is_refused(zoo: Zoo) -> None:
    ended = zoo("run", "--plugin", "word-rate", *SMALL, "--protocol", "antonello2023", "-q")
    assert ended.code == 6
    assert "has 40 TRs; protocol antonello2023 drops its first 40" in ended.err


def test_delays_in_seconds_are_the_same_run_as_their_trs(zoo: Zoo) -> None:
    run = ("run", "--plugin", "word-rate", *SMALL, "--json", "-q")
    default, trs, seconds, paper = (
        zoo(*run, *more).json["results"][0]
        for more in (
            (),
            ("--delays", "1-5"),
            ("--delays", "2s-8s"),
            ("--protocol", "antonello2023", "--regressor", "ridge", *LONGER),
        )
    )
    assert default["key"] == trs["key"] == seconds["key"]
    assert paper["delays"] == [1, 2, 3, 4]


def test_a_piped_table_is_tsv_with_whole_values(zoo: Zoo) -> None:
    ended = zoo("run", "--plugin", "word-rate", *SMALL, "--quiet")
    header, *rows = csv.reader(io.StringIO(ended.out), delimiter="\t")
    assert rows
    record = dict(zip(header, rows[0], strict=True))
    assert record.keys() >= FIELDS
    assert len(record["key"]) == 64
    assert ended.err == ""


def test_a_folder_written_by_hand_runs(zoo: Zoo, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine", {"a": 120, "b": 100, "c": 90}, test=("c",))
    ended = zoo("run", "--plugin", "word-rate", "--dataset", data, "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json["results"]
    assert (record["dataset"], record["n_train"], record["n_test"]) == ("mine", 220, 90)
    assert record["evaluation"] == "held-out stories (c)"
    assert record["best_voxel_r"] > 0.5


def test_a_test_story_that_trains_under_another_name_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine", {"a": 120, "b": 100, "c": 90}, test=("c",))
    words = (data / "stories" / "b" / "words.csv").read_text()
    (data / "stories" / "c" / "words.csv").write_text(words)
    ended = zoo("run", "--plugin", "word-rate", "--dataset", data)
    assert ended.code == 6
    assert "'c' has the same words as training story 'b'" in ended.err


def test_one_story_is_cut_into_contiguous_folds(zoo: Zoo, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine", {"only": 200})
    run = ("run", "--plugin", "word-rate", "--dataset", data, "--folds", "4", "--gap", "8s")
    (record,) = zoo(*run, "--json").json["results"]
    assert record["evaluation"] == "4 contiguous folds, gap 4 TRs"
    assert (record["gap_trs"], record["gap_s"]) == (4, 8.0)
    assert record["best_voxel_r"] > 0.5


def test_both_protocols_run_and_differ(zoo: Zoo, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine", {"a": 160, "b": 160, "c": 120}, test=("c",))
    run = ("run", "--plugin", "word-rate", "--dataset", data, "--json", "--protocol")
    clean, paper = (zoo(*run, name).json["results"][0] for name in ("clean", "antonello2023"))
    assert (clean["n_test"], paper["n_test"]) == (120, 80)
    assert (clean["regressor"], paper["regressor"]) == ("ridge", "bootstrap-ridge")
    assert paper["best_voxel_r"] > 0.5


def test_states_go_out_and_come_in_again(zoo: Zoo, tmp_path: Path) -> None:
    """Extracted states, put into a folder as features, give the very scores of the model."""
    data = write_folder(tmp_path / "mine", {"a": 120, "b": 100, "c": 90}, test=("c",))
    out = tmp_path / "states.npz"
    assert zoo("extract", "--plugin", "word-rate", "--dataset", data, "--out", out).code == 0
    with np.load(out) as states:
        assert set(states) == {f"{story}/{what}" for story in "abc" for what in ("times", "0")}
        for story in "abc":
            assert states[f"{story}/0"].ndim == 2
            assert states[f"{story}/times"].shape == states[f"{story}/0"].shape[:1]
            folder = data / "stories" / story / "features"
            folder.mkdir()
            np.savez(
                folder / "mine.npz", times=states[f"{story}/times"], states=states[f"{story}/0"]
            )
    run = ("run", "--dataset", data, "--json", "--plugin")
    (there,) = zoo(*run, "word-rate").json["results"]
    back = zoo(*run, "features/mine")
    assert back.code == 0, back.err
    assert back.json["results"][0]["mean_r"] == pytest.approx(there["mean_r"], abs=1e-5)

    np.savez(
        folder / "mine.npz", times=np.arange(5.0), states=np.ones((5, 2)) * np.arange(5)[:, None]
    )
    changed = zoo(*run, "features/mine")
    assert changed.code == 6
    assert "2 units" in changed.err
    assert zoo(*run, "features/nothing").code == 3


def test_results_are_listed_shown_and_exported(zoo: Zoo, tmp_path: Path) -> None:
    (record,) = zoo("run", "--plugin", "word-rate", *SMALL, "--json").json["results"]
    listed = zoo("results", "list", "--json").json["results"]
    assert [each["key"] for each in listed] == [record["key"]]
    shown = zoo("results", "show", record["key"][:8], "--json").json
    assert shown["result"]["mean_r"] == record["mean_r"]
    assert shown["provenance"]["delays"] == [1, 2, 3, 4, 5]  # 2 to 8 s at a TR of 1.5 s
    assert shown["result"]["delays_s"] == [1.5, 3, 4.5, 6, 7.5]

    assert zoo("results", "export", "voxels.csv").code == 0
    with (tmp_path / "voxels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == record["n_voxels"]
    assert np.mean([float(row["r"]) for row in rows]) == pytest.approx(record["mean_r"], abs=1e-4)
    assert {row["label"] for row in rows} == set(record["by_label"])

    assert zoo("results", "export", "voxels.npz").code == 0
    with np.load(tmp_path / "voxels.npz") as arrays:
        np.testing.assert_allclose(
            arrays[f"{record['key']}/r"], [float(row["r"]) for row in rows], rtol=1e-4
        )
        assert json.loads(str(arrays[f"{record['key']}/summary"]))["model"] == "word-rate"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "--plugin", "whisper-tny"), 3, "whisper-tiny"),
        (("run", "--plugin", "word-rate", "--dataset", "nowhere/at-all"), 6, "nowhere/at-all"),
        (("run", "--plugin", "word-rate", "--dataset", "simulatd"), 3, "simulated"),
        (("run", "--plugin", "word-rate", "--layer", "7", *SMALL), 2, "no layer 7"),
        (("run", "--plugin", "word-rate", "--subject", "nobody", *SMALL), 3, "nobody"),
        (("run", "--plugin", "word-rate", "--aligner", "lancos", *SMALL), 3, "lanczos"),
        (("run", "--plugin", "word-rate", "--aligner", "lanczos:windw=3", *SMALL), 2, "window"),
        (("run", "--plugin", "word-rate", "--regressor", "ridge:alpas=[1]", *SMALL), 2, "alphas"),
        (("run", "--plugin", "word-rate", "--protocol", "dirty", *SMALL), 3, "antonello2023"),
        (("run", "--plugin", "word-rate", "--delays", "1,x", *SMALL), 2, "whole TRs"),
        (("run", "--plugin", "word-rate", "--delays=-1", *SMALL), 2, "whole TRs"),
        (("run", "--plugin", "word-rate", "--dtype", "float", *SMALL), 2, "bfloat16"),
        (("run", "--plugin", "word-rate", "--dataset-option", "sed=1"), 2, "seed"),
        (("run",), 2, "--plugin"),
        (("extract", "--plugin", "word-rate", "--out", "states.txt"), 2, ".npz"),
        (("extract", "--plugin", "word-rate", "--out", "no/where.npz"), 2, "no folder"),
        (("results", "list"), 2, "no store"),
        (("show", "opt-30"), 3, "opt-30b"),
        (("list", "--modality", "smell"), 2, "audio"),
    ],
)
def test_bad_input_is_one_line_with_the_fix_and_a_documented_code(
    zoo: Zoo, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = zoo(*arguments)
    assert ended.code == code, ended.err
    assert says in ended.err
    if code != 2:
        assert len(ended.err.strip().splitlines()) == 1
    assert ended.out == ""


def test_errors_are_documents_too(zoo: Zoo) -> None:
    ended = zoo("run", "--plugin", "whisper-tny", "--json")
    assert ended.code == 3
    assert ended.json["error"]["exit_code"] == 3


def test_absent_weights_are_one_line_that_says_how_to_get_them(zoo: Zoo) -> None:
    ended = zoo("run", "--plugin", "whisper-tiny", *SMALL, "--quiet")
    assert ended.code == 5
    (line,) = ended.err.strip().splitlines()
    assert "openai/whisper-tiny" in line
    assert "--untrained" in line


def test_one_failing_model_does_not_stop_the_others(zoo: Zoo) -> None:
    ended = zoo("run", "--plugin", "opt-125m", "--plugin", "word-rate", *SMALL, "--json")
    assert ended.code == 1
    assert [record["model"] for record in ended.json["results"]] == ["word-rate"]
    assert [failure["model"] for failure in ended.json["failures"]] == ["opt-125m"]


def test_the_catalogue_is_listed_and_filtered(zoo: Zoo) -> None:
    models = zoo("list", "--json").json["models"]
    names = {model["model"] for model in models}
    assert {"opt-30b", "llama-33b", "wavlm-base-plus", "whisper-large", "word-rate"} <= names
    assert {m["modality"] for m in zoo("list", "--modality", "audio", "--json").json["models"]} == {
        "audio"
    }
    matched = zoo("list", "--match", "opt-*", "--in-paper", "--quiet").out.split()
    assert sorted(matched) == sorted(
        ["opt-125m", "opt-1.3b", "opt-13b", "opt-30b", "opt-66b", "opt-175b"]
    )
    rows = list(csv.DictReader(io.StringIO(zoo("list").out), delimiter="\t"))
    assert {row["model"] for row in rows} == names


def test_show_names_the_source_of_each_value(zoo: Zoo, tmp_path: Path) -> None:
    overlay = tmp_path / "lab.yaml"
    overlay.write_text("schema_version: 1\nmodels:\n  opt-30b:\n    licence: ours\n")
    shown = zoo("show", "opt-30b", "--registry", overlay, "--sources", "--json").json
    assert shown["model"]["licence"] == "ours"
    assert "lab.yaml" in shown["sources"]["licence"]
    assert "lab.yaml" not in shown["sources"]["repo"]


def test_doctor_lists_what_is_not_pinned(zoo: Zoo) -> None:
    ended = zoo("doctor", "--json")
    findings = {finding["check"]: finding for finding in ended.json["findings"]}
    assert ended.code == 0, findings
    assert findings["torchaudio"]["status"] == "ok"
    assert "opt-30b" in findings["unpinned"]["detail"]


def test_doctor_names_a_broken_torch_pair(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    version = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "2.13.0" if name == "torch" else version(name)
    )
    ended = zoo("doctor", "--json")
    assert ended.code == 5
    broken = [f for f in ended.json["findings"] if f["status"] == "broken"]
    assert [finding["check"] for finding in broken] == ["torch pair"]
    assert "pip install" in broken[0]["fix"]


def test_registry_validate_names_file_and_line(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo("registry", "validate").code == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("schema_version: 1\nmodels:\n  opt-x:\n    plugin: opt\n    modalty: text\n")
    ended = zoo("registry", "validate", wrong)
    assert ended.code == 4
    assert "wrong.yaml:5" in ended.out


def test_listing_is_light() -> None:
    """`zoo list` in a process of its own imports nothing heavy."""
    script = (
        "import sys; sys.argv = ['zoo', 'list']\n"
        "from voxelzoo.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'zarr'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert ended.returncode == 0, ended.stderr


def alice(*arguments: Any) -> tuple[Any, ...]:
    return (
        "run",
        *arguments,
        "--dataset",
        SHARED / "data" / "alice",
        "--subject",
        "group",
        "--json",
    )


@needs_shared
def test_word_rate_predicts_real_fmri_and_a_shift_undoes_it(zoo: Zoo) -> None:
    (there,) = zoo(*alice("--plugin", "word-rate")).json["results"]
    assert there["n_voxels"] == 6
    assert there["mean_r"] >= 0.18
    for shift in (40, -40):
        (away,) = zoo(*alice("--plugin", "word-rate", f"--shift={shift}")).json["results"]
        assert abs(away["mean_r"]) < 0.08


@needs_shared
def test_a_trained_network_runs_from_a_users_row(zoo: Zoo, tmp_path: Path) -> None:
    """A local checkpoint of a known family: one row, no network, every layer."""
    overlay = tmp_path / "registry.yaml"
    text = (SHARED / "registry.yaml").read_text()
    overlay.write_text(text.replace("./models", str(SHARED / "models")))
    ended = zoo(*alice("--plugin", "stories260k", "--registry", overlay))
    assert ended.code == 0, ended.err
    assert [record["layer"] for record in ended.json["results"]] == [0, 1, 2, 3, 4, 5]
    assert all(np.isfinite(record["mean_r"]) for record in ended.json["results"])
    assert "512" in ended.err  # its positions are fewer than the context: said, not hidden
