"""Ridge regression for many voxels, its alphas chosen by exact blocked cross-validation."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from voxelzoo.api import UsageError
from voxelzoo_regressors.arrays import (
    Kind,
    as_numpy,
    checked_fit,
    checked_rows,
    defined_voxels,
    story_names,
)
from voxelzoo_regressors.design import Design, story_slices
from voxelzoo_regressors.engine import (
    SCORES,
    AlphaSearch,
    Score,
    best_alpha,
    block_width,
    has_bfloat16,
)
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold, make_folds
from voxelzoo_regressors.recent import recent_decomposition
from voxelzoo_regressors.reduce import REDUCTIONS, unit_basis

log = logging.getLogger("voxelzoo.ridge")

ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 8, 17))
"""Penalties tried by default: designs are z-scored, so a feature's Gram entry is the row count.
They span the paper's (10^2 to 10^8) and reach down to designs of a few features."""

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


_PROBED = 128
"""Voxels on which ``sweep_dtype="auto"`` tries bfloat16, and the mean score they may lose."""
_MOST_LOST = 1e-3


class Ridge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge with one penalty a voxel, chosen by leave-one-story-out cross-validation.

    Held-out predictions come in closed form from one decomposition (:mod:`.engine`) and equal
    explicit refits. The decomposition is kept, so that the next fit on the same design (another
    subject who heard the same stories) does without.

    Parameters
    ----------
    alphas
        Penalties to try.
    alpha_convention
        ``"penalty"``: alphas are added to the Gram matrix's diagonal (scikit-learn, himalaya);
        ``"squared"``: their squares are (the paper's code: 10..10^4 there is 10^2..10^8 here).
    cv
        ``"groups"``: leave one group (story) out; five contiguous blocks where there is but one.
        ``"blocks"``: contiguous blocks of ``block_length`` rows. A number: so many contiguous
        blocks. Else a scikit-learn splitter, or (train, test) rows.
    block_length, gap
        Rows per block; rows beside a contiguous block that train no model scored on it (at most
        half a block).
    scoring
        ``"correlation"``, ``"r2"`` or ``"signed_root_r2"`` (the paper's), averaged over folds.
    alpha_scope
        ``"voxel"``: a penalty each; ``"shared"``: the one with the best mean score; or labels
        (voxel,): one for each group of voxels.
    fit_intercept
        Fit an unpenalised constant.
    delays
        FIR delays in rows, formed within groups and never stored; ``predict`` then takes groups
        too. ``None``: the design is taken as it is.
    store_cv_predictions
        Keep held-out predictions at the chosen penalties as ``cv_predictions_``.
    dtype
        Of the sweep and the predictions: ``"float32"``, ``"float64"``, or ``"auto"``, the
        design's. Decompositions are float64 always.
    sweep_dtype
        ``"bfloat16"`` makes the sweep's large products so, for choosing alphas alone; ``"same"``
        makes them in ``dtype``; ``"auto"``: bfloat16 where the hardware has it, ``dtype`` is
        float32 and the first voxels lose less than 0.001 of score by it.
    device
        A torch device; ``"auto"`` is CUDA where there is some.
    voxel_block
        Voxels at once: bounds memory, changes no choice. ``None``: by memory.
    width, reduce, seed
        Project the columns given (units, where ``delays`` are formed here: before the delays)
        onto ``width`` directions: ``"pca"``, the leading principal components of the training
        rows, or ``"random"``, Gaussian ones drawn from ``seed``. ``None``: keep all.
    cache
        Folder that keeps decompositions between runs, one file for each design; it may be
        deleted at any time. ``None``: in memory alone.

    Attributes
    ----------
    alpha_ : (voxel,)
        Penalty of each voxel, on the Gram matrix's diagonal. NaN where a voxel has responses
        that are not finite or do not vary; so are its predictions.
    n_undefined_ : int
        Number of such voxels.
    cv_scores_ : (alpha, voxel)
        Mean held-out score.
    cv_score_ : (voxel,)
        Mean held-out correlation at the chosen penalty, whatever the scoring.
    cv_predictions_ : (row, voxel)
        Held-out predictions, when asked for.
    coef_ : (voxel, feature), intercept_ : (voxel,)
        Weights, computed when asked for; :meth:`coef_block` gives some voxels'.
    path_ : str
        Which way the fit went: device, precision, primal or dual, voxels at once.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        *,
        cv: Any = "groups",
        scoring: str = "correlation",
        alpha_scope: Any = "voxel",
        alpha_convention: Literal["penalty", "squared"] = "penalty",
        fit_intercept: bool = True,
        delays: Sequence[int] | None = None,
        block_length: int = 50,
        gap: int = 5,
        store_cv_predictions: bool = False,
        dtype: str = "auto",
        sweep_dtype: str = "same",
        device: str = "auto",
        voxel_block: int | None = None,
        width: int | None = None,
        reduce: Literal["pca", "random"] = "pca",
        seed: int = 0,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.alpha_scope = alpha_scope
        self.alpha_convention = alpha_convention
        self.fit_intercept = fit_intercept
        self.delays = delays
        self.block_length = block_length
        self.gap = gap
        self.store_cv_predictions = store_cv_predictions
        self.dtype = dtype
        self.sweep_dtype = sweep_dtype
        self.device = device
        self.voxel_block = voxel_block
        self.width = width
        self.reduce = reduce
        self.seed = seed
        self.cache = cache

    # ------------------------------------------------------------------------------------- fit

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Ridge:
        """Fits ``Y`` (row, voxel) from ``X`` (row, feature); ``groups`` (row,) names each story.

        ``Y`` may be a Zarr array, or anything else sliced by voxels; it is then read a block at
        a time, now and by :meth:`predict`. Raises :class:`UsageError` for settings that make no
        sense, :class:`FitError` for data no fit can be made of.
        """
        alphas = self._alphas()
        X, Y, self._one_target = checked_fit(self, X, Y)
        names = story_names(groups, len(X))
        device = self._device()
        self._basis = None
        if self.width is not None:
            self._basis = unit_basis(X, self.width, self.reduce, self.seed)
        try:
            self._fit(X, Y, names, alphas, device)
        except torch.OutOfMemoryError:
            if device == "cpu":
                raise
            log.warning("ridge: out of memory on %s; fitting on the CPU", device)
            self._fit(X, Y, names, alphas, "cpu")
        return self

    def _fit(self, X: NDArray[Any], Y: Any, names: Any, alphas: list[float], device: str) -> None:
        self._sweep = sweep = self._prepared(X, names, alphas, device)
        n_voxels = Y.shape[1]
        self._block = self.voxel_block or block_width(len(X), len(alphas), X.itemsize)
        wanted = [SCORES[name] for name in dict.fromkeys([self.scoring, "correlation"])]
        scores = np.full((len(wanted), len(alphas), n_voxels), np.nan)
        usable = np.zeros(n_voxels, dtype=bool)
        self._lazy_responses: Any = None if isinstance(Y, np.ndarray) else Y
        lazy = self._lazy_responses is not None
        rank = len(sweep.decomposition.s)
        self._scaled = None if lazy else np.zeros((rank, n_voxels), self._np_dtype())
        self._mean = np.zeros(n_voxels, self._np_dtype())
        for block, y, defined in self._responses(Y):
            if self.sweep_dtype == "auto" and not usable.any():
                self._settle_precision(y[:, :_PROBED], wanted[0])
            usable[block] = defined
            voxels = np.arange(n_voxels)[block][defined]
            scores[..., voxels], Z, self._mean[voxels] = self._halving(wanted, y)
            if self._scaled is not None:
                self._scaled[:, voxels] = Z
        if not usable.any():
            raise FitError("no voxel has finite, varying responses")
        self.n_undefined_ = int((~usable).sum())
        if self.n_undefined_:
            log.info("ridge: %d voxels undefined (not finite, or constant)", self.n_undefined_)
        self.cv_scores_ = scores[0]
        scope = self.alpha_scope if isinstance(self.alpha_scope, str) else self._labels(usable)
        self._choice = np.zeros(n_voxels, dtype=np.intp)
        self._choice[usable] = best_alpha(scores[0][:, usable], scope)
        self.cv_score_ = scores[-1][self._choice, np.arange(n_voxels)]
        self.alpha_ = np.where(usable, np.asarray(alphas)[self._choice], np.nan)
        self._usable = usable
        self._finish(Y)
        sweep.forget_folds()
        self.path_ = (
            f"{device} {sweep.precision}, "
            f"{sweep.decomposition.path}, rank {len(sweep.decomposition.s)}, "
            f"{self._block} voxels at once"
        )

    def _settle_precision(self, y: Tensor, score: Score) -> None:
        """Whether the sweep is made in bfloat16, tried on a few voxels."""
        sweep = self._sweep
        if sweep.dtype != torch.float32 or not has_bfloat16(sweep.device):
            return
        loss = sweep.reduced_loss(sweep.project(y), score)
        sweep.reduce(loss < _MOST_LOST)
        log.info("ridge: bfloat16 products lose %.1e of score", loss)

    def _finish(self, Y: Any) -> None:
        """Shrinks the voxels' coordinates to weights in the eigenbasis, where they are kept, and
        makes held-out predictions where they are asked for."""
        n_voxels, sweep = Y.shape[1], self._sweep
        if self._scaled is not None:
            for start in range(0, n_voxels, self._block):
                block = slice(start, start + self._block)
                Z = torch.as_tensor(self._scaled[:, block], device=sweep.device)
                choice = torch.as_tensor(self._choice[block], device=sweep.device)
                self._scaled[:, block] = sweep.weights(Z, choice).cpu().numpy()
        if not self.store_cv_predictions:
            return
        self.cv_predictions_ = np.full(Y.shape, np.nan, self._np_dtype())
        for block, y, defined in self._responses(Y):
            voxels = np.arange(n_voxels)[block][defined]
            choice = torch.as_tensor(self._choice[voxels], device=y.device)
            held_out = sweep.held_out(sweep.project(y), choice)
            self.cv_predictions_[:, voxels] = held_out.cpu().numpy()
        if self._one_target:
            self.cv_predictions_ = self.cv_predictions_[:, 0]

    def _halving(
        self, wanted: Sequence[Score], y: Tensor
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Scores (score, alpha, voxel), coordinates (rank, voxel) and means of a block of voxels;
        of its halves where memory does not suffice."""
        try:
            projected = self._sweep.project(y)
            found = self._sweep.scores(projected, *wanted)
            return found.cpu().numpy(), projected.Z.cpu().numpy(), projected.mean.cpu().numpy()
        except torch.OutOfMemoryError:
            if y.shape[1] < 32:
                raise
        self._block = max(32, y.shape[1] // 2)
        log.warning("ridge: out of memory; going on with %d voxels at once", self._block)
        halves = [self._halving(wanted, half) for half in y.split(self._block, dim=1)]
        scores, Z, mean = (np.concatenate(parts, axis=-1) for parts in zip(*halves, strict=True))
        return scores, Z, mean

    def _responses(self, Y: Any) -> Iterator[tuple[slice, Tensor, NDArray[np.bool_]]]:
        """Each block of voxels: its slice, its usable responses on the device, and which those
        are."""
        device, dtype = self._sweep.device, self._sweep.dtype
        width = self._block  # which may shrink on the way
        for start in range(0, Y.shape[1], width):
            block = slice(start, min(Y.shape[1], start + width))
            values = np.ascontiguousarray(Y[:, block])
            defined = defined_voxels(values)
            if defined.any():
                values = values if defined.all() else values[:, defined]
                yield block, torch.tensor(values, dtype=dtype, device=device), defined

    # --------------------------------------------------------------------------------- predict

    def predict(self, X: Any, groups: Any = None, out: Any = None) -> Any:
        """Predictions (row, voxel); ``groups`` (row,) where the regressor forms delays.

        ``out``, such as a Zarr array, is written a block of voxels at a time and returned.
        """
        check_is_fitted(self)
        blocks = self.predict_blocks(X, groups)
        if out is not None:
            for block, prediction in blocks:
                out[:, block] = prediction
            return out
        found = np.concatenate([prediction for _, prediction in blocks], axis=1)
        return Kind.of(X).give(found[:, 0] if self._one_target else found)

    def predict_blocks(self, X: Any, groups: Any = None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Blocks of voxels with their predictions (row, voxel), in order."""
        check_is_fitted(self)
        X = checked_rows(self, X)
        design = self._design(X, story_names(groups, len(X)), str(self._sweep.device))
        rows = self._sweep.decomposition.coordinates(design, self._sweep.dtype)
        for block, scaled, mean in self._scaled_blocks():
            prediction = torch.addmm(mean, rows, scaled).cpu().numpy()
            prediction[:, ~self._usable[block]] = np.nan
            yield block, prediction

    def cv_predictions_block(self, Y: Any, voxels: slice) -> NDArray[Any]:
        """Held-out predictions (row, voxel) of some voxels at their penalties; ``Y`` (row, voxel)
        are the responses that were fitted, all of them."""
        check_is_fitted(self)
        start, stop, _ = voxels.indices(len(self.alpha_))
        found = np.full((Y.shape[0], stop - start), np.nan, self._np_dtype())
        usable = np.flatnonzero(self._usable[voxels])
        if len(usable):
            values = np.asarray(as_numpy(Y[:, voxels]))[:, usable]
            y = torch.tensor(values, dtype=self._sweep.dtype, device=self._sweep.device)
            choice = torch.as_tensor(self._choice[voxels][usable], device=y.device)
            held_out = self._sweep.held_out(self._sweep.project(y), choice)
            found[:, usable] = held_out.cpu().numpy()
        return found

    def forget_folds(self) -> None:
        """Frees what :meth:`cv_predictions_block` keeps from block to block."""
        self._sweep.forget_folds()

    @property
    def folds_(self) -> Sequence[Fold]:
        """Folds that the penalties were chosen on."""
        check_is_fitted(self)
        return self._sweep.folds

    def _scaled_blocks(self, voxels: slice = slice(None)) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Weights in the eigenbasis and constants of each block of some voxels, in order."""
        first, stop, _ = voxels.indices(len(self.alpha_))
        device = self._sweep.device
        for start in range(first, stop, self._block):
            block = slice(start, min(stop, start + self._block))
            if self._scaled is not None:
                yield (
                    block,
                    torch.as_tensor(self._scaled[:, block], device=device),
                    torch.as_tensor(self._mean[block], device=device),
                )
                continue
            y = np.nan_to_num(np.asarray(self._lazy_responses[:, block]))
            choice = torch.as_tensor(self._choice[block], device=device)
            y = self._sweep.project(torch.tensor(y, dtype=self._sweep.dtype, device=device))
            yield block, self._sweep.weights(y.Z, choice), y.mean

    def coef_block(self, voxels: slice) -> NDArray[Any]:
        """Weights (voxel, feature) of some voxels."""
        check_is_fitted(self)
        found = [
            self._sweep.decomposition.weights(scaled).T.cpu().numpy()
            for _, scaled, _ in self._scaled_blocks(voxels)
        ]
        weights: NDArray[Any] = np.concatenate(found).astype(self._np_dtype())
        if self._basis is not None:
            by_delay = weights.reshape(len(weights), -1, self._basis.shape[1])
            weights = (by_delay @ self._basis.T).reshape(len(weights), -1)
        weights[~self._usable[voxels]] = np.nan
        return weights

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (voxel, feature), or (feature,) for one target."""
        weights = self.coef_block(slice(None))
        return weights[0] if self._one_target else weights

    @property
    def intercept_(self) -> Any:
        """Constants (voxel,)."""
        check_is_fitted(self)
        decomposition = self._sweep.decomposition
        constants = np.concatenate(
            [
                (mean - decomposition.mean @ decomposition.weights(scaled)).cpu().numpy()
                for _, scaled, mean in self._scaled_blocks()
            ]
        ).astype(self._np_dtype())
        constants[~self._usable] = np.nan
        return constants[0] if self._one_target else constants

    # ------------------------------------------------------------------------------- settings

    def _alphas(self) -> list[float]:
        """Penalties on the Gram matrix's diagonal, all settings having been looked at."""
        try:
            alphas = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        except (TypeError, ValueError):
            alphas = np.empty(0)
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas) & (alphas > 0)).all():
            raise UsageError(f"ridge: alphas must be positive numbers, not {self.alphas!r}")
        choices: dict[str, tuple[Any, Sequence[str]]] = {
            "scoring": (self.scoring, list(SCORES)),
            "alpha_convention": (self.alpha_convention, ("penalty", "squared")),
            "dtype": (self.dtype, ("auto", *_DTYPES)),
            "sweep_dtype": (self.sweep_dtype, ("same", "bfloat16", "auto")),
            "reduce": (self.reduce, REDUCTIONS),
        }
        if isinstance(self.alpha_scope, str):
            choices["alpha_scope"] = (self.alpha_scope, ("voxel", "shared"))
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise UsageError(f"ridge: {name}={value!r}; say one of {', '.join(allowed)}")
        counts = {"block_length": 1, "gap": 0, "voxel_block": 1, "width": 1}
        for name, least in counts.items():
            count = getattr(self, name)
            if name in ("voxel_block", "width") and count is None:
                continue
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise UsageError(f"ridge: {name}={count!r}; say a whole number, {least} or more")
        if self.delays is not None and (
            not len(self.delays) or any(int(d) != d or d < 0 for d in self.delays)
        ):
            raise UsageError(f"ridge: delays={self.delays!r}; say whole rows, 0 or more")
        return [float(a) for a in (alphas if self.alpha_convention == "penalty" else alphas**2)]

    def _labels(self, usable: NDArray[np.bool_]) -> NDArray[Any]:
        labels = np.asarray(self.alpha_scope)
        if labels.shape != usable.shape:
            raise UsageError(f"ridge: {labels.shape} labels in alpha_scope, {usable.shape} voxels")
        return labels[usable]

    def _device(self) -> str:
        if self.device != "auto":
            try:
                torch.empty(0, device=self.device)
            except (RuntimeError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                raise UsageError(f"ridge: device={self.device!r} is of no use: {reason}") from error
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _np_dtype(self) -> Any:
        return np.float64 if self._sweep.dtype == torch.float64 else np.float32

    def _design(self, X: NDArray[Any], names: Any, device: str) -> Design:
        dtype = _DTYPES.get(self.dtype)
        X = X if self._basis is None else X @ self._basis
        values = torch.tensor(np.ascontiguousarray(X), dtype=dtype, device=device)
        if self.delays is None:
            return Design(values, [slice(0, len(X))])
        return Design(values, story_slices(names, len(X)), [int(d) for d in self.delays])

    def _prepared(
        self, X: NDArray[Any], names: Any, alphas: list[float], device: str
    ) -> AlphaSearch:
        """Decomposition, that of an earlier fit where the design is the same, and folds."""
        folds = make_folds(self.cv, len(X), names, self.gap, self.block_length)
        decomposition = recent_decomposition(
            self._design(X, names, device),
            self.fit_intercept,
            None if self.cache is None else Path(self.cache),
        )
        dtype = decomposition.design.X.dtype
        return AlphaSearch(decomposition, folds, alphas, dtype, self.sweep_dtype == "bfloat16")
