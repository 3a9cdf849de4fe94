"""Any checkpoint runs by name from the command line, with settings of its own."""

from __future__ import annotations

from shared_data import SHARED, needs_shared
from zoo_cli import Zoo

CHECKPOINT = f"hf:{SHARED / 'models/stories260K'}"
ALICE = SHARED / "data/alice"


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
