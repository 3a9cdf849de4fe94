"""One result as the store keeps it: its record, and its arrays under their own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import NotFoundError, UsageError
from voxelzoo.science.held_out import HeldOut
from voxelzoo.store.artefacts import Artefact
from voxelzoo.store.layout import (
    LABELS,
    PREDICTIONS,
    groups,
    kept_with,
    labels_from_bytes,
    maps,
    weight_blocks,
)
from voxelzoo.store.notebook import html_facts
from voxelzoo.store.records import ResultRecord

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class HeldOutArrays:
    """Arrays of one held-out story or fold, each read when it is asked for."""

    artefact: Artefact
    group: str
    """Folder of the arrays."""

    @property
    def r(self) -> Floats:
        """Pearson r of predicted and measured responses, (voxel,)."""
        return self._read("r")

    @property
    def prediction(self) -> Floats:
        """Predicted responses, (TR, voxel), if predictions were kept."""
        return self._read("prediction")

    @property
    def response(self) -> Floats:
        """Measured responses, (TR, voxel), the mean over repeats, if predictions were kept."""
        return self._read("response")

    @property
    def repeats(self) -> Floats | None:
        """Each repeat's responses, (repeat, TR, voxel); ``None`` if there were no repeats."""
        there = f"{self.group}/repeats" in self.artefact.arrays
        return self._read("repeats") if there else None

    def read(self) -> dict[str, Floats]:
        """Every array, by its name in the store."""
        names = [name for name in self.artefact.arrays if name.startswith(f"{self.group}/")]
        return {name: self.artefact.read(name) for name in names}

    def _read(self, name: str) -> Floats:
        name = f"{self.group}/{name}"
        if name not in self.artefact.arrays:
            raise _without_predictions(self.artefact)
        return self.artefact.read(name)


