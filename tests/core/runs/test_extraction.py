"""States on the scanner's clock: streamed, held to the contract, computed once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from voxelzoo.api import (
    AlignerSpec,
    ExtractorRequest,
    ExtractorSpec,
    ModelEntry,
    PluginError,
    ScanClock,
    StateBlock,
    Story,
    UsageError,
)
from voxelzoo.errors import Interrupted
from voxelzoo.host.records import Registered
from voxelzoo.progress import Silent
from voxelzoo.runs.extraction import aligned_states, validated_blocks
from voxelzoo.runs.inputs import Stimulus
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.models import Alignment, Model, choose_layers
from voxelzoo.store.store import Store

ENTRY = ModelEntry(name="fake", plugin="fake", modality="any", n_layers=3)


class Fake:
    """States that are known functions of layer and time, in blocks of seven."""

    def __init__(self, fault: str = "") -> None:
        self.fault, self.calls = fault, 0

    def layers(self) -> Sequence[int]:
        return range(4)

    def fingerprint(self) -> dict[str, Any]:
        return {"fault": self.fault}

    def times(self, story: Story) -> Any:
        return np.arange(100) * 0.3

    def states(self, layers: Sequence[int]) -> Any:
        times = self.times(Story(""))
        return np.stack(
            [np.sin(np.outer(times, np.arange(1, 5)) + layer) for layer in layers]
        ).astype(np.float32)

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        self.calls += 1
        states = self.states(layers)
        if self.fault == "nan":
            states[0, 20, 0] = np.nan
        stop = 90 if self.fault == "short" else 100
        for start in range(0, stop, 7):
            at = start + 1 if self.fault == "gap" and start else start
            yield StateBlock(at, states[:, start : min(start + 7, stop)])

    def close(self) -> None:
        pass


class Box:
    """Sum of the states within a second of the scan."""

    def weights(self, times: Any, scan_times: Any) -> Any:
        return (np.abs(times[None] - scan_times[:, None]) < 1).astype(float)

    def fingerprint(self) -> dict[str, Any]:
        return {"half": 1}


def registered(spec: Any) -> Registered[Any]:
    return Registered(spec=spec, plugin="fake", distribution="fake-dist", version="1")


def model(fake: Fake, **request: Any) -> Model:
    spec = ExtractorSpec("fake", "nowhere:Fake", "any", "fake")
    return Model(registered(spec), ExtractorRequest(ENTRY, **request), fake)


ALIGNMENT = Alignment(registered(AlignerSpec("box", "nowhere:Box", "box")), Box())
CLOCK = ScanClock(2.0, 0.0, 14)


def align(
    fake: Fake, store: Store, layers: Sequence[int], clock: ScanClock = CLOCK, **request: Any
) -> Any:
    keep = request.pop("keep_states", False)
    keys = state_keys(model(fake, **request), layers, clock)
    return aligned_states(keys, "s", layers, store, Silent(), keep)


def state_keys(
    model: Model, layers: Sequence[int], clock: ScanClock, alignment: Alignment = ALIGNMENT
) -> StateKeys:
    return StateKeys(model, layers, {"s": Stimulus(Story("s"), clock)}, alignment)


def test_streamed_alignment_equals_the_whole_matrix(tmp_path: Path) -> None:
    fake = Fake()
    found = align(fake, Store(tmp_path), [0, 2])
    weights = Box().weights(fake.times(Story("")), CLOCK.times)
    for i, layer in enumerate([0, 2]):
        expected = np.zeros((14, 4))
        for tr in range(14):
            for t in range(100):
                expected[tr] += weights[tr, t] * fake.states([0, 2])[i, t]
        np.testing.assert_allclose(found[layer].read("states"), expected, atol=1e-5)


def test_only_layers_that_are_missing_are_extracted(tmp_path: Path) -> None:
    fake, store = Fake(), Store(tmp_path)
    align(fake, store, [0, 1])
    align(fake, store, [1, 0])
    assert fake.calls == 1
    align(fake, store, [0, 3])
    assert fake.calls == 2


def test_whatever_determines_states_changes_their_key(tmp_path: Path) -> None:
    fake, store = Fake(), Store(tmp_path)
    changes: list[dict[str, Any]] = [
        {},
        {"dtype": "bfloat16"},
        {"untrained": True},
        {"untrained": True, "seed": 1},
        {"protocol": "antonello2023"},
        {"options": {"stride": "1"}},
    ]
    for request in changes:
        align(fake, store, [0], **request)
    assert fake.calls == len(changes)
    align(fake, store, [0], device="cuda")  # where it ran is no part of what it is
    assert fake.calls == len(changes)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("nan", "not finite at state 20"), ("short", "90 states for 100 times"), ("gap", "at row 7")],
)
def test_a_broken_extractor_is_named_and_nothing_is_kept(
    fault: str, message: str, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    with pytest.raises(PluginError, match=message):
        align(Fake(fault), store, [0])
    assert list(store.all("aligned")) == []


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("all", [0, 1, 2, 3]),
        ("last", [3]),
        ("2", [2]),
        ("0,3", [0, 3]),
        ("1-3", [1, 2, 3]),
        ("even", [2]),
    ],
)
def test_layers_as_typed(asked: str, chosen: list[int]) -> None:
    assert choose_layers(model(Fake()), asked) == chosen


@pytest.mark.parametrize(("asked", "message"), [("9", "no layer 9"), ("x", "use all, even, last")])
def test_layers_that_are_not_there(asked: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_layers(model(Fake()), asked)


class Resumable(Fake):
    """Begins at any row, and may be cut off; remembers where it began."""

    cut: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.began: list[int] = []

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        self.began.append(start)
        states = self.states(layers)
        for at in range(start, 100, 7):
            if self.cut is not None and at > self.cut:
                raise Interrupted
            yield StateBlock(at, states[:, at : at + 7])


@pytest.mark.parametrize("keep_states", [False, True])
def test_a_run_goes_on_within_a_story(
    keep_states: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxelzoo.runs.resampling.CHECKPOINT_SECONDS", 0)
    fake, store = Resumable(), Store(tmp_path / "cut")
    fake.cut = 50
    with pytest.raises(Interrupted):
        align(fake, store, [0, 2], keep_states=keep_states)
    assert list(store.all("aligned")) == []
    fake.cut = None
    found = align(fake, store, [0, 2], keep_states=keep_states)
    assert fake.began == [0, 56]
    whole = align(fake, Store(tmp_path / "whole"), [0, 2])
    for layer in (0, 2):
        np.testing.assert_array_equal(found[layer].read("states"), whole[layer].read("states"))
    kept = [artefact.read("states") for artefact in store.all("states")]
    assert len(kept) == (2 if keep_states else 0)
    for states in kept:
        assert any(np.array_equal(states, each) for each in fake.states([0, 2]))
    assert not list((tmp_path / "cut" / ".unfinished").iterdir())


def test_a_damaged_checkpoint_begins_the_story_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxelzoo.runs.resampling.CHECKPOINT_SECONDS", 0)
    fake, store = Resumable(), Store(tmp_path)
    fake.cut = 50
    with pytest.raises(Interrupted):
        align(fake, store, [0])
    (checkpoint,) = tmp_path.glob(".unfinished/*/checkpoint.npz")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    fake.cut = None
    align(fake, store, [0])
    assert fake.began == [0, 0]


def test_kept_states_serve_another_clock_without_the_model(tmp_path: Path) -> None:
    fake, store = Fake(), Store(tmp_path)
    align(fake, store, [1], keep_states=True)
    later = ScanClock(2.0, 1.0, 14)
    found = align(fake, store, [1], clock=later)
    assert fake.calls == 1
    expected = Box().weights(fake.times(Story("")), later.times) @ fake.states([1])[0]
    np.testing.assert_allclose(found[1].read("states"), expected, atol=1e-5)


class Nearest(Box):
    """Sum of the states of each TR, as a sparse matrix."""

    def weights(self, times: Any, scan_times: Any) -> Any:
        rows = np.minimum((times / 2).astype(int), len(scan_times) - 1)
        return scipy.sparse.csc_array((np.ones(len(times)), (rows, np.arange(len(times)))))


class Long(Fake):
    """Five thousand states; a block is of one size, whatever the number of layers."""

    def times(self, story: Story) -> Any:
        return np.arange(5000) * 0.3

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        n = 1600 // len(layers)
        for start in range(0, 5000, n):
            shape = (len(layers), min(n, 5000 - start), 256)
            yield StateBlock(start, np.ones(shape, dtype=np.float32))


def test_memory_does_not_grow_with_the_number_of_layers(tmp_path: Path) -> None:
    nearest = Alignment(registered(AlignerSpec("box", "nowhere:Box", "box")), Nearest())
    clock = ScanClock(2.0, 0.0, 750)
    peaks = []
    for n in (1, 8, 16, 32):  # the first warms up
        tracemalloc.start()
        store = Store(tmp_path / str(n))
        keys = state_keys(model(Long()), range(n), clock, nearest)
        aligned_states(keys, "s", range(n), store, Silent())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[3] < 1.2 * peaks[1]
    assert peaks[3] < 32 * 750 * 256 * 4 / 2, "as much as all layers together"


@pytest.mark.parametrize("start", [0, 40])
def test_states_that_are_many_times_larger_than_the_others_are_reported(start: int) -> None:
    """As decoders give to the first token of a context; in which layers, where, and how large."""

    class Huge(Fake):
        def states(self, layers: Sequence[int]) -> Any:
            states = super().states(layers)
            states[:] = 0.5
            states[1, 50] *= 25
            states[0, 51] *= 19
            return states

        def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Any:
            yield StateBlock(start, self.states(layers)[:, start:])

        def describe_first_token(self) -> str:
            return "none"

    told: list[str] = []
    network = replace(ENTRY, repo="./weights")
    opened = model(Huge(), notify=told.append)
    opened = replace(opened, request=replace(opened.request, model=network))
    list(validated_blocks(opened, Story("s"), [0, 2], 100, start))
    (line,) = told
    assert line.startswith(
        "fake: story s: the state at 15.0 s has a norm up to 25 times the median (layer 2)"
    )
    assert line.endswith("its first token is none, and --first-token chooses another")

    told.clear()  # of a baseline, single large values are what it measures
    list(validated_blocks(model(Huge(), notify=told.append), Story("s"), [0, 2], 100))
    list(validated_blocks(replace(opened, extractor=Fake()), Story("s"), [0, 2], 100))
    assert not told
