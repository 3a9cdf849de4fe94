"""What a plugin promises, checked: the light half first, then tiny models, aligners, regressors.

A check passes, fails with the reason, or is skipped with the reason; one that fails does not stop
the next. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    AlignerSpec,
    DataError,
    Extractor,
    ExtractorRequest,
    ExtractorSpec,
    ModelEntry,
    RegressorSpec,
    Story,
    ZooError,
)
from voxelzoo.host.host import Host
from voxelzoo.host.records import PluginRecord, Registered
from voxelzoo.host.targets import load_target
from voxelzoo.runs.models import starts_anywhere
from voxelzoo.testing.stories import silent_story, synthetic_story

HEAVY = ("torch", "transformers", "scipy", "sklearn", "zarr", "numpy")
"""What the light half of a plugin must not import."""


@dataclass(frozen=True)
class Check:
    """One promise, and whether it is kept."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """The checks of one thing: a plugin, an extractor, an aligner or a regressor."""

    subject: str
    checks: tuple[Check, ...]


class Skipped(Exception):  # noqa: N818 - it is no error
    """Raised by a check that has nothing to look at."""


def check_plugin(host: Host, name: str) -> list[Report]:
    """Every check of the plugin with this entry-point name.

    Raises :class:`voxelzoo.api.NotFoundError` for a name nobody has.
    """
    record = host.record(name)
    if record is None:
        host.extractor(name)  # says which plugins there are
    assert record is not None
    if record.status != "loaded":
        failed = Check("loads", "failed", f"{record.status}: {record.error}")
        return [Report(name, (failed,))]
    reports = [_report(name, [("imports nothing heavy", lambda: _is_light(record))])]
    for extractor in host.extractors:
        if extractor.plugin == name:
            reports.append(_report(extractor.id, _extractor_checks(extractor)))
    for aligner in host.aligners:
        if aligner.plugin == name:
            reports.append(_report(aligner.id, _aligner_checks(aligner)))
    for regressor in host.regressors:
        if regressor.plugin == name:
            reports.append(_report(regressor.id, _regressor_checks(regressor)))
    for dataset in host.datasets:
        if dataset.plugin == name:
            reports.append(_report(dataset.id, _static_checks(dataset)))
    return reports


Named = tuple[str, Callable[[], None]]


def _report(subject: str, checks: list[Named]) -> Report:
    return Report(subject, tuple(_run(name, check) for name, check in checks))


def _run(name: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except Skipped as reason:
        return Check(name, "skipped", str(reason))
    except Exception as error:  # whatever a plugin raises is its finding
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Check(name, "failed", kind + " ".join(str(error).split()))
    return Check(name, "passed")


# --------------------------------------------------------------------------------------- static


def _is_light(record: PluginRecord) -> None:
    """Imports the registration module in a process of its own and looks at what came along."""
    script = (
        f"import sys, {record.module}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)), sep=', ')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr.strip().splitlines()[-1]
    heavy = ended.stdout.strip()
    assert not heavy, f"importing {record.module} imports {heavy}"


def _static_checks(registered: Registered[Any]) -> list[Named]:
    spec = registered.spec

    def target() -> None:
        module = spec.target.partition(":")[0]
        assert importlib.util.find_spec(module) is not None, f"no module {module}"
        load_target(registered)

    def travels() -> None:
        if getattr(spec, "recognise", None) is None:
            assert pickle.loads(pickle.dumps(spec)) == spec, "a pickled spec differs"

    def says() -> None:
        assert spec.summary.strip(), "the spec has no summary"

    return [
        ("has a summary", says),
        ("can be sent to a worker", travels),
        ("target is there", target),
    ]


# ------------------------------------------------------------------------------------ extractors


def _extractor_checks(registered: Registered[ExtractorSpec]) -> list[Named]:
    spec = registered.spec
    checks = _static_checks(registered)
    tiny = spec.tiny
    if tiny is None:

        def no_tiny() -> None:
            raise Skipped("the spec names no tiny model")

        return [*checks, ("runs a tiny model", no_tiny)]
    trial = _Trial(registered, tiny)
    return [
        *checks,
        ("keeps the protocol", trial.protocol),
        ("layers and width are as declared", trial.figures),
        ("times lie in the story, in order", trial.times),
        ("blocks cover the times", trial.blocks),
        ("the same seed gives the same states", trial.deterministic),
        ("another seed gives others", trial.seeded),
        ("layers asked alone are the same", trial.layers),
        ("goes on from the middle", trial.goes_on),
        ("nothing after a state reaches it", trial.causal),
        ("the past does reach a state", trial.listens),
        ("a very short story runs", trial.short),
        ("silence gives finite states or is refused", trial.silent),
        ("a story without its input is refused", trial.refuses),
    ]


class _Trial:
    """A tiny model of a family, put through its paces."""

    def __init__(self, registered: Registered[ExtractorSpec], tiny: ModelEntry) -> None:
        self.registered, self.tiny = registered, tiny
        self.story = synthetic_story()

    def open(self, seed: int = 0) -> Extractor:
        # A coarse stride spares time; a model that does not read it is not given it.
        wanted = {"stride": "0.5"}
        options = {k: v for k, v in wanted.items() if k in self.registered.spec.options}
        request = ExtractorRequest(self.tiny, untrained=True, seed=seed, options=options)
        extractor: Extractor = load_target(self.registered)(request)
        return extractor

    def states(
        self, story: Story | None = None, seed: int = 0, layers: list[int] | None = None
    ) -> NDArray[np.float32]:
        """(layer, time, unit)."""
        extractor = self.open(seed)
        asked = list(extractor.layers()) if layers is None else layers
        found = [block.states for block in extractor.extract(story or self.story, asked)]
        extractor.close()
        return np.concatenate(found, axis=1)

    def protocol(self) -> None:
        extractor = self.open()
        assert isinstance(extractor, Extractor), "methods of voxelzoo.api.Extractor are missing"
        pickle.dumps(dict(extractor.fingerprint()))

    def figures(self) -> None:
        states = self.states()
        assert states.dtype == np.float32, f"states are {states.dtype}, not float32"
        if self.tiny.n_layers is not None:
            assert len(states) == self.tiny.n_layers + 1, f"{len(states)} layers of states"
        if self.tiny.embed_dim is not None:
            assert states.shape[2] == self.tiny.embed_dim, f"states are {states.shape[2]} wide"
        assert np.isfinite(states).all(), "states are not finite"

    def times(self) -> None:
        times = self.open().times(self.story)
        assert times.ndim == 1, f"times have shape {times.shape}"
        assert len(times), "no state in a story of six seconds"
        assert (np.diff(times) >= 0).all(), "times decrease"
        if self.tiny.modality == "any":
            return  # what needs no stimulus may stand before and after it
        assert times[0] >= 0, "a state before the story"
        assert times[-1] <= self.story.end + 1e-6, "a state after the story's end"

    def blocks(self) -> None:
        extractor = self.open()
        layers, done = list(extractor.layers()), 0
        for block in extractor.extract(self.story, layers):
            assert block.states.ndim == 3, f"a block has shape {block.states.shape}"
            assert block.states.shape[0] == len(layers), "a block lacks layers"
            assert block.start == done, f"a block begins at {block.start}, expected {done}"
            done += block.states.shape[1]
        assert done == len(extractor.times(self.story)), f"{done} states"

    def deterministic(self) -> None:
        assert np.array_equal(self.states(), self.states()), "two runs differ"

    def seeded(self) -> None:
        if not self.tiny.architecture:
            raise Skipped("it has no weights")
        assert not np.allclose(self.states(), self.states(seed=1)), "the seed changes nothing"

    def layers(self) -> None:
        every = self.states()
        known = list(self.open().layers())
        alone = self.states(layers=[known[-1]])
        assert np.allclose(alone[0], every[-1], rtol=1e-4, atol=1e-5), "the last layer differs"

    def goes_on(self) -> None:
        extractor: Any = self.open()
        if not starts_anywhere(extractor):
            raise Skipped("extract takes no start: a run that is cut off begins the story again")
        layers = list(extractor.layers())
        every = np.concatenate([b.states for b in extractor.extract(self.story, layers)], axis=1)
        middle = every.shape[1] // 2
        rest = list(extractor.extract(self.story, layers, start=middle))
        assert rest[0].start == middle, f"the first block begins at {rest[0].start}, not {middle}"
        states = np.concatenate([block.states for block in rest], axis=1)
        assert states.shape[1] == every.shape[1] - middle, f"{states.shape[1]} states"
        assert np.allclose(states, every[:, middle:], rtol=1e-4, atol=1e-5), "the states differ"

    def causal(self) -> None:
        if not self.tiny.causal:
            raise Skipped("it does not claim to be causal")
        cut = 3.0
        before, after = self.states(), self.states(synthetic_story(changed_after=cut))
        # A word's state stands at its middle and may know the whole word.
        past = self.open().times(self.story) <= cut - 0.3
        assert past.any(), "no state before the change"
        moved = np.abs(before[:, past] - after[:, past]).max()
        assert moved <= 1e-5 * max(1.0, np.abs(before).max()), f"the past moved by {moved:g}"

    def listens(self) -> None:
        if self.tiny.modality == "any":
            raise Skipped("it needs neither words nor sound")
        if not self.registered.spec.tiny or not self.tiny.architecture:
            raise Skipped("it has no weights")
        before, other = self.states(), self.states(synthetic_story(seed=7))
        same = min(before.shape[1], other.shape[1])
        assert not np.allclose(before[:, :same], other[:, :same]), "the stimulus changes nothing"

    def short(self) -> None:
        found = self.states(synthetic_story(0.7))
        assert found.shape[1] >= 1, "no state"
        assert np.isfinite(found).all(), "states are not finite"

    def silent(self) -> None:
        try:
            assert np.isfinite(self.states(silent_story())).all(), "states are not finite"
        except DataError:
            return  # a recording without sound may be refused, in words

    def refuses(self) -> None:
        if self.tiny.modality == "any":
            raise Skipped("it needs neither words nor sound")
        try:
            self.states(Story("empty"))
        except DataError:
            return
        except ZooError as error:
            raise AssertionError(f"refused with {type(error).__name__}, not DataError") from error
        raise AssertionError("it ran")


# ------------------------------------------------------------------------- aligners, regressors


def _aligner_checks(registered: Registered[AlignerSpec]) -> list[Named]:
    scans = np.arange(20) * 2.0 + 1.0
    times = np.sort(np.random.default_rng(0).uniform(0, 40, 150))

    def matrix(at: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = load_target(registered)().weights(at, scans)
        return np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)

    def shape() -> None:
        found = matrix(times)
        assert found.shape == (20, 150), f"weights have shape {found.shape}, expected (20, 150)"
        assert np.isfinite(found).all(), "weights are not finite"

    def local() -> None:
        found = matrix(np.array([20.2]))[:, 0]
        assert abs(int(np.abs(found).argmax()) - 10) <= 1, "a state weighs most far from its time"

    def shifts() -> None:
        early, late = matrix(np.array([15.3]))[:, 0], matrix(np.array([17.3]))[:, 0]
        assert np.allclose(early[:-1], late[1:]), "a shift by a TR is no shift by a row"

    def fingerprint() -> None:
        pickle.dumps(dict(load_target(registered)().fingerprint()))

    return [
        *_static_checks(registered),
        ("gives (TR, time), finite", shape),
        ("a state weighs most at its own time", local),
        ("a shift by a TR is a shift by a row", shifts),
        ("has a fingerprint", fingerprint),
    ]


def _regressor_checks(registered: Registered[RegressorSpec]) -> list[Named]:
    random = np.random.default_rng(0)
    X, weights = random.standard_normal((240, 6)), random.standard_normal((6, 5))
    Y = X @ weights + 0.1 * random.standard_normal((240, 5))
    groups = np.repeat(np.arange(6), 40)

    def fitted(y: NDArray[np.float64] = Y, at: NDArray[np.float64] = X) -> NDArray[np.float64]:
        model = load_target(registered)().fit(X, y, groups=groups)
        return np.asarray(model.predict(at))

    def predicts() -> None:
        found = fitted()
        assert found.shape == Y.shape, f"predictions have shape {found.shape}"
        r = [np.corrcoef(found[:, v], Y[:, v])[0, 1] for v in range(5)]
        assert min(r) > 0.9, f"a plain linear map is predicted with r = {min(r):.2f}"

    def independent() -> None:
        found = fitted(Y[:, :1])
        assert np.allclose(found[:, 0], fitted()[:, 0], rtol=1e-3, atol=1e-3), "voxels interfere"

    def repeatable() -> None:
        assert np.array_equal(fitted(), fitted()), "two fits differ"

    def copies() -> None:
        model = load_target(registered)()
        again = load_target(registered)(**model.get_params(deep=False))
        assert repr(again.get_params(deep=False)) == repr(model.get_params(deep=False))

    return [
        *_static_checks(registered),
        ("predicts a linear map", predicts),
        ("voxels do not interfere", independent),
        ("is repeatable", repeatable),
        ("is rebuilt from its parameters", copies),
    ]
