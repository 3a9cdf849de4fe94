"""Checks of an extractor, on the very small untrained model that its spec names."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    DescribesModel,
    EstimatesCost,
    Extractor,
    ExtractorRequest,
    ExtractorSpec,
    HasFirstToken,
    ModelEntry,
    Story,
    ZooError,
)
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import load_target
from voxelzoo.runs.models import starts_anywhere
from voxelzoo.testing.report import Named, Skipped
from voxelzoo.testing.stories import silent_story, synthetic_story


def extractor_checks(registered: Registered[ExtractorSpec]) -> list[Named]:
    """Checks of an extractor; all are skipped if its spec names no tiny model."""
    tiny = registered.spec.tiny
    if tiny is None:

        def no_tiny() -> None:
            raise Skipped("the spec names no tiny model")

        return [("runs a tiny model", no_tiny)]
    trial = _Trial(registered, tiny)
    return [
        ("keeps the protocol", trial.protocol),
        ("layers and width are as declared", trial.figures),
        ("times lie in the story, in order", trial.times),
        ("blocks cover the times", trial.blocks),
        ("the same seed gives the same states", trial.deterministic),
        ("another seed gives other states", trial.seeded),
        ("a layer asked for alone is the same", trial.layers),
        ("optional Resumes: continues from the middle", trial.resumes),
        ("optional EstimatesCost: costs are positive and grow with the story", trial.costs),
        ("optional HasFirstToken: one line", trial.first_token),
        ("optional DescribesModel: the row, with its figures", trial.description),
        ("nothing after a state reaches it", trial.causal),
        ("the past does reach a state", trial.listens),
        ("a very short story runs", trial.short),
        ("silence gives finite states or is refused", trial.silent),
        ("a story without its input is refused", trial.refuses),
    ]


class _Trial:
    """A tiny model, and each check of it."""

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
        states = [block.states for block in extractor.extract(story or self.story, asked)]
        extractor.close()
        return np.concatenate(states, axis=1)

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
            assert block.states.shape[0] == len(layers), (
                f"a block has {block.states.shape[0]} of {len(layers)} layers"
            )
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
        last = list(self.open().layers())[-1]
        alone = self.states(layers=[last])
        assert np.allclose(alone[0], every[-1], rtol=1e-4, atol=1e-5), "the last layer differs"

    def resumes(self) -> None:
        extractor = self.open()
        if not starts_anywhere(extractor):
            raise Skipped("extract has no start: an interrupted run begins the story again")
        layers = list(extractor.layers())
        every = np.concatenate([b.states for b in extractor.extract(self.story, layers)], axis=1)
        middle = every.shape[1] // 2
        rest = list(extractor.extract(self.story, layers, start=middle))
        assert rest[0].start == middle, f"the first block begins at {rest[0].start}, not {middle}"
        states = np.concatenate([block.states for block in rest], axis=1)
        assert states.shape[1] == every.shape[1] - middle, f"{states.shape[1]} states"
        assert np.allclose(states, every[:, middle:], rtol=1e-4, atol=1e-5), "the states differ"

    def costs(self) -> None:
        extractor = self.open()
        if not isinstance(extractor, EstimatesCost):
            raise Skipped("it has no cost: zoo plan cannot say how long it takes")
        layers = list(extractor.layers())
        short, long = (extractor.cost(synthetic_story(s), layers) for s in (3.0, 12.0))
        for name in ("n_passes", "n_fed", "flops", "seconds", "peak_bytes"):
            value, longer = vars(short)[name], vars(long)[name]
            assert 0 < value < math.inf, f"{name} is {value}"
            assert longer >= value, f"{name} is {value} for 3 s and {longer} for 12 s"

    def first_token(self) -> None:
        extractor = self.open()
        if not isinstance(extractor, HasFirstToken):
            raise Skipped("it does not say which token begins a context")
        text = extractor.describe_first_token()
        assert isinstance(text, str), f"it is {text!r}, not text"
        assert text.strip(), "it is empty"
        assert "\n" not in text, f"it has several lines: {text!r}"

    def description(self) -> None:
        extractor = self.open()
        if not isinstance(extractor, DescribesModel):
            raise Skipped("it does not read a model's figures from its checkpoint")
        row = extractor.describe_model()
        assert isinstance(row, ModelEntry), f"it is a {type(row).__name__}, not a ModelEntry"
        figures = ("n_parameters", "n_layers", "embed_dim")
        for field in dataclasses.fields(ModelEntry):
            stated, value = getattr(self.tiny, field.name), getattr(row, field.name)
            changed = stated is not None if field.name in figures else True
            assert not changed or value == stated, f"{field.name} became {value!r}"
        weights = extractor.describe_weights()
        assert weights is None, f"random weights have the digest {weights!r}"

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
        states = self.states(synthetic_story(0.7))
        assert states.shape[1] >= 1, "no state"
        assert np.isfinite(states).all(), "states are not finite"

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
