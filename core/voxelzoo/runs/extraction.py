"""From story to states at scan times: extract, align, keep.

Alignment is linear, so states are resampled while the model runs, and only TR-rate states are kept:
one artefact for each story and layer. States at the model's own times are kept on request. An
interrupted run continues within the story it was at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import PluginError, StateBlock, Story
from voxelzoo.host.boundary import plugin_call
from voxelzoo.progress import Progress
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.models import Model, starts_anywhere
from voxelzoo.runs.resampling import Resampling, workplace
from voxelzoo.runs.state_norms import StateNorms
from voxelzoo.store.artefacts import Artefact, artefact_key
from voxelzoo.store.store import Store

if TYPE_CHECKING:
    import scipy.sparse


OUTSIDE_SECONDS = 0.1
"""How far a state may stand before or after its story: frames of sound are rounded."""


def validated_blocks(
    model: Model, story: Story, layers: Sequence[int], n_times: int, start: int = 0
) -> Iterator[StateBlock]:
    """The extractor's blocks, checked against the contract: in order, complete and finite.

    After the last block the user is told if single states are many times larger than the others.

    Parameters
    ----------
    model : Model
        The model.
    story : Story
        What it reads.
    layers : sequence of int
        The layers to extract.
    n_times : int
        Number of states that the model has times for.
    start : int, default 0
        First row, if the extractor can begin there (:func:`starts_anywhere`).

    Yields
    ------
    StateBlock
    """
    done, norms = start, StateNorms(layers)
    who = f"{model.registered.id} ({model.registered.distribution})"
    # States of the dataset's own files declare no width: the first story's stood in for one.
    width = None if model.registered.spec.reads_features else model.request.model.embed_dim
    for block in _blocks(model, story, layers, start):
        _check_block(block, len(layers), width, done, f"{who}, story {story.name!r}")
        width = block.states.shape[2]
        if not np.isfinite(block.states).all():
            layer, row, _ = (int(i[0]) for i in np.nonzero(~np.isfinite(block.states)))
            raise PluginError(
                f"{model.label}: layer {layers[layer]} is not finite at state {done + row} of "
                f"story {story.name!r} (dtype {model.request.dtype}); nothing was kept"
            )
        done += block.states.shape[1]
        if done > n_times:
            break
        norms.add(block)
        yield block
    if done != n_times:
        raise PluginError(
            f"{who} broke the contract on story {story.name!r}: {done} states for {n_times} times"
        )
    # Of a baseline, such as sound power, single large values are what it measures.
    if model.request.model.is_network or model.registered.spec.reads_features:
        _report_large_states(model, story, norms)


def _report_large_states(model: Model, story: Story, norms: StateNorms) -> None:
    """Tells the user of states that are many times larger than the others."""
    if (warning := norms.warning(model.extractor.times(story))) is None:
        return
    token, first = model.first_token, ""
    if token is not None:
        first = f"; its first token is {token}, and --first-token chooses another"
    model.request.notify(f"{model.label}: story {story.name}: {warning}{first}")


def _blocks(model: Model, story: Story, layers: Sequence[int], start: int) -> Iterator[StateBlock]:
    """The extractor's blocks; whatever it raises names it and the story."""
    extractor = model.extractor
    with plugin_call(f"{model.label}: {_who(model)}", f"on story {story.name!r}"):
        blocks = (
            extractor.extract(story, layers, start=start)
            if start and starts_anywhere(extractor)
            else extractor.extract(story, layers)
        )
        iterator = iter(blocks)
    while True:
        with plugin_call(f"{model.label}: {_who(model)}", f"on story {story.name!r}"):
            block = next(iterator, None)
        if block is None:
            return
        yield block


def _check_block(
    block: StateBlock, n_layers: int, width: int | None, start: int, where: str
) -> None:
    """Raise :class:`PluginError` unless a block of states is what was declared."""
    states = block.states
    if not isinstance(states, np.ndarray) or states.dtype.kind != "f" or states.dtype.itemsize < 4:
        kind = states.dtype if isinstance(states, np.ndarray) else type(states).__name__
        raise PluginError(f"{where}: states are {kind}; expected an array of float32")
    if states.ndim != 3 or states.shape[0] != n_layers or block.start != start:
        raise PluginError(
            f"{where} broke the contract: a block of shape {states.shape} at row {block.start}, "
            f"expected ({n_layers}, time, unit) at row {start}"
        )
    if width is not None and states.shape[2] != width:
        raise PluginError(f"{where}: states are {states.shape[2]} wide; {width} are declared")


