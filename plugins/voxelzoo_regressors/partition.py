"""What feature spaces explain alone and together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import UsageError
from voxelzoo_regressors.arrays import Kind, as_numpy, checked_fit, checked_rows, story_names
from voxelzoo_regressors.ridge import Ridge
from voxelzoo_regressors.stacking import correlation, named_spaces

Floats = NDArray[np.floating[Any]]
Spaces = frozenset[str]


def subsets(names: Iterable[str]) -> list[Spaces]:
    """Every subset of the spaces but the empty one: the joint models a partition needs."""
    names = list(names)
    sizes = range(1, len(names) + 1)
    return [frozenset(s) for s in chain(*(combinations(names, n) for n in sizes))]


def variance_partition(explained: Mapping[Spaces, Floats]) -> dict[Spaces, Floats]:
    """Variance that exactly these spaces share, for each subset, from that of joint models.

    ``explained`` gives R2 (voxel,) of the model of each subset (:func:`subsets`). A part that is
    one space is what it alone explains; parts sum to the R2 of the model of all. By
    inclusion and exclusion; estimates can be below zero (de Heer et al. 2017).
    """
    names: Spaces = frozenset().union(*explained)
    every = subsets(dict.fromkeys(name for spaces in explained for name in sorted(spaces)))
    missing = [s for s in every if s not in explained]
    if missing:
        raise UsageError(
            f"variance partitioning needs the model of {' + '.join(sorted(missing[0]))}"
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
    """Ridge on every subset of two or three feature spaces; predicts by the model of all.

    Parameters
    ----------
    spaces
        Columns of each space: name to slice (or indices), or widths in order of the columns.
    regressor
        A :class:`voxelzoo_regressors.Ridge`, a copy of which is fitted on each subset; by default
        one that chooses penalties by R2, which is what is partitioned.

    Attributes
    ----------
    models_ : dict
        Fitted regressor of each subset (a frozenset of names).
    names_ : list
        Names of the spaces.
    alpha_, cv_score_ : (voxel,)
        Penalty, and mean held-out correlation, of the model of all spaces.
    """

    def __init__(
        self, spaces: Mapping[str, Any] | Sequence[int] | None = None, *, regressor: Any = None
    ) -> None:
        self.spaces = spaces
        self.regressor = regressor

    def fit(self, X: Any, Y: Any, groups: Any = None) -> VariancePartition:
        """Fits ``Y`` (row, voxel) from ``X`` (row, feature); ``groups`` (row,) names stories."""
        X, Y, self._one_target = checked_fit(self, X, Y)
        names = story_names(groups, len(X))
        every = np.arange(X.shape[1])
        self._columns = {
            name: every[columns] for name, columns in named_spaces(self.spaces, len(every)).items()
        }
        if len(self._columns) > 3:
            raise UsageError(
                f"variance-partition: {len(self._columns)} spaces need "
                f"{2 ** len(self._columns) - 1} fits and cannot be drawn apart; give two or three"
            )
        self.names_ = list(self._columns)
        prototype = Ridge(scoring="r2") if self.regressor is None else self.regressor
        self.models_ = {
            subset: clone(prototype).fit(X[:, self._of(subset)], Y, groups=names)
            for subset in subsets(self.names_)
        }
        joint = self.models_[frozenset(self.names_)]
        self.alpha_, self.cv_score_ = joint.alpha_, joint.cv_score_
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, voxel) of the model of all spaces."""
        check_is_fitted(self)
        found = self._predict(frozenset(self.names_), checked_rows(self, X))
        return Kind.of(X).give(found[:, 0] if self._one_target else found)

    def partition(self, X: Any, Y: Any) -> dict[Spaces, Floats]:
        """R2 on these rows that each subset shares, (voxel,): :func:`variance_partition`."""
        check_is_fitted(self)
        X, Y = checked_rows(self, X), self._responses(Y)
        spread = ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = {
                subset: 1 - ((Y - self._predict(subset, X)) ** 2).sum(axis=0) / spread
                for subset in self.models_
            }
        return variance_partition(explained)

    def score_split(self, X: Any, Y: Any) -> Floats:
        """What each space adds to the correlation that the others reach, (space, voxel)."""
        check_is_fitted(self)
        X, Y = checked_rows(self, X), self._responses(Y)
        every = frozenset(self.names_)
        joint = correlation(self._predict(every, X), Y)
        others = [every - {name} for name in self.names_]
        without = [correlation(self._predict(o, X), Y) if o else 0 * joint for o in others]
        return joint - np.stack(without)

    def _of(self, subset: Spaces) -> NDArray[np.intp]:
        """Columns of some spaces."""
        return np.concatenate([self._columns[name] for name in self.names_ if name in subset])

    def _predict(self, subset: Spaces, X: Floats) -> Floats:
        found: Floats = self.models_[subset].predict(X[:, self._of(subset)])
        return found

    @staticmethod
    def _responses(Y: Any) -> Floats:
        Y = np.asarray(as_numpy(Y))
        return Y[:, None] if Y.ndim == 1 else Y
