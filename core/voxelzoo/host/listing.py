"""The catalogue as a table: one row for each model."""

from __future__ import annotations

from typing import Any

from voxelzoo.api import ModelEntry
from voxelzoo.contract.weights import weights_location


def model_row(entry: ModelEntry) -> dict[str, Any]:
    """One model as a flat record.

    Parameters
    ----------
    entry : ModelEntry
        The row of the catalogue.

    Returns
    -------
    dict
        JSON values. ``weights`` is ``here``, ``absent``, ``not public``, or ``none`` for a model
        that needs none.
    """
    if entry.repo is None:
        weights = "none" if not entry.architecture else "not public"
    else:
        weights = "here" if weights_location(entry) is not None else "absent"
    return {
        "model": entry.name,
        "modality": entry.modality,
        "family": entry.family or entry.plugin,
        "parameters": entry.n_parameters,
        "layers": entry.n_layers,
        "width": entry.embed_dim,
        "licence": entry.licence,
        "in_paper": entry.in_paper,
        "plugin": entry.plugin,
        "weights": weights,
    }