def state_times(model: Model, story: Story) -> NDArray[np.float64]:
    """When the states of a story are, checked against the contract.

    Parameters
    ----------
    model : Model
        The model.
    story : Story
        The story.

    Returns
    -------
    (time,) array
        Seconds on the story's clock.

    Raises
    ------
    PluginError
        If they are not finite, decrease, or lie outside the story.
    """
    with plugin_call(f"{model.label}: {_who(model)}", f"on story {story.name!r}"):
        times: NDArray[np.float64] = np.asarray(model.extractor.times(story), dtype=np.float64)
    where = f"{_who(model)}: the times of story {story.name!r}"
    if times.ndim != 1:
        raise PluginError(f"{where} have shape {times.shape}; expected (time,)")
    if not np.isfinite(times).all():
        raise PluginError(f"{where} are not finite")
    if np.any(np.diff(times) < 0):
        raise PluginError(f"{where} decrease")
    if len(times) and (span := _span(model, story)) is not None:
        first, last = span
        if times[0] < first - OUTSIDE_SECONDS or times[-1] > last + OUTSIDE_SECONDS:
            raise PluginError(
                f"{where} run from {times[0]:g} to {times[-1]:g} s, outside the story, which runs "
                f"from {first:g} to {last:g} s; times are in seconds"
            )
    return times


def _span(model: Model, story: Story) -> tuple[float, float] | None:
    """Begin and end of what a model reads; None if it needs no stimulus, or there is none."""
    modality = model.request.model.modality
    if modality == "text" and story.words is not None and len(story.words):
        return min(0.0, float(story.words.onsets.min())), float(story.words.offsets.max())
    if modality == "audio" and story.audio is not None:
        return min(0.0, story.audio.start), story.audio.start + story.audio.duration
    return None


def _who(model: Model) -> str:
    registered = model.registered
    return f"{registered.id} of {registered.distribution} {registered.version}"


def aligned_states(
    keys: StateKeys,
    story: str,
    layers: Sequence[int],
    store: Store,
    progress: Progress,
    keep_states: bool = False,
) -> dict[int, Artefact]:
    """TR-rate states of each layer of a story, from the store or computed in one pass.

    Parameters
    ----------
    keys : StateKeys
        The model, the stories and the aligner, with the key of every layer and story.
    story : str
        The story.
    layers : sequence of int
        The layers.
    store : Store
        Where the states are kept.
    progress : Progress
        Told how far the model is.
    keep_states : bool, default False
        Also keep the states at the model's own times. Another aligner or clock then needs no model.

    Returns
    -------
    dict of int to Artefact
        Each with the array ``states`` (TR, unit).

    Raises
    ------
    PluginError
        If the extractor breaks its contract.
    """
    if store.holds("aligned") or store.holds("states"):
        _move_damaged_aside(keys, story, layers, store, progress, keep_states)
    missing = layers_to_extract(keys, story, layers, store, keep_states)
    if missing:
        _extract_missing(keys, story, missing, store, progress, keep_states)
    artefacts: dict[int, Artefact] = {}
    for layer in layers:
        key = keys[layer, story]
        aligned = store.get("aligned", key.key)
        if aligned is None:
            states = store.find("states", key.native)
            assert states is not None, "a layer to extract was not extracted"
            weights = _weights(keys, story, states.read("times"))
            resampled = weights.astype(np.float32) @ states.read("states")
            aligned = store.put("aligned", key.aligned, {"states": resampled})
        artefacts[layer] = aligned
    return artefacts


def _move_damaged_aside(
    keys: StateKeys,
    story: str,
    layers: Sequence[int],
    store: Store,
    progress: Progress,
    keep_states: bool,
) -> None:
    """Check every byte of the states in the store, so that damaged ones are made again."""
    for layer in layers:
        key = keys[layer, story]
        aligned = store.find_intact("aligned", key.aligned, progress.say)
        if aligned is None or keep_states:
            store.find_intact("states", key.native, progress.say)


