"""Variance partitioning: what feature spaces explain alone and together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, combinations
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import UsageError
from voxelzoo_regressors.arrays import (
    Floats,
    Rows,
    as_numpy,
    like,
    validate_fit,
    validate_groups,
    validate_rows,
)
from voxelzoo_regressors.ridge import Ridge
from voxelzoo_regressors.scoring import correlation
from voxelzoo_regressors.spaces import SpaceColumns, named_spaces

Spaces = frozenset[str]


def subsets(names: Iterable[str]) -> list[Spaces]:
    """Every subset of feature spaces except the empty one, smallest first.

    Parameters
    ----------
    names : iterable of str
        Names of the spaces.

    Returns
    -------
    list of frozenset of str
        One subset per joint model that a partition needs.

    Examples
    --------
    >>> [sorted(subset) for subset in subsets("ab")]
    [['a'], ['b'], ['a', 'b']]
    """
    names = list(names)
    sizes = range(1, len(names) + 1)
    return [frozenset(s) for s in chain(*(combinations(names, n) for n in sizes))]


def variance_partition(explained: Mapping[Spaces, Floats]) -> dict[Spaces, Floats]:
    """Variance that exactly the spaces of each subset share, from that of joint models.

    By inclusion and exclusion (de Heer et al. 2017, J Neurosci 37(27), 6539-6557). With two
    spaces ``a`` and ``b`` ::

        only a  =  R2(ab) - R2(b)
        only b  =  R2(ab) - R2(a)
        shared  =  R2(a) + R2(b) - R2(ab)

    Parameters
    ----------
    explained : mapping of frozenset of str to ndarray of shape (voxel,)
        R2 of the model of each subset (:func:`subsets`).

    Returns
    -------
    dict of frozenset of str to ndarray of shape (voxel,)
        Variance that exactly these spaces share. For a subset of one space, what only that space
        explains. The parts add up to the R2 of the model of all spaces. An estimate can be below
        zero.

    Raises
    ------
    UsageError
        If the model of a subset is missing.

    Examples
    --------
    >>> a, b = frozenset("a"), frozenset("b")
    >>> parts = variance_partition({a: 0.3, b: 0.2, a | b: 0.4})
    >>> {"".join(sorted(spaces)): round(float(part), 3) for spaces, part in parts.items()}
    {'a': 0.2, 'b': 0.1, 'ab': 0.1}
    """
    names: Spaces = frozenset().union(*explained)
    every = subsets(dict.fromkeys(name for spaces in explained for name in sorted(spaces)))
    missing = [s for s in every if s not in explained]
    if missing:
        raise UsageError(
            f"variance partitioning: the model of {' + '.join(sorted(missing[0]))} is missing"
        )
    none = np.zeros_like(explained[names])
    parts = {}
    for part in every:
        total = -explained.get(names - part, none)
        for inside in subsets(part):
            total = total - (-1) ** len(inside) * explained[(names - part) | inside]
        parts[part] = total
    return parts


class VariancePartition(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge on every subset of two or three feature spaces.

    A linear model following the scikit-learn API. It predicts with the joint model of all spaces;
    the models of the other subsets tell how the explained variance divides between the spaces
    (:func:`voxelzoo_regressors.partition.variance_partition`).

    Parameters
    ----------
    spaces : mapping, sequence of int, or None, default None
        Columns of each feature space: name to slice (or column indices), or the widths of
        consecutive spaces. None: all columns are one space.
    regressor : Ridge or None, default None
        A copy of it is fitted on each subset. None: ``Ridge(scoring="r2")``, as R2 is what is
        partitioned.

    Attributes
    ----------
    models_ : dict of frozenset of str to Ridge
        Fitted regressor of each subset.
    names_ : list of str
        Names of the spaces.
    alpha_ : ndarray of shape (voxel,)
        Penalty of the model of all spaces. NaN for undefined voxels.
    cv_score_ : ndarray of shape (voxel,)
        Mean held-out Pearson correlation of the model of all spaces.
    n_features_in_ : int
        Number of columns of ``X``.

    Raises
    ------
    UsageError
        By :meth:`fit`, for more than three spaces.

    See Also
    --------
    BandedRidge : One joint model with a penalty per space; faster for many spaces.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo_regressors import VariancePartition
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 6))
    >>> Y = X[:, [0]] + 0.1 * rng.standard_normal((2000, 1))
    >>> model = VariancePartition({"text": slice(0, 3), "speech": slice(3, 6)})
    >>> model = model.fit(X[:1500], Y[:1500], groups=np.repeat(np.arange(3), 500))
    >>> parts = model.partition(X[1500:], Y[1500:])
    >>> float(parts[frozenset({"text"})].round(1)[0])
    1.0
    """

    def __init__(self, spaces: SpaceColumns = None, *, regressor: Any = None) -> None:
        self.spaces = spaces
        self.regressor = regressor

    def fit(self, X: Any, Y: Any, groups: Any = None) -> VariancePartition:
        """Fits every voxel, once per subset of spaces.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.
        Y : array of shape (row, voxel) or (row,)
            Responses; may be a lazy array (Zarr, HDF5).
        groups : array of shape (row,) or None, default None
            Group (story) of each row.

        Returns
        -------
        VariancePartition
            The fitted estimator itself.

        Raises
        ------
        UsageError
            If there are more than three spaces, or they do not fit the columns.
        FitError
            If the data cannot be fitted.
        """
        X, Y, self._one_target = validate_fit(self, X, Y)
        stories = validate_groups(groups, len(X))
        every = np.arange(X.shape[1])
        self._columns = {
            name: every[columns] for name, columns in named_spaces(self.spaces, len(every)).items()
        }
        if len(self._columns) > 3:
            raise UsageError(
                f"variance-partition: {len(self._columns)} spaces would need "
                f"{2 ** len(self._columns) - 1} fits; use two or three spaces"
            )
        self.names_ = list(self._columns)
        prototype = Ridge(scoring="r2") if self.regressor is None else self.regressor
        self.models_ = {
            subset: clone(prototype).fit(X[:, self._columns_of(subset)], Y, groups=stories)
            for subset in subsets(self.names_)
        }
        joint = self.models_[frozenset(self.names_)]
        self.alpha_, self.cv_score_ = joint.alpha_, joint.cv_score_
        return self

    def predict(self, X: Any) -> Any:
        """Predicts the responses of every voxel with the model of all spaces.

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
        predictions = self._predict(frozenset(self.names_), validate_rows(self, X))
        return like(predictions[:, 0] if self._one_target else predictions, X)

    def partition(self, X: Any, Y: Any) -> dict[Spaces, Floats]:
        """How the explained variance of some rows divides between the spaces.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of rows that were not fitted.
        Y : array of shape (row, voxel)
            Their responses.

        Returns
        -------
        dict of frozenset of str to ndarray of shape (voxel,)
            R2 that exactly these spaces share (:func:`variance_partition`). NaN for undefined
            voxels.
        """
        check_is_fitted(self)
        X, Y = validate_rows(self, X), _as_columns(Y)
        variance = ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = {
                subset: 1 - ((Y - self._predict(subset, X)) ** 2).sum(axis=0) / variance
                for subset in self.models_
            }
        return variance_partition(explained)

    def score_split(self, X: Any, Y: Any) -> Floats:
        """What each space adds to the correlation that the other spaces reach together.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of rows that were not fitted.
        Y : array of shape (row, voxel)
            Their responses.

        Returns
        -------
        ndarray of shape (space, voxel)
            Pearson correlation of the model of all spaces minus that of the model without the
            space.
        """
        check_is_fitted(self)
        X, Y = validate_rows(self, X), _as_columns(Y)
        every = frozenset(self.names_)
        joint = correlation(self._predict(every, X), Y)
        others = [every - {name} for name in self.names_]
        without = [correlation(self._predict(o, X), Y) if o else 0 * joint for o in others]
        return joint - np.stack(without)

    def _columns_of(self, subset: Spaces) -> Rows:
        """Columns of some spaces."""
        return np.concatenate([self._columns[name] for name in self.names_ if name in subset])

    def _predict(self, subset: Spaces, X: Floats) -> Floats:
        predictions: Floats = self.models_[subset].predict(X[:, self._columns_of(subset)])
        return predictions


def _as_columns(Y: Any) -> Floats:
    """Responses as (row, voxel)."""
    Y = np.asarray(as_numpy(Y))
    return Y[:, None] if Y.ndim == 1 else Y
