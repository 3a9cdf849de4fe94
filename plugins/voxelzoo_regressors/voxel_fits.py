"""The fits of all voxels to one design: penalties, weights and predictions, block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo.api import blocks, halved
from voxelzoo_regressors.alpha_search import AlphaSearch, best_alpha, has_bfloat16
from voxelzoo_regressors.arrays import Floats, Rows, as_numpy
from voxelzoo_regressors.blocks import LEAST_VOXELS, response_blocks
from voxelzoo_regressors.design import Design
from voxelzoo_regressors.scoring import Score

log = logging.getLogger("voxelzoo.ridge")

PROBED_VOXELS = 128
"""Voxels on which bfloat16 products are tried."""


class VoxelFits:
    """The fits of all voxels to one design.

    Weights are kept in the eigenbasis, (rank, voxel). For lazy responses even those could exceed
    memory; they are then not kept but computed again from the responses.

    Parameters
    ----------
    search : AlphaSearch
        Of the design.
    Y : array of shape (row, voxel)
        Responses: a NumPy array, or a lazy array that is read in blocks.
    block : int
        Voxels per block. Becomes smaller if memory runs out.
    """

    def __init__(self, search: AlphaSearch, Y: Any, block: int) -> None:
        n_voxels = Y.shape[1]
        self.search = search
        self.block = block
        self.dtype = np.dtype(np.float64 if search.dtype == torch.float64 else np.float32)
        self.usable = np.zeros(n_voxels, dtype=bool)
        self._choice = np.zeros(n_voxels, dtype=np.intp)
        self._mean = np.zeros(n_voxels)
        self._responses = None if isinstance(Y, np.ndarray) else Y
        self._shrunk: NDArray[Any] | None = None
        if self._responses is None:
            self._shrunk = np.zeros((len(search.decomposition.s), n_voxels), self.dtype)

    # Fit ---------------------------------------------------------------------------------------

    def score(self, Y: Any, scores: Sequence[Score], sweep: str = "same") -> Floats:
        """Held-out scores of every alpha; finds out which voxels are usable.

        Parameters
        ----------
        Y : array of shape (row, voxel)
            Responses.
        scores : sequence of Score
            Which scores; the first one decides about precision.
        sweep : {"same", "bfloat16", "auto"}, default "same"
            Precision of the large products, as for :class:`voxelzoo_regressors.Ridge`.

        Returns
        -------
        ndarray of shape (score, alpha, voxel)
            NaN for voxels that are not usable.
        """
        n_voxels = Y.shape[1]
        table = np.full((len(scores), len(self.search.alphas), n_voxels), np.nan)
        for block, y, defined in self._blocks(Y):
            if sweep != "same" and not self.usable.any():
                self._settle_precision(y[:, :PROBED_VOXELS], scores[0], sweep)
            self.usable[block] = defined
            voxels = np.arange(n_voxels)[block][defined]
            table[..., voxels], Z, self._mean[voxels] = self._score_block(y, scores)
            if self._shrunk is not None:
                self._shrunk[:, voxels] = Z
        return table

    def choose(self, scores: Floats, scope: str | NDArray[Any]) -> Rows:
        """Chooses each voxel's penalty, and makes the final fit at it.

        Parameters
        ----------
        scores : ndarray of shape (alpha, voxel)
            What :meth:`score` returned, for the score that decides.
        scope : {"voxel", "shared"} or array of shape (usable voxel,)
            As for :func:`voxelzoo_regressors.alpha_search.best_alpha`.

        Returns
        -------
        ndarray of int, shape (voxel,)
            Index of each voxel's alpha; 0 for voxels that are not usable.
        """
        self._choice[self.usable] = best_alpha(scores[:, self.usable], scope)
        if self._shrunk is not None:
            for voxels in blocks(len(self._choice), self.block):
                Z = torch.as_tensor(self._shrunk[:, voxels], device=self.search.device)
                choice = torch.as_tensor(self._choice[voxels], device=self.search.device)
                self._shrunk[:, voxels] = self.search.shrink(Z, choice).cpu().numpy()
        return self._choice

    def _blocks(self, Y: Any) -> Iterator[tuple[slice, Tensor, NDArray[np.bool_]]]:
        return response_blocks(Y, lambda: self.block, self.search.device, self.search.dtype)

    def _score_block(
        self, y: Tensor, scores: Sequence[Score]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Scores (score, alpha, voxel), coordinates (rank, voxel) and means (voxel,) of a block.

        If memory runs out, the block is split, and later blocks are smaller.
        """
        try:
            projected = self.search.project(y)
            scored = self.search.scores(projected, *scores)
            return scored.cpu().numpy(), projected.Z.cpu().numpy(), projected.mean.cpu().numpy()
        except RuntimeError as error:
            smaller = halved(y.shape[1], error, LEAST_VOXELS)
            if smaller is None:
                raise
        self.block = smaller
        log.warning("ridge: out of memory; continuing with blocks of %d voxels", smaller)
        parts = [self._score_block(part, scores) for part in y.split(smaller, dim=1)]
        table, Z, mean = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        return table, Z, mean

    def _settle_precision(self, y: Tensor, score: Score, sweep: str) -> None:
        """Tries bfloat16 products on a few voxels, and keeps them if they save time."""
        search = self.search
        if sweep == "bfloat16":
            search.settle_precision(search.project(y), score, always=True)
        elif search.dtype == torch.float32 and has_bfloat16(search.device):
            search.settle_precision(search.project(y), score, always=False)

    # Results -----------------------------------------------------------------------------------

    def predictions(self, design: Design) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Predictions (row, voxel) for each block of voxels, in order; NaN if not usable."""
        rows = self.search.decomposition.coordinates(design, self.search.dtype)
        for voxels, shrunk, mean in self._weight_blocks():
            # A prediction can vary by less than its mean's rounding error in float32.
            prediction = (rows @ shrunk + mean).cpu().numpy()
            prediction[:, ~self.usable[voxels]] = np.nan
            yield voxels, prediction

    def all_held_out(self, Y: Any) -> NDArray[Any]:
        """Held-out predictions (row, voxel) of all voxels at their penalties; NaN if not usable."""
        predictions = np.full(Y.shape, np.nan)
        for block, y, defined in self._blocks(Y):
            voxels = np.arange(Y.shape[1])[block][defined]
            predictions[:, voxels] = self._held_out(y, voxels)
        return predictions

    def held_out(self, Y: Any, voxels: slice) -> NDArray[Any]:
        """Held-out predictions of some voxels at their penalties.

        Parameters
        ----------
        Y : array of shape (row, voxel)
            Responses of all voxels that were fitted.
        voxels : slice
            Which voxels.

        Returns
        -------
        ndarray of shape (row, voxel)
            NaN for voxels that are not usable.
        """
        start, stop, _ = voxels.indices(len(self._choice))
        predictions = np.full((Y.shape[0], stop - start), np.nan)
        usable = np.flatnonzero(self.usable[voxels])
        if len(usable):
            values = np.asarray(as_numpy(Y[:, voxels]))[:, usable]
            y = torch.tensor(values, dtype=self.search.dtype, device=self.search.device)
            predictions[:, usable] = self._held_out(y, start + usable)
        return predictions

    def _held_out(self, y: Tensor, voxels: Rows) -> NDArray[Any]:
        """Held-out predictions of these voxels from their responses ``y``, (row, voxel)."""
        choice = torch.as_tensor(self._choice[voxels], device=y.device)
        predictions: NDArray[Any] = (
            self.search.held_out(self.search.project(y), choice).cpu().numpy()
        )
        return predictions

    def coefficients(self, voxels: slice) -> NDArray[Any]:
        """Weights (voxel, feature) of some voxels; NaN if not usable."""
        parts = [
            self.search.decomposition.coefficients(shrunk).T.cpu().numpy()
            for _, shrunk, _ in self._weight_blocks(voxels)
        ]
        weights: NDArray[Any] = np.concatenate(parts).astype(self.dtype)
        weights[~self.usable[voxels]] = np.nan
        return weights

    def intercepts(self) -> NDArray[Any]:
        """Constants (voxel,); NaN if not usable."""
        decomposition = self.search.decomposition
        parts = [
            (mean - decomposition.mean @ decomposition.coefficients(shrunk)).cpu().numpy()
            for _, shrunk, mean in self._weight_blocks()
        ]
        constants: NDArray[Any] = np.concatenate(parts).astype(self.dtype)
        constants[~self.usable] = np.nan
        return constants

    def _weight_blocks(self, voxels: slice = slice(None)) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Weights in the eigenbasis and means of each block of some voxels, in order."""
        first, stop, _ = voxels.indices(len(self._choice))
        device, dtype = self.search.device, self.search.dtype
        for part in blocks(stop - first, self.block):
            block = slice(first + part.start, first + part.stop)
            if self._shrunk is not None:
                shrunk = torch.as_tensor(self._shrunk[:, block], device=device)
                yield block, shrunk, torch.as_tensor(self._mean[block], device=device)
                continue
            assert self._responses is not None
            values = np.nan_to_num(np.asarray(self._responses[:, block]))
            y = self.search.project(torch.tensor(values, dtype=dtype, device=device))
            choice = torch.as_tensor(self._choice[block], device=device)
            yield block, self.search.shrink(y.Z, choice), y.mean
