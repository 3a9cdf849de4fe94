"""States on the scanner's clock: streamed, held to the contract, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
from voxelzoo.extraction import Alignment, Model, aligned_states, choose_layers
from voxelzoo.host import Registered
from voxelzoo.progress import Silent
from voxelzoo.store import Store

ENTRY = ModelEntry(name="fake", plugin="fake", modality="any", n_layers=3, embed_dim=4)


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


def align(fake: Fake, store: Store, layers: Sequence[int], **request: Any) -> Any:
    return aligned_states(
        model(fake, **request), Story("s"), CLOCK, ALIGNMENT, layers, store, Silent()
    )


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
    assert list(store.all("states")) == []


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("all", [0, 1, 2, 3]), ("last", [3]), ("2", [2]), ("0,3", [0, 3]), ("1-3", [1, 2, 3])],
)
def test_layers_as_typed(asked: str, chosen: list[int]) -> None:
    assert choose_layers(model(Fake()), asked) == chosen


@pytest.mark.parametrize(("asked", "message"), [("9", "no layer 9"), ("x", "say all, last")])
def test_layers_that_are_not_there(asked: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_layers(model(Fake()), asked)