def _extract_missing(
    keys: StateKeys,
    story: str,
    layers: Sequence[int],
    store: Store,
    progress: Progress,
    keep_states: bool,
) -> None:
    """Runs the model over a story, and keeps its states."""
    unfinished: dict[str, Any] = {str(layer): keys[layer, story].aligned for layer in layers}
    unfinished["keep_states"] = keep_states
    times = state_times(keys.model, keys.stimuli[story].story)
    with workplace(store.root, artefact_key(unfinished)) as folder:
        work = Resampling(
            folder,
            _weights(keys, story, times),
            len(layers),
            keep_states,
            resume=starts_anywhere(keys.model.extractor),
        )
        _extract(keys.model, keys.stimuli[story].story, layers, work, progress)
        for i, layer in enumerate(layers):
            key = keys[layer, story]
            store.put("aligned", key.aligned, {"states": work.aligned(i)})
            if keep_states:
                arrays: dict[str, NDArray[Any]] = {"states": work.states(i), "times": times}
                store.put("states", key.native, arrays)


def layers_to_extract(
    keys: StateKeys, story: str, layers: Sequence[int], store: Store, keep_states: bool
) -> list[int]:
    """Layers for which the model has to read the story."""
    if not store.holds("aligned") and not store.holds("states"):
        return list(layers)  # no key is made, for which the whole stimulus is read
    missing = []
    for layer in layers:
        key = keys[layer, story]
        if not keep_states and store.get("aligned", key.key) is not None:
            continue
        if store.find("states", key.native) is None:
            missing.append(layer)
    return missing


def _weights(keys: StateKeys, story: str, times: NDArray[np.float64]) -> scipy.sparse.csc_array:
    """The aligner's matrix (TR, time): few scan times see a state, so it is kept sparse."""
    import scipy.sparse  # slow to import

    scan_times = keys.stimuli[story].clock.times
    registered = keys.alignment.registered
    who = f"{registered.id} of {registered.distribution} {registered.version}"
    with plugin_call(who, f"on story {story!r}"):
        weights = scipy.sparse.csc_array(
            keys.alignment.aligner.weights(times.copy(), scan_times.copy())
        )
    if weights.shape != (len(scan_times), len(times)):
        raise PluginError(
            f"{who} broke the contract on story {story!r}: weights of shape {weights.shape}, "
            f"expected ({len(scan_times)}, {len(times)})"
        )
    if not np.isfinite(weights.data).all():
        raise PluginError(f"{who}: weights of story {story!r} are not finite")
    weights.sort_indices()
    return weights


def _extract(
    model: Model, story: Story, layers: Sequence[int], work: Resampling, progress: Progress
) -> None:
    """Runs the model over the states that the work still needs."""
    if not work.n_times:
        raise PluginError(f"{model.label} gives no state for story {story.name!r}")
    name, n_times = f"{model.label}: story {story.name}", work.n_times
    if work.done:
        progress.say(f"{name}: continues after {work.done} of {n_times} states")
    if work.done == n_times:
        return
    with progress.task(name, n_times - work.done) as advance:
        for block in validated_blocks(model, story, layers, n_times, work.done):
            work.add(block)
            advance(block.states.shape[1])


@dataclass(frozen=True)
class StoryStates:
    """States of one story at the model's own times.

    Parameters
    ----------
    times : (time,) array
        Time of each state on the story's clock, in seconds.
    layers : dict of int to (time, unit) array
        States of each layer, float32.
    """

    times: NDArray[np.float64]
    layers: dict[int, NDArray[np.float32]]


def native_states(
    model: Model, story: Story, layers: Sequence[int], progress: Progress
) -> StoryStates:
    """States at the model's own times, computed now and not kept in any store."""
    times = state_times(model, story)
    with progress.task(f"{model.label}: story {story.name}", len(times)) as advance:
        blocks = []
        for block in validated_blocks(model, story, layers, len(times)):
            blocks.append(block.states)
            advance(block.states.shape[1])
    states = np.concatenate(blocks, axis=1)
    return StoryStates(times, dict(zip(layers, states, strict=True)))
