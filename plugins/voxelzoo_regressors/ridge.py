"""Ridge regression for many voxels, with alphas chosen by exact blocked cross-validation."""

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

from voxelzoo.api import UsageError, is_out_of_memory
from voxelzoo_regressors.alpha_grid import alpha_grid
from voxelzoo_regressors.alpha_search import AlphaSearch
from voxelzoo_regressors.arrays import (
    like,
    validate_fit,
    validate_groups,
    validate_rows,
)
from voxelzoo_regressors.blocks import block_width
from voxelzoo_regressors.cache import shared_cache
from voxelzoo_regressors.decomposition import Decomposition, decompose
from voxelzoo_regressors.design import Design, story_slices
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold, make_folds
from voxelzoo_regressors.reduce import REDUCTIONS, unit_basis
from voxelzoo_regressors.scoring import SCORES
from voxelzoo_regressors.settings import (
    require_alphas,
    require_choice,
    require_count,
    require_delays,
    require_device,
)
from voxelzoo_regressors.voxel_fits import VoxelFits

log = logging.getLogger("voxelzoo.ridge")

ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 8, 17))
"""A fixed grid for z-scored features. It includes the paper's range (10^2 to 10^8) and reaches
down to designs of a few features."""

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Ridge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression with one penalty per voxel. A linear model following the scikit-learn API.

    For each voxel with responses ``y``, the weights ``b`` and the constant ``c`` minimise ::

        ||y - X b - c||^2 + alpha ||b||^2

    The constant is not penalised. ``alpha`` is the voxel's own: the one of ``alphas`` with the
    best mean score on held-out stories.

    Parameters
    ----------
    alphas : sequence of float or "auto", default "auto"
        Penalties to try, all positive. ``"auto"``: powers of 10^0.5 that reach from almost no
        shrinkage of the design's weakest component to almost full shrinkage of its strongest
        (:func:`voxelzoo_regressors.alpha_grid.alpha_grid`). The grid is kept as ``alphas_``.
    alpha_convention : {"penalty", "squared"}, default "penalty"
        What is added to the diagonal of the Gram matrix ``X'X``. ``"penalty"``: alpha, as in
        scikit-learn and himalaya. ``"squared"``: alpha squared, as in the code released with
        Antonello et al. [1]_, whose 10 to 10^4 is 10^2 to 10^8 here.
    alpha_scope : {"voxel", "shared"} or array of shape (voxel,), default "voxel"
        ``"voxel"``: one alpha per voxel. ``"shared"``: the alpha with the best mean score over
        voxels. Labels: one alpha per label (region), by its voxels' mean score.
    scoring : {"correlation", "r2", "signed_root_r2"}, default "correlation"
        Score that decides, averaged over folds; a fold in which it is undefined counts as 0.
        ``"signed_root_r2"`` is the score of [1]_: ``sign(R2) sqrt(|R2|)``, with
        ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``.
    cv : {"groups", "blocks"}, int, splitter, or iterable of (train, test), default "groups"
        Folds. ``"groups"``: leave one group (story) out; five contiguous blocks if there are
        fewer than two groups. ``"blocks"``: contiguous blocks of ``block_length`` rows. int: that
        many contiguous blocks. Splitters and splits are scikit-learn's.
    block_length : int, default 50
        Rows (TRs) per block for ``cv="blocks"``.
    gap : int, default 5
        Rows (TRs) on both sides of a contiguous block that do not train the model scored on it;
        at most half a block. Not used between groups.
    store_cv_predictions : bool, default False
        Whether to keep held-out predictions at the chosen alphas as ``cv_predictions_``.
    fit_intercept : bool, default True
        Whether to fit the constant ``c``. If False it is 0.
    delays : sequence of int or None, default None
        Delays in rows (TRs), 0 or more, at which every column of ``X`` enters the model (a finite
        impulse response). They do not cross from one group into the next, and the delayed design
        is never stored. :meth:`predict` then needs groups too. None: ``X`` is used as it is.
    width : int or None, default None
        Number of dimensions onto which the columns of ``X`` are projected, before any delays. A
        control for the width of a layer. None: no projection.
    reduce : {"pca", "random"}, default "pca"
        How: onto the leading principal components of the training rows, or onto random Gaussian
        directions.
    seed : int, default 0
        Seed of the random directions.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Precision of the alpha search and of predictions. ``"auto"``: that of ``X``. The
        decomposition is always float64.
    sweep_dtype : {"same", "bfloat16", "auto"}, default "same"
        Precision of the large matrix products of the alpha search; final fits are not affected.
        ``"same"``: ``dtype``. ``"bfloat16"``: bfloat16; scores that could be a voxel's best are
        computed again in ``dtype``, so that the choice is that of ``dtype``. ``"auto"``: bfloat16
        if the hardware supports it, ``dtype`` is float32, and it saves time on the first voxels.
    device : str, default "auto"
        PyTorch device. ``"auto"``: CUDA if there is a GPU, else the CPU. If a GPU runs out of
        memory, blocks of voxels become smaller; if that does not help, the fit moves to the CPU.
    voxel_block : int or None, default None
        Voxels to work on at once. Limits memory and does not change results. None: as many as
        make a work space of about 256 MiB.
    cache : path, None or False, default None
        Where to keep the decomposition of the design for the next fit on the same design, such as
        another subject who heard the same stories. None: in memory
        (:data:`voxelzoo_regressors.shared_cache`). A folder: there too, in one file per design,
        which may be deleted at any time. False: nowhere.

    Attributes
    ----------
    alphas_ : ndarray of shape (alpha,)
        Penalties that were tried, as added to the diagonal of the Gram matrix.
    alpha_ : ndarray of shape (voxel,)
        Penalty of each voxel, as added to the diagonal of the Gram matrix. NaN for a voxel whose
        responses are constant or not finite; its predictions and weights are NaN too.
    n_undefined_ : int
        Number of such voxels.
    cv_scores_ : ndarray of shape (alpha, voxel)
        Mean held-out score for each alpha.
    cv_score_ : ndarray of shape (voxel,)
        Mean held-out Pearson correlation at the chosen alpha, whatever ``scoring`` is.
    cv_predictions_ : ndarray of shape (row, voxel)
        Held-out predictions at the chosen alpha, if ``store_cv_predictions``. NaN for rows that
        no fold scores.
    coef_ : ndarray of shape (voxel, feature)
        Weights ``b``, computed on access. With delays, features are ordered delay by delay.
        :meth:`coef_block` computes those of some voxels.
    intercept_ : ndarray of shape (voxel,)
        Constants ``c``, computed on access.
    folds_ : list of Fold
        Rows that each fold held out and scored.
    path_ : str
        How the fit was computed: device, precision, primal or dual, rank, voxels per block.
    n_features_in_ : int
        Number of columns of ``X``.

    Raises
    ------
    UsageError
        By :meth:`fit`, for a setting that is not one of those above.

    See Also
    --------
    BootstrapRidge : Alphas chosen as by the code of Antonello et al. (2023).
    BandedRidge : One penalty per feature space.
    Stacking : Ridge on each feature space, combined.

    Notes
    -----
    No fold is refitted. With the thin singular value decomposition of the centred design,
    ``X = Q diag(sqrt(s)) V'``, the fitted responses are ``H y``, where ::

        H = 11'/n + Q diag(s / (s + alpha)) Q'

    The residuals of held-out rows ``B``, under a fit on all other rows, are exactly ::

        (I - H_BB)^-1 (y - H y)_B

    which is the block form [2]_ of the leave-one-out identity behind PRESS [3]_. One
    decomposition thus serves all alphas, folds and voxels. It is made from the smaller of the two
    Gram matrices, ``X'X`` (primal) and ``X X'`` (dual).

    References
    ----------
    .. [1] Antonello, R., Vaidya, A., & Huth, A. G. (2023). Scaling laws for language encoding
       models in fMRI. NeurIPS 36.
    .. [2] An, S., Liu, W., & Venkatesh, S. (2007). Fast cross-validation algorithms for least
       squares support vector machine and kernel ridge regression. Pattern Recognition 40(8),
       2154-2162.
    .. [3] Allen, D. M. (1974). The relationship between variable selection and data augmentation
       and a method for prediction. Technometrics 16(1), 125-127.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo_regressors import Ridge
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((120, 10))
    >>> Y = X[:, :3] @ rng.standard_normal((3, 5)) + rng.standard_normal((120, 5))
    >>> stories = np.repeat(["a", "b", "c", "d"], 30)
    >>> model = Ridge(alphas=[1, 10, 100]).fit(X, Y, groups=stories)
    >>> model.alpha_.shape, model.cv_scores_.shape, model.coef_.shape
    ((5,), (3, 5), (5, 10))
    >>> model.predict(X[:2]).shape
    (2, 5)

    Features that act one to four rows later, within each story:

    >>> model = Ridge(delays=[1, 2, 3, 4]).fit(X, Y, groups=stories)
    >>> model.predict(X[:30], groups=stories[:30]).shape, model.coef_.shape
    ((30, 5), (5, 40))
    """

    def __init__(
        self,
        alphas: Sequence[float] | Literal["auto"] = "auto",
        *,
        alpha_convention: Literal["penalty", "squared"] = "penalty",
        alpha_scope: Any = "voxel",
        scoring: str = "correlation",
        cv: Any = "groups",
        block_length: int = 50,
        gap: int = 5,
        store_cv_predictions: bool = False,
        fit_intercept: bool = True,
        delays: Sequence[int] | None = None,
        width: int | None = None,
        reduce: Literal["pca", "random"] = "pca",
        seed: int = 0,
        dtype: str = "auto",
        sweep_dtype: str = "same",
        device: str = "auto",
        voxel_block: int | None = None,
        cache: str | os.PathLike[str] | bool | None = None,
    ) -> None:
        self.alphas = alphas
        self.alpha_convention = alpha_convention
        self.alpha_scope = alpha_scope
        self.scoring = scoring
        self.cv = cv
        self.block_length = block_length
        self.gap = gap
        self.store_cv_predictions = store_cv_predictions
        self.fit_intercept = fit_intercept
        self.delays = delays
        self.width = width
        self.reduce = reduce
        self.seed = seed
        self.dtype = dtype
        self.sweep_dtype = sweep_dtype
        self.device = device
        self.voxel_block = voxel_block
        self.cache = cache

    # Fit ---------------------------------------------------------------------------------------

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Ridge:
        """Fits every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features: NumPy array or PyTorch tensor.
        Y : array of shape (row, voxel) or (row,)
            Responses: NumPy array, PyTorch tensor, or a lazy array (Zarr, HDF5). A lazy array is
            read a block of voxels at a time, now and again by :meth:`predict`.
        groups : array of shape (row,) or None, default None
            Group (story) of each row.

        Returns
        -------
        Ridge
            The fitted estimator itself.

        Raises
        ------
        UsageError
            If a setting is not valid.
        FitError
            If the data cannot be fitted: shapes that do not match, no usable voxel, or an alpha
            so small that held-out predictions are lost in rounding error.
        """
        given = self._validated_alphas()
        X, Y, self._one_target = validate_fit(self, X, Y)
        stories = validate_groups(groups, len(X))
        device = require_device("ridge", self.device)
        self._basis = None
        if self.width is not None:
            self._basis = unit_basis(X, self.width, self.reduce, self.seed)
        try:
            self._fit(X, Y, stories, given, device)
            return self
        except RuntimeError as error:
            if device == "cpu" or not is_out_of_memory(error):
                raise
        log.warning("ridge: out of memory on %s; fitting on the CPU", device)
        self._fit(X, Y, stories, given, "cpu")
        return self

    def _fit(
        self, X: NDArray[Any], Y: Any, stories: Any, given: NDArray[np.float64] | None, device: str
    ) -> None:
        folds = make_folds(self.cv, len(X), stories, self.gap, self.block_length)
        decomposition = self._decomposition(self._design(X, stories, device))
        alphas = alpha_grid(decomposition.s) if given is None else given
        self.alphas_ = alphas
        search = AlphaSearch(
            decomposition,
            folds,
            alphas.tolist(),
            decomposition.design.X.dtype,
            Y.shape[1],
        )
        block = self.voxel_block or block_width(len(X), len(alphas), X.itemsize)
        self._fits = fits = VoxelFits(search, Y, block)
        scores = fits.score(
            Y,
            [SCORES[name] for name in dict.fromkeys([self.scoring, "correlation"])],
            self.sweep_dtype,
        )
        if not fits.usable.any():
            raise FitError("no voxel has finite, varying responses")
        self.n_undefined_ = int((~fits.usable).sum())
        if self.n_undefined_:
            log.info("ridge: %d voxels undefined (not finite, or constant)", self.n_undefined_)
        choice = fits.choose(scores[0], self._scope(fits.usable))
        self.cv_scores_ = scores[0]
        self.cv_score_ = scores[-1][choice, np.arange(len(choice))]
        self.alpha_ = np.where(fits.usable, alphas[choice], np.nan)
        if self.store_cv_predictions:
            held_out = fits.all_held_out(Y)
            self.cv_predictions_ = held_out[:, 0] if self._one_target else held_out
        search.forget_folds()
        self.path_ = (
            f"{device} {search.precision}, {decomposition.path}, rank {len(decomposition.s)}, "
            f"{fits.block} voxels at once"
        )

    def _design(self, X: NDArray[Any], stories: Any, device: str) -> Design:
        X = X if self._basis is None else X @ self._basis
        dtype = _DTYPES.get(self.dtype)
        values = torch.tensor(np.ascontiguousarray(X), dtype=dtype, device=device)
        if self.delays is None:
            return Design(values, [slice(0, len(X))])
        return Design(values, story_slices(stories, len(X)), require_delays("ridge", self.delays))

    def _decomposition(self, design: Design) -> Decomposition:
        if isinstance(self.cache, bool):
            return decompose(design, self.fit_intercept)
        folder = None if self.cache is None else Path(self.cache)
        return shared_cache.decomposition(design, self.fit_intercept, folder)

    # Predictions and weights -------------------------------------------------------------------

    def predict(self, X: Any, groups: Any = None, out: Any = None) -> Any:
        """Predicts the responses of every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features.
        groups : array of shape (row,) or None, default None
            Group (story) of each row, if the estimator forms ``delays``.
        out : array of shape (row, voxel) or None, default None
            Where to write the predictions, a block of voxels at a time, such as a Zarr array.

        Returns
        -------
        array of shape (row, voxel) or (row,)
            ``out`` if it was passed. Otherwise an array of the kind of ``X``; one axis if the fit
            had one target without an axis. NaN for undefined voxels.
        """
        check_is_fitted(self)
        predicted = self.predict_blocks(X, groups)
        if out is not None:
            for block, prediction in predicted:
                out[:, block] = prediction
            return out
        predictions = np.concatenate([prediction for _, prediction in predicted], axis=1)
        return like(predictions[:, 0] if self._one_target else predictions, X)

    def predict_blocks(self, X: Any, groups: Any = None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Predicts the responses a block of voxels at a time.

        Parameters
        ----------
        X, groups
            As for :meth:`predict`.

        Yields
        ------
        voxels : slice
            Voxels of the block, in order.
        prediction : ndarray of shape (row, voxel)
        """
        check_is_fitted(self)
        X = validate_rows(self, X)
        device = str(self._fits.search.device)
        yield from self._fits.predictions(self._design(X, validate_groups(groups, len(X)), device))

    def cv_predictions_block(self, Y: Any, voxels: slice) -> NDArray[Any]:
        """Held-out predictions of some voxels at their chosen alphas.

        Parameters
        ----------
        Y : array of shape (row, voxel)
            The responses that were fitted, of all voxels.
        voxels : slice
            Which voxels to predict.

        Returns
        -------
        ndarray of shape (row, voxel)
            As ``cv_predictions_``.
        """
        check_is_fitted(self)
        return self._fits.held_out(Y, voxels)

    def forget_folds(self) -> None:
        """Frees what :meth:`cv_predictions_block` keeps between blocks."""
        self._fits.search.forget_folds()

    @property
    def folds_(self) -> Sequence[Fold]:
        """Folds of the cross-validation."""
        check_is_fitted(self)
        return self._fits.search.folds

    def coef_block(self, voxels: slice) -> NDArray[Any]:
        """Weights of some voxels.

        Parameters
        ----------
        voxels : slice
            Which voxels.

        Returns
        -------
        ndarray of shape (voxel, feature)
            As ``coef_``.
        """
        check_is_fitted(self)
        weights = self._fits.coefficients(voxels)
        if self._basis is None:
            return weights
        by_delay = weights.reshape(len(weights), -1, self._basis.shape[1])
        projected: NDArray[Any] = (by_delay @ self._basis.T).reshape(len(weights), -1)
        return projected

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (voxel, feature), or (feature,) for one target."""
        weights = self.coef_block(slice(None))
        return weights[0] if self._one_target else weights

    @property
    def intercept_(self) -> Any:
        """Constants (voxel,), or a number for one target."""
        check_is_fitted(self)
        constants = self._fits.intercepts()
        return constants[0] if self._one_target else constants

    # Settings ----------------------------------------------------------------------------------

    def _validated_alphas(self) -> NDArray[np.float64] | None:
        """Penalties on the Gram matrix's diagonal, (alpha,), if set; checks every setting."""
        auto = isinstance(self.alphas, str) and self.alphas == "auto"
        alphas = None if auto else require_alphas("ridge", self.alphas)
        choices: dict[str, Sequence[str]] = {
            "scoring": list(SCORES),
            "alpha_convention": ("penalty", "squared"),
            "dtype": ("auto", *_DTYPES),
            "sweep_dtype": ("same", "bfloat16", "auto"),
            "reduce": REDUCTIONS,
        }
        if isinstance(self.alpha_scope, str):
            choices["alpha_scope"] = ("voxel", "shared")
        for name, allowed in choices.items():
            require_choice("ridge", name, getattr(self, name), allowed)
        for name, least in {"block_length": 1, "gap": 0, "voxel_block": 1, "width": 1}.items():
            value = getattr(self, name)
            if value is not None or name not in ("voxel_block", "width"):
                require_count("ridge", name, value, least)
        if self.delays is not None:
            require_delays("ridge", self.delays)
        if self.cache is True:
            raise UsageError("ridge: cache=True; use a folder, None (in memory only) or False")
        return alphas if alphas is None or self.alpha_convention == "penalty" else alphas**2

    def _scope(self, usable: NDArray[np.bool_]) -> str | NDArray[Any]:
        if isinstance(self.alpha_scope, str):
            return self.alpha_scope
        labels = np.asarray(self.alpha_scope)
        if labels.shape != usable.shape:
            raise UsageError(
                f"ridge: alpha_scope has shape {labels.shape}; "
                f"use one label for each of the {len(usable)} voxels"
            )
        return labels[usable]
