"""From story to states on the scanner's clock: extract, align, keep.

Alignment is linear, so states are resampled while the model runs and only TR-rate states are kept,
one artefact a story and layer, unless those at the model's own times are asked for too. A run that
was cut off goes on within the story it was at.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from voxelzoo.api import (
    Aligner,
    AlignerSpec,
    Extractor,
    ExtractorRequest,
    ExtractorSpec,
    PluginError,
    ScanClock,
    StateBlock,
    Story,
    UsageError,
)
from voxelzoo.host import Registered, load_target
from voxelzoo.progress import Progress
from voxelzoo.resampling import Resampling, workplace
from voxelzoo.store import Artefact, Store, artefact_key


@dataclass(frozen=True)
class Model:
    """A model ready to read stories: its row, who runs it, and the extractor."""

    registered: Registered[ExtractorSpec]
    request: ExtractorRequest
    extractor: Extractor

    @classmethod
    def open(cls, registered: Registered[ExtractorSpec], request: ExtractorRequest) -> Model:
        """Builds the extractor; its weights are loaded by the first story."""
        return cls(registered, request, load_target(registered)(request))

    @property
    def label(self) -> str:
        """Name for people: ``whisper-tiny``, with ``(untrained)`` where it is."""
        return self.request.model.name + (" (untrained)" if self.request.untrained else "")

    def provenance(self, story: Story, layer: int | None) -> dict[str, Any]:
        """All that determines this model's states for a story."""
        model, request = self.request.model, self.request
        return {
            "extractor": {
                "id": self.registered.id,
                "distribution": self.registered.distribution,
                "version": self.registered.version,
                "fingerprint": dict(self.extractor.fingerprint()),
            },
            "model": {
                "id": model.id,
                "repo": model.repo,
                "revision": model.revision,
                "architecture": dict(model.architecture),
            },
            "untrained": request.untrained,
            "seed": request.seed if request.untrained else None,
            "dtype": request.dtype,
            "protocol": request.protocol,
            "options": {
                name: value
                for name, value in request.options.items()
                if name not in self.registered.spec.neutral_options
            },
            "story": story.digest(model.modality),
            "layer": layer,
        }


@dataclass(frozen=True)
class Alignment:
    """An aligner ready to use, and who brought it."""

    registered: Registered[AlignerSpec]
    aligner: Aligner

    @classmethod
    def open(cls, registered: Registered[AlignerSpec], options: Mapping[str, Any]) -> Alignment:
        """Builds the aligner with its options."""
        return cls(registered, build(registered, options))

    def provenance(self) -> dict[str, Any]:
        """All that determines what it does."""
        return {
            "id": self.registered.id,
            "distribution": self.registered.distribution,
            "version": self.registered.version,
            "fingerprint": dict(self.aligner.fingerprint()),
        }


def build(registered: Registered[Any], options: Mapping[str, Any]) -> Any:
    """``target(**options)``; :class:`UsageError` for an option it does not have."""
    target = load_target(registered)
    known = [name for name in inspect.signature(target).parameters if name != "self"]
    if unknown := [name for name in options if name not in known]:
        raise UsageError(
            f"{registered.spec.name} has no option {unknown[0]!r}; "
            f"it has {', '.join(known) or 'none'}"
        )
    return target(**options)


def choose_layers(model: Model, asked: str | None) -> list[int]:
    """Layers as typed: ``all``, ``last``, ``9``, ``0,4,8`` or ``0-12``."""
    known = list(model.extractor.layers())
    if asked is None or asked == "all":
        return known
    chosen: list[int] = []
    try:
        for part in asked.split(","):
            first, dash, stop = part.strip().partition("-")
            if first == "last":
                chosen.append(known[-1])
            elif dash:
                chosen.extend(range(int(first), int(stop) + 1))
            else:
                chosen.append(int(first))
    except ValueError:
        raise UsageError(f"--layer {asked!r}: say all, last, 9, 0,4,8 or 0-12") from None
    if unknown := [layer for layer in chosen if layer not in known]:
        raise UsageError(
            f"{model.label} has no layer {unknown[0]}; its layers are {known[0]} to {known[-1]}"
        )
    return list(dict.fromkeys(chosen))


def checked_blocks(
    model: Model, story: Story, layers: Sequence[int], n_times: int, start: int = 0
) -> Iterator[StateBlock]:
    """The extractor's blocks, each held to the contract: in order, gapless, finite, all there.

    From row ``start`` on, where the extractor can begin there (:func:`starts_anywhere`).
    """
    done = start
    who = f"{model.registered.id} ({model.registered.distribution})"
    extractor: Any = model.extractor
    for block in extractor.extract(story, layers, **({"start": start} if start else {})):
        if block.states.ndim != 3 or block.states.shape[0] != len(layers) or block.start != done:
            raise PluginError(
                f"{who} broke the contract on story {story.name!r}: a block of shape "
                f"{block.states.shape} at row {block.start}, expected ({len(layers)}, time, unit) "
                f"at row {done}"
            )
        if not np.isfinite(block.states).all():
            layer, row, _ = (int(i[0]) for i in np.nonzero(~np.isfinite(block.states)))
            raise PluginError(
                f"{model.label}: layer {layers[layer]} is not finite at state {done + row} of "
                f"story {story.name!r} (dtype {model.request.dtype}); nothing was kept"
            )
        done += block.states.shape[1]
        if done > n_times:
            break
        yield block
    if done != n_times:
        raise PluginError(
            f"{who} broke the contract on story {story.name!r}: {done} states for {n_times} times"
        )


