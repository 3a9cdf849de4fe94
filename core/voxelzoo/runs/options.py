"""The options of a run, with every default: the one place that states them.

Light: neither numpy nor torch is imported, so that the command line can show the defaults at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from voxelzoo.api import UsageError
from voxelzoo.science.durations import Delays, Duration, in_trs
from voxelzoo.science.protocols import CLEAN, GAP, N_FOLDS, find_protocol

Dtype = Literal["float32", "bfloat16", "float16"]

DTYPES: tuple[Dtype, ...] = get_args(Dtype)
"""Precisions in which a network can run."""

KEEP = ("aligned", "states", "predictions", "weights", "decompositions")
"""What a run can keep in the store; ``aligned`` (states at TR rate, and scores) is always kept."""

DEFAULT_STORE = Path("zoo-store")
"""The store used unless another is given."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of :func:`voxelzoo.runs.execute.run`, ``plan`` and ``extract``.

    Parameters
    ----------
    subjects : sequence of str, default ()
        Subjects to fit; all subjects of the dataset if empty.
    layers : str, default "all"
        Layers to use, numbered as Hugging Face's ``hidden_states``: ``"all"``, ``"even"``,
        ``"last"``, ``"9"``, ``"0,4,8"`` or ``"0-12"``.
    untrained : bool, default False
        Use the model's architecture with random weights; nothing is downloaded.
    seed : int, default 0
        Seed of the random weights.
    device : str, default "cpu"
        Torch device on which the network runs.
    dtype : {"float32", "bfloat16", "float16"}, default "float32"
        Precision in which the network runs.
    window : float, optional
        Speech models: seconds of sound before each state; the extractor's default if None.
    stride : float, optional
        Speech models: seconds between states; the extractor's default if None.
    context : str, optional
        Text models: which words precede each state, such as ``"sliding:64"``; the extractor's
        default if None.
    first_token : str, optional
        Text models: the special token before every context: ``"none"``, ``"bos"``, ``"eos"``, its
        text or its number; the model's own if None.
    model_options : mapping of str to str, default {}
        Further settings of the models.
    protocol : str, default "clean"
        ``"clean"``, or ``"antonello2023"`` for the choices of that paper's released code.
    aligner, regressor : str, optional
        The protocol's if None.
    aligner_options, regressor_options : mapping, default {}
        Parameters of the aligner and the regressor.
    delays : str or sequence of int, optional
        FIR delays in TRs (``[1, 2, 3, 4]``, ``"1-4"``) or in seconds (``"2s-8s"``, ``"2s,4s"``),
        which become the nearest TRs. If None, the dataset's own, or the protocol's:
        ``"2s-8s"`` of ``clean``, 1 to 4 TRs of ``antonello2023``.
    train_stories : int, optional
        Train on this many stories, drawn at random; on all if None.
    subset_seed : int, default 0
        Seed of that draw.
    own_stories : bool, default False
        Also train each subject on stories that some other subjects did not hear.
    folds : int, default 6
        Number of cross-validation folds, if the dataset has only one story.
    gap : int or str, default "10s"
        TRs (``5``) or seconds (``"10s"``) excluded from training on each side of a held-out fold.
    ceiling : str, optional
        Method of the noise ceiling. If None, ``"schoppe"`` where held-out stories were repeated.
    shift : float, default 0
        Seconds by which the stimulus is moved: +4 moves words and sound 4 s later.
    allow_leaks : sequence of str, default ()
        Leak guards (:data:`voxelzoo.data.leaks.GUARDS`) that do not stop the run.
    keep : collection of str, default ("aligned",)
        What is kept in the store, from :data:`KEEP`.
    allow_pickle : bool, default False
        Load weights or data that exist only as pickles. Unpickling can run any code.

    Raises
    ------
    UsageError
        For a value that makes no sense whatever the data.
    """

    subjects: Sequence[str] = ()
    layers: str = "all"
    untrained: bool = False
    seed: int = 0
    device: str = "cpu"
    dtype: Dtype = "float32"
    window: float | None = None
    stride: float | None = None
    context: str | None = None
    first_token: str | None = None
    model_options: Mapping[str, str] = field(default_factory=dict)
    protocol: str = CLEAN.name
    aligner: str | None = None
    aligner_options: Mapping[str, Any] = field(default_factory=dict)
    regressor: str | None = None
    regressor_options: Mapping[str, Any] = field(default_factory=dict)
    delays: str | Sequence[int | str] | None = None
    train_stories: int | None = None
    subset_seed: int = 0
    own_stories: bool = False
    folds: int = N_FOLDS
    gap: Duration = GAP
    ceiling: str | None = None
    shift: float = 0.0
    allow_leaks: Sequence[str] = ()
    keep: Collection[str] = ("aligned",)
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        for name in ("subjects", "allow_leaks", "keep"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name} takes a list, not the string {getattr(self, name)!r}")
        find_protocol(self.protocol)
        if self.dtype not in DTYPES:
            raise UsageError(f"dtype {self.dtype!r}: use {', '.join(DTYPES)}")
        if unknown := sorted(set(self.keep) - set(KEEP)):
            raise UsageError(f"keep {unknown[0]!r}: use {', '.join(KEEP)}")
        if self.delays is not None:
            Delays.of(self.delays)
        in_trs(self.gap, 1.0, "gap")
        if not math.isfinite(self.shift):
            raise UsageError(f"shift {self.shift}: use a number of seconds")
        for name, least in (("seed", 0), ("subset_seed", 0), ("folds", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} {getattr(self, name)}: use {least} or more")


DEFAULTS = RunOptions()
"""Options of a run for which nothing was asked."""
