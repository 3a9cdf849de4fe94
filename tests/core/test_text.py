from __future__ import annotations

import pytest

from voxelzoo import text


@pytest.mark.parametrize(
    ("items", "sentence"),
    [((), ""), (("a",), "a"), (("a", "b"), "a and b"), ((1, 2, 3), "1, 2 and 3")],
)
def test_items_are_listed_as_in_a_sentence(items: tuple[object, ...], sentence: str) -> None:
    assert text.listed(items) == sentence


def test_the_conjunction_can_be_chosen() -> None:
    assert text.listed("abc", "or") == "a, b or c"


@pytest.mark.parametrize(
    ("n", "counted"), [(0, "0 stories"), (1, "1 story"), (2, "2 stories"), (1500, "1,500 stories")]
)
def test_nouns_are_singular_only_after_one(n: int, counted: str) -> None:
    assert text.counted(n, "story", "stories") == counted
    assert text.counted(n, "file") == counted.replace("stories", "files").replace("story", "file")


@pytest.mark.parametrize(
    ("n", "shown"),
    [(None, "unknown"), (0, "0 kB"), (512, "0.512 kB"), (999_999, "1 MB"), (2.5e12, "2.5 TB"),
     (4.2e15, "4200 TB")],
)  # fmt: skip
def test_bytes_have_the_unit_that_fits(n: float | None, shown: str) -> None:
    assert text.human_bytes(n) == shown


@pytest.mark.parametrize(
    ("n", "shown"),
    [(None, "unknown"), (0.123, "0.12 s"), (99.4, "99 s"), (110, "110 s"), (120, "2 min"),
     (7200, "2 h"), (2 * 86400, "2 days")],
)  # fmt: skip
def test_seconds_have_the_unit_that_fits(n: float | None, shown: str) -> None:
    assert text.human_seconds(n) == shown


@pytest.mark.parametrize(
    ("n", "shown"),
    [(None, "-"), (0, "0"), (999, "999"), (1000, "1K"), (1_340_000_000, "1.34B"),
     (66_000_000_000, "66B")],
)  # fmt: skip
def test_counts_have_the_letter_that_fits(n: float | None, shown: str) -> None:
    assert text.human_count(n) == shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_null_in_json(value: float | None) -> None:
    assert text.number(value) is None


def test_json_numbers_have_six_significant_digits() -> None:
    assert text.number(1234567.8) == 1234570.0
    assert text.number(-0.000123456789) == -0.000123457


def test_an_error_is_one_line_even_without_a_message() -> None:
    assert text.one_line(ValueError("two\n  lines")) == "ValueError: two lines"
    assert text.one_line(KeyError()) == "KeyError"


def test_long_text_is_cut_in_messages() -> None:
    assert text.shortened("x" * 40) == repr("x" * 40)
    assert text.shortened("x" * 5000) == repr("x" * 40) + "..."
