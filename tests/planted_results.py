"""Results with a planted scaling law, written to a store as a run writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from result_records import make_record
from voxelzoo.store.layout import labels_as_bytes
from voxelzoo.store.store import Store

N = {"opt-s": 10**8, "opt-m": 10**9, "opt-l": 10**10, "opt-xl": 10**11}
SLOPE = 0.04
LABELS = ("hearing", "thinking")


def put(
    store: Path,
    model: str,
    base: float,
    *,
    layers: Sequence[int] = (0, 1, 2),
    best: int = 1,
    subjects: Sequence[str] = ("S1", "S2", "S3"),
    n_stories: int = 10,
    subset_seed: int | None = None,
    **changed: Any,
) -> None:
    """Results of a model whose mean r is ``base`` at its best layer and 0.05 less at others."""
    for s, subject in enumerate(subjects):
        for layer in layers:
            rng = np.random.default_rng([s, layer])
            voxels = rng.normal(0, 0.01, 60)
            r = base - 0.05 * (layer != best) + voxels - voxels.mean() + 0.01 * (s - 1)
            r[:30] += 0.1
            r[30:] -= 0.1
            r[-1] = np.nan
            mean = float(np.nanmean(r))
            fields = {
                "model": model,
                "model_id": f"opt/{model}",
                "n_parameters": N.get(model),
                "layer": layer,
                "subject": subject,
                "mean_r": mean,
                "mean_cv_r": mean + 0.1,
                "train_stories": tuple(f"story{i}" for i in range(n_stories)),
                "train_hours": n_stories / 4,
                "subset_seed": subset_seed,
            }
            record = make_record(**fields | changed).to_json()
            arrays = {
                "r": r,
                "story/a/r": r + 0.01,
                "story/b/r": r - 0.01,
                "label": labels_as_bytes([LABELS[0]] * 30 + [LABELS[1]] * 30),
            }
            Store(store).put("results", record, arrays, record)
