"""Context windows as data: no model runs here."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from voxelzoo.api import UsageError, WindowPolicy, context_starts, parse_window_policy

sizes = st.tuples(st.integers(2, 40), st.integers(1, 39)).filter(lambda pair: pair[1] < pair[0])


def test_sawtooth_is_the_formula_of_the_paper() -> None:
    """H(i) reads items 0..i up to 512, then 256 * floor(i / 256) - 256 .. i."""
    policy = WindowPolicy()
    for i in range(1, 3001):
        assert policy.start(i) == (0 if i <= 512 else 256 * (i // 256) - 256)


def test_released_code_for_3000_words() -> None:
    """Start 0 for word i <= 512, 256 to i = 768, 512 to 1024, ...; words numbered from 0.

    It is the paper's formula except where i is a multiple of 256 above 512, which keeps the old
    start; so after the first restart a context holds 258 to 513 words, its own included.
    """
    policy = parse_window_policy("sawtooth:512:256:words:code")
    starts = context_starts(policy, [True] * 3000)

    wanted = []
    for i in range(3000):
        if i <= 512:
            wanted.append(0)
        elif i % 256 == 0:
            wanted.append(256 * (i // 256) - 512)
        else:
            wanted.append(256 * (i // 256) - 256)
    assert starts == wanted
    held = {i + 1 - starts[i] for i in range(513, 3000)}
    assert (min(held), max(held)) == (258, 513)


def test_released_code_counts_silences_but_feeds_none() -> None:
    """The counter, by hand: size 4, restart 2, a silence after the sixth word."""
    policy = parse_window_policy("sawtooth:4:2:words:code")
    items = [True] * 6 + [False] + [True] * 3
    # words looked back: 0 1 2 3 4, restart, 3, the silence passes 4 and makes it 5, restart, 3 4
    assert context_starts(policy, items) == [0, 0, 0, 0, 0, 2, 1, 4, 4]


@given(sizes, st.integers(0, 200))
def test_without_silences_the_counter_is_the_formula(pair: tuple[int, int], n: int) -> None:
    policy = WindowPolicy("sawtooth", *pair, unit="words", variant="code")
    assert context_starts(policy, [True] * n) == [policy.start(i) for i in range(1, n + 1)]


@given(sizes, st.sampled_from(["paper", "code"]), st.integers(1, 300))
def test_a_sawtooth_context_holds_at_least_restart_and_at_most_size(
    pair: tuple[int, int], variant: str, n: int
) -> None:
    policy = WindowPolicy("sawtooth", *pair, variant=variant)  # type: ignore[arg-type]
    size, restart = pair
    least, most = (restart + 2, size + 1) if variant == "code" else (restart, size)
    for i in range(most + 1, n + 1):
        assert least <= i - policy.start(i) <= most


@given(sizes, st.integers(1, 400))
def test_windows_read_every_item_once_and_feed_little(pair: tuple[int, int], n: int) -> None:
    policy = WindowPolicy("sawtooth", *pair)
    windows = policy.windows(n)
    assert [i for w in windows for i in range(w.first, w.stop)] == list(range(n))
    assert all(policy.start(i + 1) == w.start for w in windows for i in range(w.first, w.stop))
    if pair[1] * 2 <= pair[0]:
        assert sum(w.stop - w.start for w in windows) <= 2 * n + pair[0]


def test_the_simple_policies() -> None:
    assert [parse_window_policy("full").start(i) for i in (1, 700)] == [0, 0]
    assert [parse_window_policy("none").start(i) for i in (1, 700)] == [0, 699]
    assert [parse_window_policy("sliding:3").start(i) for i in (1, 3, 4, 9)] == [0, 0, 1, 6]


@pytest.mark.parametrize(
    "text", ["sawtooth:512:256:tokens", "sawtooth:9:4:words:code", "sliding:64:words"]
)
def test_a_policy_is_written_as_it_is_typed(text: str) -> None:
    assert str(parse_window_policy(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "saw", "sawtooth:1", "sawtooth:256:512", "sliding", "sliding:0", "full:3", "none:x"],
)
def test_a_policy_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unknown context"):
        parse_window_policy(text)
