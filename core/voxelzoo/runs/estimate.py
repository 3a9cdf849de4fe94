"""What a run will take: passes, time, memory and disk."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxelzoo.api import Cost, EstimatesCost
from voxelzoo.data.opening import opened_responses
from voxelzoo.data.responses import HELD_BYTES
from voxelzoo.runs.extraction import layers_to_extract
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.plan import Plan
from voxelzoo.text import human_bytes, human_seconds


@dataclass(frozen=True)
class Extraction:
    """What it takes to extract the states that are not done yet.

    None where the extractor gives no estimate.
    """

    n_stories: int
    """Stories that the model has to read."""
    n_states: int
    """States of those stories, at the model's own times."""
    n_passes: int | None
    """Passes through the network."""
    n_fed: int | None
    """Tokens or frames that go through the network."""
    flops: float | None
    """Floating-point operations."""
    seconds: float | None
    """Time, loading the model included."""
    peak_bytes: float | None
    """Memory of the network and of one batch."""


@dataclass(frozen=True)
class Estimate:
    """What running one model will take."""

    model: str
    """The model's name."""
    n_layers: int
    """Layers that are fitted."""
    n_stories: int
    """Stories of the plan."""
    extraction: Extraction
    """What extraction takes."""
    n_rows: int
    """Training rows (TRs) of one fit."""
    n_features: int | None
    """Columns of the design, delays included."""
    n_voxels: int
    """Voxels of the subject with the most."""
    n_fits: int
    """Fits in all."""
    fit_bytes: float | None
    """Memory of one fit: design, decomposition and responses."""
    peak_bytes: float | None
    """Memory of the process: what it uses now, and the larger of extraction and fit."""
    store_bytes: float | None
    """Added to the store, before compression."""

    def record(self) -> dict[str, Any]:
        """As one flat record."""
        flat = asdict(self)
        extraction = flat.pop("extraction")
        return flat | {
            "stories_to_read": extraction.pop("n_stories"),
            **{f"extraction_{name}": value for name, value in extraction.items()},
        }


def estimate(plan: Plan, keys: StateKeys, reuse: bool = True) -> Estimate:
    """Estimate what running a model will take. Stories and clocks are read; nothing is loaded.

    Parameters
    ----------
    plan : Plan
        The settings.
    keys : StateKeys
        The model and its layers.
    reuse : bool, default True
        Whether states that are in the store count as done.

    Returns
    -------
    Estimate
    """
    layers = keys.layers
    extraction = estimate_extraction(plan, keys, layers, reuse)
    evaluation, rows = plan.evaluation, plan.n_trs
    n_rows = max(sum(rows[name] for name in evaluation.train_for(s)) for s in plan.subjects)
    n_all = sum(rows.values())
    n_voxels = max(_n_voxels(plan, subject) for subject in plan.subjects)
    units = keys.model.request.model.embed_dim
    n_features = None if units is None else units * len(plan.delays)
    fit = store = None
    if n_features is not None and units is not None:
        fit = _fit_bytes(plan, n_rows, n_all, n_features, n_voxels)
        store = 4.0 * len(layers) * n_all * units
        if "states" in plan.keep:
            store += 4.0 * len(layers) * extraction.n_states * units
        n_held_out = n_all - n_rows or n_all
        kept = 8.0 * 6 + (8.0 * n_held_out if "predictions" in plan.keep else 0.0)
        store += kept * n_voxels * len(layers) * len(plan.subjects)
    largest = [size for size in (fit, extraction.peak_bytes) if size is not None]
    return Estimate(
        model=keys.model.label,
        n_layers=len(layers),
        n_stories=len(rows),
        extraction=extraction,
        n_rows=n_rows,
        n_features=n_features,
        n_voxels=n_voxels,
        n_fits=len(layers) * len(plan.subjects) * evaluation.n_fits,
        fit_bytes=fit,
        peak_bytes=peak_memory() + max(largest) if largest else None,
        store_bytes=store,
    )


def estimate_extraction(
    plan: Plan, keys: StateKeys, layers: Sequence[int], reuse: bool = True
) -> Extraction:
    """Estimate what it takes to extract states.

    Parameters
    ----------
    plan : Plan
        The settings.
    keys : StateKeys
        The model.
    layers : sequence of int
        The layers.
    reuse : bool, default True
        Whether states that are in the store count as done.

    Returns
    -------
    Extraction
    """
    extractor = keys.model.extractor
    costs: list[Cost] = []
    n_stories = n_states = 0
    for name in plan.evaluation.stories:
        missing = list(layers)
        if reuse:
            missing = layers_to_extract(keys, name, layers, plan.store, "states" in plan.keep)
        if not missing:
            continue
        story = keys.stimuli[name].story
        n_stories += 1
        n_states += len(extractor.times(story))
        if isinstance(extractor, EstimatesCost):
            costs.append(extractor.cost(story, missing))
    if not isinstance(extractor, EstimatesCost):
        return Extraction(n_stories, n_states, None, None, None, None, None)
    return Extraction(
        n_stories,
        n_states,
        n_passes=sum(cost.n_passes for cost in costs),
        n_fed=sum(cost.n_fed for cost in costs),
        flops=sum(cost.flops for cost in costs),
        seconds=sum(cost.seconds for cost in costs)
        + max((cost.load_seconds for cost in costs), default=0.0),
        peak_bytes=max((cost.peak_bytes for cost in costs), default=0.0),
    )


class CostCheck:
    """Compares an extraction with its estimate. Made just before the extraction."""

    def __init__(self, plan: Plan, keys: StateKeys, layers: Sequence[int]) -> None:
        self._label = keys.model.label
        self._planned = estimate_extraction(plan, keys, layers)
        self._before = peak_memory()
        self._begun = time.monotonic()

    def compared(self) -> str | None:
        """One line: time and memory, with the estimates; None if there is no estimate."""
        if not self._planned.seconds or self._planned.peak_bytes is None:
            return None
        took = time.monotonic() - self._begun
        planned = self._before + self._planned.peak_bytes
        return (
            f"{self._label}: states in {human_seconds(took)} "
            f"(planned {human_seconds(self._planned.seconds)}), "
            f"{human_bytes(peak_memory())} of memory at most (planned {human_bytes(planned)})"
        )


def peak_memory() -> int:
    """The most memory that this process has used so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _fit_bytes(plan: Plan, n_rows: int, n_all: int, n_features: int, n_voxels: int) -> float:
    """Memory of one fit: designs in float32; a decomposition in float64, with its eigenvectors and
    work space; responses, three times, unless they are read from disk by voxel."""
    delays = 1 if plan.regressor.spec.delays == "self" else len(plan.delays)
    designs = 3 * 4.0 * n_all * n_features * delays / len(plan.delays)
    decomposition = 4 * 8.0 * min(n_rows, n_features) ** 2
    responses = 4.0 * n_all * n_voxels
    if responses > HELD_BYTES and plan.regressor.spec.streams:
        responses = HELD_BYTES + 4.0 * (n_all - n_rows or n_all) * n_voxels
    return designs + decomposition + 3 * responses


def _n_voxels(plan: Plan, subject: str) -> int:
    if (labels := plan.dataset.voxel_labels(subject)) is not None:
        return len(labels)  # without reading a response
    story = plan.evaluation.train_for(subject)[0]
    with opened_responses(plan.dataset, subject, story) as responses:
        return int(responses.shape[-1])