@dataclass(frozen=True, repr=False)
class Result:
    """Scores of one fit of one subject: a record, and arrays that are read when asked for.

    Each array is read either as it is (:meth:`map`, :meth:`story`, :meth:`read_held_out`,
    :meth:`read_weights`) or as a labelled :class:`xarray.DataArray` (:meth:`array`,
    :meth:`r_by_story`, :meth:`predictions`, :meth:`responses`, :meth:`coefficients`).

    Examples
    --------
    ::

        result = open_store("zoo-store").result("3fa9")
        result.record.scores.mean_r
        result.array("r").groupby("region").mean()
    """

    artefact: Artefact
    """Where the store keeps it."""
    computed: bool = False
    """Whether this call computed it; else it was in the store."""

    @property
    def key(self) -> str:
        """Name of the result in its store: 64 hex digits."""
        return self.artefact.key

    @cached_property
    def record(self) -> ResultRecord:
        """What was fitted, how it was tested, and the scores.

        Raises
        ------
        RecordVersionError
            If another version of voxelzoo wrote the result.
        """
        return ResultRecord.from_json(self.artefact.summary, str(self.artefact.path))

    def flat(self) -> dict[str, Any]:
        """The record in one level, with ``computed`` and ``key``."""
        return {**self.record.flat(), "computed": self.computed, "key": self.key}

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything that determined the arrays; the key is its digest."""
        return self.artefact.provenance

    # ------------------------------------------------------------------------------------ voxels

    @cached_property
    def maps(self) -> tuple[str, ...]:
        """Names of the maps: ``r``, ``signed_r2``, ``r2`` and what else the fit gave."""
        return maps(self.artefact.arrays)

    def map(self, name: str) -> Floats:
        """One map.

        Parameters
        ----------
        name : str
            One of :attr:`maps`.

        Returns
        -------
        array
            (voxel,); of joint fits also ``weights`` (voxel, space), and ``split_r`` (space, voxel)
            and ``partition`` (set of spaces, voxel). NaN where undefined.

        Raises
        ------
        NotFoundError
            If the result has no such map.
        """
        if name not in self.maps:
            raise NotFoundError(
                f"result {self.key[:12]} has no map {name!r}; it has {', '.join(self.maps)}"
            )
        return self.artefact.read(name)

    @cached_property
    def labels(self) -> list[str] | None:
        """The label of each voxel, or ``None``."""
        if LABELS not in self.artefact.arrays:
            return None
        return labels_from_bytes(self.artefact.read(LABELS))

    # ---------------------------------------------------------------------------------- held out

    @cached_property
    def held_out(self) -> Mapping[str, HeldOutArrays]:
        """Arrays of every held-out story, or fold (``fold1``), in order."""
        parts = groups(self.artefact.arrays)
        return {name: HeldOutArrays(self.artefact, group) for name, group in parts.items()}

    @property
    def stories(self) -> tuple[str, ...]:
        """Names of the held-out stories; none if folds of one story were held out."""
        return tuple(self.held_out) if self.record.kind == "stories" else ()

    def story(self, name: str) -> HeldOutArrays:
        """Arrays of one held-out story; :class:`NotFoundError` if it was not held out."""
        if name not in self.stories:
            raise NotFoundError(
                f"result {self.key[:12]}: story {name!r} was not held out"
                + (f"; {', '.join(self.stories)} were" if self.stories else "")
            )
        return self.held_out[name]

    @property
    def kept(self) -> frozenset[str]:
        """What it has beside scores: ``predictions``, ``weights``."""
        return kept_with(self.artefact)

    def read_held_out(self) -> HeldOut:
        """Predictions and responses of everything that was held out.

        Raises
        ------
        UsageError
            If the result was made without ``--keep predictions``.
        """
        if PREDICTIONS not in self.kept:
            raise _without_predictions(self.artefact)
        every = {name: arrays.repeats for name, arrays in self.held_out.items()}
        return HeldOut(
            parts={name: (part.prediction, part.response) for name, part in self.held_out.items()},
            joined=self.record.kind == "stories",
            labels=self.labels,
            repeats={name: repeats for name, repeats in every.items() if repeats is not None},
        )

    def read_responses(self) -> dict[str, Floats]:
        """Held-out responses (TR, voxel) by story or fold, if predictions were kept."""
        return {name: part.response for name, part in self.held_out.items()}

    # ----------------------------------------------------------------------------------- weights

    def read_weights(self, voxels: slice = slice(None)) -> NDArray[np.float32]:
        """Weights of the design's columns.

        Parameters
        ----------
        voxels : slice
            Which voxels.

        Returns
        -------
        (delay, unit, voxel) float32
            For units that were z-scored within each story, as they were fitted. NaN for a voxel
            that could not be fitted.

        Raises
        ------
        UsageError
            If the result was made without ``--keep weights``.
        """
        blocks = weight_blocks(self.artefact.arrays)
        if not blocks:
            raise UsageError(
                f"result {self.key[:12]} kept no weights: make it again with zoo run --keep weights"
            )
        n_voxels = self.record.n_voxels
        first, stop, _ = voxels.indices(n_voxels)
        edges = pairwise([*blocks, n_voxels])
        chosen = [
            self.artefact.read(name)[..., max(0, first - start) : stop - start]
            for name, (start, end) in zip(blocks.values(), edges, strict=True)
            if start < stop and first < end
        ]
        return np.concatenate(chosen, axis=-1)

    # ------------------------------------------------------------------------------------ xarray

    def array(self, name: str = "r") -> xarray.DataArray:
        """One map with labelled axes.

        Parameters
        ----------
        name : str
            One of :attr:`maps`.

        Returns
        -------
        xarray.DataArray
            (voxel,), of joint fits also (voxel, space), (space, voxel) or (spaces, voxel). The
            coordinate ``region`` holds the label of each voxel, if there are labels. NaN where
            undefined.
        """
        from voxelzoo.store.xarrays import voxel_map

        return voxel_map(self.record, self.labels, name, self.map(name))

    def r_by_story(self) -> xarray.DataArray:
        """Pearson r in each held-out story, (story, voxel), or in each fold, (fold, voxel)."""
        from voxelzoo.store.xarrays import by_part

        parts = {name: part.r for name, part in self.held_out.items()}
        return by_part(self.record, self.labels, "r", parts)

    def predictions(self) -> xarray.DataArray:
        """Predicted responses, (story, time, voxel), or (fold, time, voxel).

        Time is in seconds from the first scan that was predicted; a story that is shorter than the
        longest is NaN after its end. Raises :class:`UsageError` if predictions were not kept.
        """
        from voxelzoo.store.xarrays import by_part

        parts = {name: part.prediction for name, part in self.held_out.items()}
        return by_part(self.record, self.labels, "prediction", parts)

    def responses(self) -> xarray.DataArray:
        """Measured responses, laid out as :meth:`predictions` are."""
        from voxelzoo.store.xarrays import by_part

        return by_part(self.record, self.labels, "response", self.read_responses())

    def coefficients(self, voxels: slice = slice(None)) -> xarray.DataArray:
        """Weights of the design's columns.

        Raises :class:`UsageError` if weights were not kept.

        Parameters
        ----------
        voxels : slice, default all
            The voxels to read.

        Returns
        -------
        DataArray
            (delay, unit, voxel), delays in seconds.
        """
        from voxelzoo.store.xarrays import coefficients

        return coefficients(self.record, self.labels, voxels, self.read_weights(voxels))

    def __repr__(self) -> str:
        record = self.record
        layer = "" if record.layer is None else f" layer {record.layer}"
        untrained = ", untrained" if record.untrained else ""
        r = "undefined" if record.scores.mean_r is None else f"{record.scores.mean_r:.3f}"
        return (
            f"<Result {self.key[:12]}: {record.model}{layer}{untrained}, {record.dataset} "
            f"{record.subject}, mean r {r}>"
        )

    def _repr_html_(self) -> str:
        return html_facts(self.flat())


def _without_predictions(artefact: Artefact) -> UsageError:
    return UsageError(
        f"result {artefact.key[:12]} kept no predictions: make it again with "
        "zoo run --keep predictions"
    )
