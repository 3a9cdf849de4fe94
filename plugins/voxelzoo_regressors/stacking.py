"""Stacked regression: one convex combination of feature spaces for each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import UsageError, blocks
from voxelzoo_regressors.arrays import (
    Floats,
    like,
    select_rows,
    validate_fit,
    validate_groups,
    validate_rows,
)
from voxelzoo_regressors.ridge import Ridge
from voxelzoo_regressors.settings import require_count
from voxelzoo_regressors.simplex import combine, stack, weights_interval
from voxelzoo_regressors.spaces import SpaceColumns, named_spaces


class Stacking(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge on each feature space, combined for each voxel by weights on the simplex.

    A linear model following the scikit-learn API. With held-out predictions ``p_k`` of the spaces
    ``k``, each from a ridge regression on that space alone, the weights ``w`` of a voxel with
    responses ``y`` minimise ::

        || y - sum_k w_k p_k ||^2    subject to  w_k >= 0,  sum_k w_k = 1

    which is a quadratic programme in the products of the spaces' residuals [1]_, [2]_. Because
    the predictions are held out, a space that fits noise gets no weight.

    Parameters
    ----------
    spaces : mapping, sequence of int, or None, default None
        Columns of each feature space: name to slice (or column indices), or the widths of
        consecutive spaces. None: all columns are one space.
    regressor : Ridge or None, default None
        A copy of it is fitted on each space. None: ``Ridge(scoring="r2")``. Alphas are better
        chosen by R2 than by correlation here, because the weights depend on how large the
        predictions are and correlation does not.
    single : str, int or None, default None
        Name or number of a space that the stack must beat. For a voxel in which the stack does
        not predict data better that nothing was fitted on, that space alone is used. None: the
        stack is always used.
    validation : float, default 0.2
        Share of the groups (stories), at least one, that is kept from all fitting to decide
        between the stack and ``single``. With one group, it is the share of rows, from the end.
    voxel_block : int, default 1024
        Voxels to stack at once: the held-out predictions of all spaces are in memory for them.
    draws : int, default 0
        Draws for an interval of the weights, by a bootstrap over blocks of held-out rows. 0: no
        interval.
    seed : int, default 0
        Seed of the draws.

    Attributes
    ----------
    weights_ : ndarray of shape (voxel, space)
        Weights on the simplex. NaN for undefined voxels.
    weights_low_, weights_high_ : ndarray of shape (voxel, space)
        Ends of each weight's own 95 % interval, if ``draws`` is above 0.
    stacked_ : ndarray of bool, shape (voxel,)
        Where the stack is used; elsewhere ``single`` is.
    cv_score_ : ndarray of shape (voxel,)
        Mean held-out Pearson correlation of the stack. Each fold is predicted with the weights
        that the other folds give.
    regressors_ : list of Ridge
        Regressor of each space, fitted on all rows.
    names_ : list of str
        Names of the spaces, in the order of the weights.
    n_features_in_ : int
        Number of columns of ``X``.

    Raises
    ------
    UsageError
        By :meth:`fit`, for a setting that is not one of those above.

    See Also
    --------
    BandedRidge : One joint model with a penalty per space.
    VariancePartition : What each space explains alone and shares with others.

    References
    ----------
    .. [1] Antonello, R., Vaidya, A., & Huth, A. G. (2023). Scaling laws for language encoding
       models in fMRI. NeurIPS 36, section 2.4.
    .. [2] Breiman, L. (1996). Stacked regressions. Machine Learning 24, 49-64.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo_regressors import Stacking
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 6))
    >>> Y = np.stack([X[:, 0], X[:, 4]], axis=1) + 0.1 * rng.standard_normal((200, 2))
    >>> model = Stacking({"text": slice(0, 3), "speech": slice(3, 6)})
    >>> model = model.fit(X, Y, groups=np.repeat(np.arange(4), 50))
    >>> model.names_
    ['text', 'speech']
    >>> model.weights_.round(1)
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(
        self,
        spaces: SpaceColumns = None,
        *,
        regressor: Any = None,
        single: str | int | None = None,
        validation: float = 0.2,
        voxel_block: int = 1024,
        draws: int = 0,
        seed: int = 0,
    ) -> None:
        self.spaces = spaces
        self.regressor = regressor
        self.single = single
        self.validation = validation
        self.voxel_block = voxel_block
        self.draws = draws
        self.seed = seed

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Stacking:
        """Fits every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.
        Y : array of shape (row, voxel) or (row,)
            Responses. A lazy array (Zarr, HDF5) is read a block of voxels at a time. The spaces'
            weights, each as large as ``Y``, are then not kept but computed again by
            :meth:`predict`.
        groups : array of shape (row,) or None, default None
            Group (story) of each row.

        Returns
        -------
        Stacking
            The fitted estimator itself.

        Raises
        ------
        UsageError
            If a setting is not valid.
        FitError
            If the data cannot be fitted.
        """
        require_count("stacking", "voxel_block", self.voxel_block, 1)
        require_count("stacking", "draws", self.draws, 0)
        if not isinstance(self.regressor, Ridge | None):
            raise UsageError(f"stacking: regressor={self.regressor!r}; use a Ridge")
        X, Y, self._one_target = validate_fit(self, X, Y)
        stories = validate_groups(groups, len(X))
        self._columns = named_spaces(self.spaces, X.shape[1])
        self.names_ = list(self._columns)
        self._single = None if self.single is None else self._space(self.single)
        self.stacked_ = np.ones(Y.shape[1], dtype=bool)
        if self._single is not None:
            self.stacked_ = self._stack_wins(X, Y, stories, self._single)
        self.regressors_ = self._fitted(X, Y, stories)
        if self.draws:
            self.weights_low_, self.weights_high_ = np.empty((2, Y.shape[1], len(self.names_)))
        self.weights_, self.cv_score_ = self._weights(self.regressors_, Y, self.draws)
        return self

    def predict(self, X: Any) -> Any:
        """Predicts the responses of every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.

        Returns
        -------
        array of shape (row, voxel) or (row,)
            An array of the kind of ``X``. NaN for undefined voxels.
        """
        check_is_fitted(self)
        rows = validate_rows(self, X)
        predictions = self._combined(self.regressors_, self.weights_, rows)
        if self._single is not None:
            columns = list(self._columns.values())[self._single]
            alone = self.regressors_[self._single].predict(rows[:, columns])
            predictions = np.where(self.stacked_, predictions, alone)
        return like(predictions[:, 0] if self._one_target else predictions, X)

    def _fitted(self, X: Floats, Y: Any, stories: NDArray[Any] | None) -> list[Ridge]:
        """A fitted regressor for each space."""
        prototype = Ridge(scoring="r2") if self.regressor is None else self.regressor
        return [
            clone(prototype).fit(X[:, columns], Y, groups=stories)
            for columns in self._columns.values()
        ]

    def _weights(self, models: Sequence[Ridge], Y: Any, draws: int = 0) -> tuple[Floats, Floats]:
        """Weights (voxel, space), and the stack's held-out correlation (voxel,)."""
        n_voxels = Y.shape[1]
        weights, scores = np.empty((n_voxels, len(models))), np.empty(n_voxels)
        folds = [fold.scored for fold in models[0].folds_]
        for voxels in blocks(n_voxels, self.voxel_block):
            y = np.asarray(Y[:, voxels])
            predictions = [model.cv_predictions_block(Y, voxels) for model in models]
            weights[voxels], scores[voxels] = stack(predictions, y, folds)
            if draws:
                self.weights_low_[voxels], self.weights_high_[voxels] = weights_interval(
                    predictions, y, folds, draws, seed=self.seed
                )
        for model in models:
            model.forget_folds()
        return weights, scores

    def _combined(self, models: Sequence[Ridge], weights: Floats, X: Floats) -> Floats:
        """Weighted sum of the spaces' predictions (row, voxel), one space in memory at a time."""
        spaces = zip(models, self._columns.values(), strict=True)
        return combine(weights, (model.predict(X[:, columns]) for model, columns in spaces))

    def _stack_wins(
        self, X: Floats, Y: Any, stories: NDArray[Any] | None, single: int
    ) -> NDArray[np.bool_]:
        """Where the stack predicts the validation stories better than one space, (voxel,)."""
        train = self._training_rows(np.zeros(len(X)) if stories is None else stories)
        Y_train, Y_validation = select_rows(Y, train), select_rows(Y, ~train)
        models = self._fitted(X[train], Y_train, None if stories is None else stories[train])
        weights, _ = self._weights(models, Y_train)
        columns = list(self._columns.values())[single]
        stacked = self._combined(models, weights, X[~train])
        alone = models[single].predict(X[~train][:, columns])
        wins = np.zeros(Y.shape[1], dtype=bool)
        for voxels in blocks(len(wins), self.voxel_block):
            y = Y_validation[:, voxels]
            error, error_alone = (((y - p[:, voxels]) ** 2).sum(axis=0) for p in (stacked, alone))
            wins[voxels] = error < error_alone
        return wins

    def _training_rows(self, stories: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows to fit on, (row,); the others are for validation: whole stories, if several."""
        if not 0 < self.validation < 1:
            raise UsageError(
                f"stacking: validation={self.validation!r}; use a share between 0 and 1"
            )
        labels = stories[np.sort(np.unique(stories, return_index=True)[1])]
        if len(labels) < 2:
            return np.arange(len(stories)) < round(len(stories) * (1 - self.validation))
        n_kept = max(1, len(labels) - max(1, round(len(labels) * self.validation)))
        return np.isin(stories, labels[:n_kept])

    def _space(self, name: str | int) -> int:
        if isinstance(name, int) and 0 <= name < len(self.names_):
            return name
        if name in self.names_:
            return self.names_.index(str(name))
        raise UsageError(f"stacking: no space {name!r}; the spaces are {', '.join(self.names_)}")
