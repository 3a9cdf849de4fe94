"""Data that are not the recipe's make a line partial, and the line says how they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe_files import ONE_FIGURE, Reproduce
from zoo_cli import Zoo


def with_data(data: str) -> str:
    """The recipe with this instead of ``dataset: simulated``."""
    return ONE_FIGURE.replace("dataset: simulated", f"dataset: simulated\n{data}")


def test_on_other_data_than_the_recipes_nothing_matches(reproduce_recipe: Reproduce) -> None:
    text = with_data("  train_stories: {sub-01: 3, sub-02: 5}")
    line = reproduce_recipe(text)["lines"]["first"]
    assert line["status"] == "partial"
    assert line["why"] == (
        "within tolerance; data: 3 training stories here, 5 in the recipe for sub-02"
    )


@pytest.mark.parametrize(
    ("heard", "declared", "status"), [("4", 4, "match"), ("4", 10, "partial"), ("1", 5, "match")]
)
def test_repeats_are_compared_with_the_recipes(
    reproduce_recipe: Reproduce, heard: str, declared: int, status: str
) -> None:
    """One array may be a mean over repeats: it contradicts nothing."""
    data = (
        f'  options: {{repeats: "{heard}"}}\n  test_stories: [test01]\n'
        f"  repeats: {{test01: {declared}}}"
    )
    line = reproduce_recipe(with_data(data))["lines"]["first"]
    assert line["status"] == status
    difference = "test01: 4 repeats here, 10 in the recipe for sub-01, sub-02"
    assert (difference in line["why"]) == (status == "partial")


@pytest.mark.parametrize(("trim", "status"), [("5", "match"), ("2", "partial")])
def test_volumes_dropped_are_compared_with_the_recipes(
    reproduce_recipe: Reproduce, trim: str, status: str
) -> None:
    trims = "  trims: {start_trs: 5, end_trs: 5, test_start_trs: 0}"
    line = reproduce_recipe(with_data(f'  options: {{trim: "{trim}"}}\n{trims}'))["lines"]["first"]
    assert line["status"] == status
    difference = "test01: 2 volumes dropped at its start here, 5 in the recipe"
    assert (difference in line["why"]) == (status == "partial")


def test_data_that_a_figure_does_not_use_do_not_change_its_line(
    reproduce_recipe: Reproduce,
) -> None:
    data = (
        '  options: {test_stories: "2"}\n  train_stories: {sub-01: 9}\n'
        "  test_stories: [test01, test02]\n  repeats: {test02: 9}"
    )
    on_one_story = with_data(data).replace(
        "models: [word-rate]", "models: [word-rate]\n    story: test01"
    )
    line = reproduce_recipe(on_one_story)["lines"]["first"]
    assert line["why"].endswith("data: 3 training stories here, 9 in the recipe for sub-01")
    of_one_subject = on_one_story.replace("story: test01", "story: test01\n    subjects: [sub-02]")
    assert reproduce_recipe(of_one_subject)["lines"]["first"]["status"] == "match"


def test_a_story_that_a_subject_should_not_have_heard_is_a_difference(
    reproduce_recipe: Reproduce,
) -> None:
    data = "  subjects: [sub-01, sub-02]\n  lacks: {sub-01: [story02, none]}"
    line = reproduce_recipe(with_data(data))["lines"]["first"]
    why = "within tolerance; data: sub-01 heard story02 here and not in the recipe"
    assert (line["status"], line["why"]) == ("partial", why)


def test_subjects_that_are_not_in_the_data_do_not_stop_the_others(
    reproduce_recipe: Reproduce,
) -> None:
    record = reproduce_recipe(with_data("  subjects: [sub-01, sub-02, sub-03]"))
    assert {row["subject"] for row in record["figures"]["one"]["rows"]} == {"sub-01", "sub-02"}
    line = record["lines"]["first"]
    why = "within tolerance; data: without subject sub-03 (not in the data)"
    assert (line["status"], line["why"]) == ("partial", why)


def test_data_without_any_of_the_recipes_subjects_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(with_data("  subjects: [S1, S2]"))
    ended = zoo("reproduce", path, "--quiet")
    assert ended.code == 3
    assert "no subject 'S1'" in ended.err
