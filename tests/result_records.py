"""Records of results for tests, whose fields are what a test changes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from voxelzoo.store.records import ResultRecord, ScoreSummary


def make_record(**changed: Any) -> ResultRecord:
    """A record of one layer of ``opt-s`` on two test stories; scores are changed by name too."""
    of_scores = {field.name for field in fields(ScoreSummary)} & changed.keys()
    scores: dict[str, Any] = {
        "mean_r": 0.1, "median_r": 0.1, "best_voxel_r": 0.2, "mean_signed_r2": 0.01, "mean_r2": 0.0,
    } | {name: changed.pop(name) for name in of_scores}  # fmt: skip
    record: dict[str, Any] = {
        "model": "opt-s", "model_id": "opt/opt-s", "family": "opt", "n_parameters": 10**8,
        "fit": "layer", "layer": 0, "subject": "S1", "dataset": "planted", "n_voxels": 60,
        "n_undefined_voxels": 0, "n_train": 300, "n_test": 60, "kind": "stories",
        "train_stories": ("t1", "t2"), "test_stories": ("a", "b"), "train_hours": 0.5,
        "protocol": "clean", "standardised_responses": True, "tr": 2.0, "aligner": "lanczos",
        "regressor": "ridge", "delays": (1, 2), "dtype": "float32", "seed": 0,
        "scores": ScoreSummary(**scores),
    }  # fmt: skip
    return ResultRecord(**(record | changed))
