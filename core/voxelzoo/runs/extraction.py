"""From story to states on the scanner's clock: extract, align, keep.

Alignment is linear, so states are resampled while the model runs and only TR-rate states are kept,
one artefact a story and layer, unless those at the model's own times are asked for too. A run that
was cut off goes on within the story it was at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from voxelzoo.api import PluginError, ScanClock, StateBlock, Story
from voxelzoo.progress import Progress
from voxelzoo.runs.models import Alignment, Model, starts_anywhere
from voxelzoo.runs.resampling import Resampling, workplace
from voxelzoo.store.artefacts import Artefact, artefact_key
from voxelzoo.store.store import Store


def validated_blocks(
    model: Model, story: Story, layers: Sequence[int], n_times: int, start: int = 0
) -> Iterator[StateBlock]:
    """The extractor's blocks, each held to the contract: in order, gapless, finite, all there.

    From row ``start`` on, where the extractor can begin there (:func:`starts_anywhere`).
    """
    done = start
    who = f"{model.registered.id} ({model.registered.distribution})"
    extractor = model.extractor
    blocks = (
        extractor.extract(story, layers, start=start)
        if start and starts_anywhere(extractor)
        else extractor.extract(story, layers)
    )
    for block in blocks:
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
    missing = layers_to_extract(model, story, clock, alignment, layers, store, keep_states)
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


def layers_to_extract(
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
        for block in validated_blocks(model, story, layers, n_times, work.done):
            work.add(block)
            advance(block.states.shape[1])


def raw_states(
    model: Model, story: Story, layers: Sequence[int], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """States at the model's own times: ``times`` (time,) and ``states`` (layer, time, unit)."""
    times = model.extractor.times(story)
    with progress.task(f"{model.label}: story {story.name}", len(times)) as advance:
        found = []
        for block in validated_blocks(model, story, layers, len(times)):
            found.append(block.states)
            advance(block.states.shape[1])
    return times, np.concatenate(found, axis=1)
