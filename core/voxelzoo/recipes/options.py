"""What a user can choose about a reproduction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voxelzoo.runs.options import DEFAULT_STORE, Dtype, RunOptions


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Settings of one reproduction; what is not set is the recipe's.

    Parameters
    ----------
    dataset : str, optional
        The recipe's data, as for ``zoo run --dataset``: a folder, or ``NAME:PATH``.
    dataset_options : mapping of str to str
        Settings of the dataset, in addition to the recipe's.
    models, figures, subjects : tuple of str
        Only these; all of the recipe's if empty.
    store : Path
        Folder that keeps every artefact.
    device : str
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    dtype : str, optional
        ``float32``, ``bfloat16`` or ``float16``.
    keep : collection of str
        What to keep beside scores, as for ``zoo run --keep``: ``states``, ``predictions``,
        ``weights``, ``decompositions``. Figures that need predictions keep them in any case.
    shift : float
        A control: the stimulus is shifted by so many seconds (positive: later). If it is not 0,
        nothing is compared with the paper.
    allow_pickle : bool
        Whether to load weights or data that exist only as pickles.
    """

    dataset: str | None = None
    dataset_options: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    store: Path = DEFAULT_STORE
    device: str = RunOptions.device
    dtype: Dtype | None = None
    keep: Collection[str] = RunOptions.keep
    shift: float = RunOptions.shift
    allow_pickle: bool = RunOptions.allow_pickle
