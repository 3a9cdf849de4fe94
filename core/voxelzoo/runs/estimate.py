"""What a run takes, before it is run: passes, time, memory and disk."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxelzoo.api import Cost, EstimatesCost
from voxelzoo.data.responses import HELD_BYTES
from voxelzoo.runs.extraction import layers_to_extract
from voxelzoo.runs.models import Model
from voxelzoo.runs.plan import Plan
from voxelzoo.science.splits import Evaluation, HeldOutStories
from voxelzoo.text import human_bytes, human_seconds


@dataclass(frozen=True)
class Extraction:
    """Extracting what the store lacks. ``None`` where the extractor does not tell."""

    n_stories: int
    """Stories that have to be read, of those of the plan."""
    n_states: int
    n_passes: int | None
    n_fed: int | None
    """Tokens or frames that pass through the network."""
    flops: float | None
    seconds: float | None
    peak_bytes: float | None
    """Memory of the network and of a batch on its way through it."""


@dataclass(frozen=True)
class Estimate:
    """What one model takes."""

    model: str
    n_layers: int
    n_stories: int
    extraction: Extraction
    n_rows: int
    """Training rows (TRs) of a fit."""
    n_features: int | None
    """Columns of the design, delays included."""
    n_voxels: int
    """Of the subject with the most, where that is known without reading responses."""
    n_fits: int
    fit_bytes: float | None
    """Memory of design, decomposition and what is held of the responses."""
    peak_bytes: float | None
    """Memory of the process: what it has now, and the larger of extraction and fit."""
    store_bytes: float | None
    """What is added to the store, before compression."""

    def record(self) -> dict[str, Any]:
        """As one flat record."""
        flat = asdict(self)
        extraction = flat.pop("extraction")
        return flat | {
            "stories_to_read": extraction.pop("n_stories"),
            **{f"extraction_{name}": value for name, value in extraction.items()},
        }


def estimate(plan: Plan, model: Model, layers: Sequence[int]) -> Estimate:
    """What running ``model`` would take. Nothing is loaded; stimuli and clocks are read."""
    extraction = estimate_extraction(plan, model, layers)
    evaluation = plan.evaluation
    rows = {name: clock.n_trs for name, (_, clock) in plan.stimuli.items()}
    n_rows = max(sum(rows[name] for name in _train(evaluation, s)) for s in plan.subjects)
    n_all = sum(rows.values())
    n_voxels = max(_n_voxels(plan, subject) for subject in plan.subjects)
    units = model.request.model.embed_dim
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
        model=model.label,
        n_layers=len(layers),
        n_stories=len(rows),
        extraction=extraction,
        n_rows=n_rows,
        n_features=n_features,
        n_voxels=n_voxels,
        n_fits=len(layers) * len(plan.subjects) * getattr(evaluation, "n_folds", 1),
        fit_bytes=fit,
        peak_bytes=peak_memory() + max(largest) if largest else None,
        store_bytes=store,
    )


def estimate_extraction(plan: Plan, model: Model, layers: Sequence[int]) -> Extraction:
    """What it takes to make the states that the store lacks."""
    extractor = model.extractor
    costs: list[Cost] = []
    n_stories = n_states = 0
    for story, clock in plan.stimuli.values():
        missing = layers_to_extract(
            model, story, clock, plan.alignment, layers, plan.store, "states" in plan.keep
        )
        if not missing:
            continue
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
        seconds=sum(cost.seconds for cost in costs),
        peak_bytes=max((cost.peak_bytes for cost in costs), default=0.0),
    )


class CostCheck:
    """Holds an extraction to its estimate."""

    def __init__(self, plan: Plan, model: Model, layers: Sequence[int]) -> None:
        self._model = model
        self._planned = estimate_extraction(plan, model, layers)
        self._before = peak_memory()
        self._begun = time.monotonic()

    def compared(self) -> str | None:
        """A line: what was taken and what had been planned; ``None`` where nothing was planned."""
        if not self._planned.seconds or self._planned.peak_bytes is None:
            return None
        took = time.monotonic() - self._begun
        planned = self._before + self._planned.peak_bytes
        return (
            f"{self._model.label}: states in {human_seconds(took)} "
            f"(planned {human_seconds(self._planned.seconds)}), "
            f"{human_bytes(peak_memory())} of memory at most (planned {human_bytes(planned)})"
        )


def peak_memory() -> int:
    """Most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _train(evaluation: Evaluation, subject: str) -> Sequence[str]:
    if isinstance(evaluation, HeldOutStories):
        return evaluation.of(subject).train
    return evaluation.stories


def _fit_bytes(plan: Plan, n_rows: int, n_all: int, n_features: int, n_voxels: int) -> float:
    """Memory of one fit: designs, float32; a decomposition, float64, with its eigenvectors and
    what finding them takes; responses, three times, unless they are read from disk by voxel."""
    delays = 1 if plan.regressor.spec.delays == "self" else len(plan.delays)
    designs = 3 * 4.0 * n_all * n_features * delays / len(plan.delays)
    decomposition = 4 * 8.0 * min(n_rows, n_features) ** 2
    responses = 4.0 * n_all * n_voxels
    if responses > HELD_BYTES and plan.regressor.spec.streams:
        responses = HELD_BYTES + 4.0 * (n_all - n_rows or n_all) * n_voxels
    return designs + decomposition + 3 * responses


def _n_voxels(plan: Plan, subject: str) -> int:
    return int(plan.dataset.responses(subject, _train(plan.evaluation, subject)[0]).shape[-1])