def starts_anywhere(extractor: Extractor) -> bool:
    """Whether ``extract`` takes ``start``, so that a run can go on within a story."""
    return "start" in inspect.signature(extractor.extract).parameters


def aligned_states(
    model: Model,
    story: Story,
    clock: ScanClock,
    alignment: Alignment,
    layers: Sequence[int],
    store: Store,
    progress: Progress,
    keep_states: bool = False,
) -> dict[int, Artefact]:
    """TR-rate states of each layer, (TR, unit): from the store, or computed in one pass.

    With ``keep_states`` the states at the model's own times go to the store as well. Where they are
    there, another aligner or clock needs no model.
    """
    wanted = {layer: states_provenance(model, story, clock, alignment, layer) for layer in layers}
    missing = lacking(model, story, clock, alignment, layers, store, keep_states)
    if missing:
        needs = {str(layer): wanted[layer] for layer in missing} | {"keep_states": keep_states}
        with workplace(store.root, artefact_key(needs)) as folder:
            times = model.extractor.times(story)
            work = Resampling(
                folder,
                _weights(model, story, alignment, times, clock),
                len(missing),
                keep_states,
                resume=starts_anywhere(model.extractor),
            )
            _extract(model, story, missing, work, progress)
            for i, layer in enumerate(missing):
                store.put("aligned", wanted[layer], {"states": work.aligned(i)})
                if keep_states:
                    states_and_times: dict[str, NDArray[Any]]
                    states_and_times = {"states": work.states(i), "times": times}
                    store.put("states", model.provenance(story, layer), states_and_times)
    found: dict[int, Artefact] = {}
    for layer in layers:
        aligned = store.find("aligned", wanted[layer])
        if aligned is None:
            states = store.find("states", model.provenance(story, layer))
            assert states is not None, "neither lacking nor there"
            weights = _weights(model, story, alignment, states.read("times"), clock)
            resampled = weights.astype(np.float32) @ states.read("states")
            aligned = store.put("aligned", wanted[layer], {"states": resampled})
        found[layer] = aligned
    return found


def lacking(
    model: Model,
    story: Story,
    clock: ScanClock,
    alignment: Alignment,
    layers: Sequence[int],
    store: Store,
    keep_states: bool,
) -> list[int]:
    """Layers for which the model has to read the story."""
    missing = []
    for layer in layers:
        wanted = states_provenance(model, story, clock, alignment, layer)
        if not keep_states and store.find("aligned", wanted) is not None:
            continue
        if store.find("states", model.provenance(story, layer)) is None:
            missing.append(layer)
    return missing


def states_provenance(
    model: Model, story: Story, clock: ScanClock, alignment: Alignment, layer: int
) -> dict[str, Any]:
    """All that determines TR-rate states of one layer of one story."""
    return {
        **model.provenance(story, layer),
        "aligner": alignment.provenance(),
        "clock": {"tr": clock.tr, "start": clock.start, "n_trs": clock.n_trs},
    }


def _weights(
    model: Model, story: Story, alignment: Alignment, times: NDArray[np.float64], clock: ScanClock
) -> scipy.sparse.csc_array:
    """The aligner's matrix (TR, time): few scan times see a state, so it is kept sparse."""
    if np.any(np.diff(times) < 0):
        raise PluginError(f"{model.registered.id}: the times of story {story.name!r} decrease")
    weights = scipy.sparse.csc_array(alignment.aligner.weights(times, clock.times))
    weights.sort_indices()
    return weights


def _extract(
    model: Model, story: Story, layers: Sequence[int], work: Resampling, progress: Progress
) -> None:
    """Runs the model over what the work still lacks."""
    if not work.n_times:
        raise PluginError(f"{model.label} gives no state for story {story.name!r}")
    name, n_times = f"{model.label}: story {story.name}", work.n_times
    if work.done:
        progress.say(f"{name}: goes on after {work.done} of {n_times} states")
    if work.done == n_times:
        return
    with progress.task(name, n_times - work.done) as advance:
        for block in checked_blocks(model, story, layers, n_times, work.done):
            work.add(block)
            advance(block.states.shape[1])


def raw_states(
    model: Model, story: Story, layers: Sequence[int], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """States at the model's own times: ``times`` (time,) and ``states`` (layer, time, unit)."""
    times = model.extractor.times(story)
    with progress.task(f"{model.label}: story {story.name}", len(times)) as advance:
        found = []
        for block in checked_blocks(model, story, layers, len(times)):
            found.append(block.states)
            advance(block.states.shape[1])
    return times, np.concatenate(found, axis=1)
