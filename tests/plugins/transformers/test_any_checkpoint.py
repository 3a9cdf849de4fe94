"""Any checkpoint runs by name from the command line, with settings of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from checkpoints import LLAMA, write_checkpoint
from shared_data import SHARED, needs_shared
from zoo_cli import Zoo

CHECKPOINT = f"hf:{SHARED / 'models/stories260K'}"
ALICE = SHARED / "data/alice"
SHORT = (
    "--dataset-option",
    "voxels=8",
    "--dataset-option",
    "seconds=30",
    "-s",
    "sub-01",
    "-l",
    "1",
)
NETWORK = {**LLAMA, "max_position_embeddings": 128}


@needs_shared
def test_a_checkpoint_without_a_row_runs_on_real_data(zoo: Zoo) -> None:
    command = ("run", "--plugin", CHECKPOINT, "--dataset", ALICE, "--subject", "group", "--json")
    ended = zoo(*command, "--layer", "4")
    assert ended.code == 0, ended.err
    (result,) = ended.json["results"]
    assert result["model"] == "stories260K"
    assert result["mean_r"] > 0.15

    mean = zoo(*command, "--layer", "4", "--model-option", "state=mean")
    assert mean.json["results"][0]["key"] != result["key"]


@needs_shared
def test_surprisal_of_any_checkpoint_is_a_baseline(zoo: Zoo) -> None:
    name = CHECKPOINT.replace("hf:", "surprisal:")
    ended = zoo("run", "-p", name, "-d", ALICE, "-s", "group", "--json")
    assert ended.code == 0, ended.err
    (result,) = ended.json["results"]
    assert result["layer"] == 0
    assert result["mean_r"] > 0.1


def test_a_setting_that_no_model_reads_is_refused(zoo: Zoo) -> None:
    ended = zoo("run", "-p", "gpt2", "--untrained", "--model-option", "states=mean")
    assert ended.code == 2
    assert "model option states: none of these models reads it" in ended.err


def test_a_checkpoint_that_is_not_here_says_how_to_get_it(zoo: Zoo) -> None:
    ended = zoo("run", "-p", "hf:acme/acme-1b@abc")
    assert ended.code == 5
    assert "hf download acme/acme-1b --revision abc" in ended.err


def test_checkpoints_of_several_sizes_are_points_of_a_curve(zoo: Zoo, tmp_path: Path) -> None:
    """Named by their folders, of one family, with the numbers of their files; of any place."""
    sizes = {8: "tale-1k/step10", 16: "tale-3k/step10", 32: "tale-9k/step10"}
    for width, folder in sizes.items():
        architecture = {**NETWORK, "hidden_size": width}
        special = ["<s>", "</s>"]
        write_checkpoint(tmp_path / folder, special, architecture=architecture, bos_token="</s>")
    names = [each for folder in sizes.values() for each in ("-p", f"hf:{tmp_path / folder}")]
    common = (*SHORT, "--store", tmp_path / "store", "--json")
    ended = zoo("run", *names, *common)
    assert ended.code == 0, ended.err
    results = ended.json["results"]
    assert [result["model"] for result in results] == list(sizes.values())
    assert {result["family"] for result in results} == {"tale"}
    assert {result["first_token"] for result in results} == {"</s>"}
    assert len({result["revision"] for result in results}) == 3
    shown = [zoo("show", f"hf:{tmp_path / each}", "--json").json for each in sizes.values()]
    assert [each["first_token"] for each in shown] == ["</s>"] * 3
    counted = [each["model"]["n_parameters"] for each in shown]
    assert [result["n_parameters"] for result in results] == counted == sorted(counted)

    curve = zoo("scaling", "size", "--store", tmp_path / "store", "--json")
    assert curve.code == 0, curve.err
    assert [point["parameters"] for point in curve.json["points"]] == counted

    explained = zoo("explain", results[0]["key"], "--store", tmp_path / "store")
    assert "The special token before every context was: </s>." in explained.out

    moved = tmp_path / "elsewhere" / "tale-1k" / "step10"
    shutil.copytree(tmp_path / sizes[8], moved)
    (again,) = zoo("run", "-p", f"hf:{moved}", *common).json["results"]
    assert (again["key"], again["computed"]) == (results[0]["key"], False)
    renamed = shutil.copytree(tmp_path / sizes[8], tmp_path / "fable")
    (other,) = zoo("run", "-p", f"hf:{renamed}", *common).json["results"]
    assert other["model"] == "fable"
    assert other["mean_r"] == results[0]["mean_r"]


def test_the_first_token_is_chosen_and_recorded(zoo: Zoo, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "mine", ["<s>"], bos_token="<s>", architecture=NETWORK)
    common = ("-p", f"hf:{tmp_path / 'mine'}", *SHORT, "--json")
    records = [
        zoo("run", *common, *choice).json["results"][0]
        for choice in ((), ("--first-token", "none"), ("--first-token", "5"))
    ]
    assert [record["first_token"] for record in records] == [
        "<s>",
        "none (the first state of each context is skipped)",
        "token 5",
    ]
    assert len({record["key"] for record in records}) == 3
    wrong = zoo("run", *common, "--first-token", "<bos>")
    assert wrong.code == 2
    assert "mine: it has no first token '<bos>'; use one of default, none, <s>" in wrong.err
    (baseline,) = zoo("run", "-p", "word-rate", "-s", "sub-01", "--json").json["results"]
    assert baseline["first_token"] is None
