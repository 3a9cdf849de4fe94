"""What aligners and regressors must have, and what they may have.

The part of the contract (:mod:`voxelzoo.contract.interfaces`) that concerns designs and fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csc_array


# -------------------------------------------------------------------------------------- aligners


@runtime_checkable
class Aligner(Protocol):
    """Resamples states from their own times to scan times, linearly."""

    def weights(
        self, times: NDArray[np.float64], scan_times: NDArray[np.float64]
    ) -> NDArray[np.float64] | csc_array:
        """The matrix that takes states at their own times to scan times.

        Being linear, it is applied block by block while extraction runs.

        Parameters
        ----------
        times : ndarray of float64
            When each state is, (time,), in seconds, never decreasing.
        scan_times : ndarray of float64
            When each response row was acquired, (TR,), in seconds.

        Returns
        -------
        ndarray or csc_array of float64
            (TR, time). Dense, or sparse for long stories: two hours at 10 Hz make a dense one of
            2 GB.
        """
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Its parameters, as JSON values."""
        ...


# ------------------------------------------------------------------------------------ regressors


@runtime_checkable
class Regressor(Protocol):
    """A linear model from design to voxels, following the scikit-learn API.

    Optional: :class:`HasAlphas`, :class:`HasAlphaGrid`, :class:`HasCVScores`,
    :class:`HasCoefficients`, :class:`ReportsPath`; for several feature spaces,
    :class:`StacksSpaces`, :class:`HasWeightIntervals`, :class:`SplitsScores`,
    :class:`PartitionsVariance`; and :class:`FormsDelays` or :class:`TakesSpaces` where its
    :class:`RegressorSpec` says so.
    """

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Regressor:
        """Fit every voxel.

        Parameters
        ----------
        X : array
            The design, (TR, feature), each story standardised.
        Y : array
            Responses, (TR, voxel). With ``RegressorSpec(streams=True)``, something on disk that is
            sliced by voxel.
        groups : array, optional
            Number of the story that each row belongs to, (TR,): the folds of cross-validation.

        Returns
        -------
        Regressor
            Itself.
        """
        ...

    def predict(self, X: Any) -> Any:
        """Predict responses.

        Parameters
        ----------
        X : array
            A design with the columns of the one that was fitted, (TR, feature).

        Returns
        -------
        array
            Predictions, (TR, voxel).
        """
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its parameters: part of the key of a result.

        One named ``cache``, if it is ``None``, is set to a folder in which fits on the same design
        may share what they can; it must not change a value.

        Parameters
        ----------
        deep : bool, default True
            As in scikit-learn: whether parameters of estimators within it are included.

        Returns
        -------
        dict of str to Any
            JSON values, by the names of the constructor's parameters.
        """
        ...


@runtime_checkable
class FormsDelays(Protocol):
    """A regressor that forms FIR delays itself, declared by ``RegressorSpec(delays="self")``.

    It is given the states as they are. Delays never cross from one group (story) to the next.
    """

    def set_params(self, **parameters: Any) -> Any:
        """Set the delays.

        Parameters
        ----------
        **parameters : Any
            ``delays``, a tuple of whole TRs.
        """
        ...

    def predict(self, X: Any, groups: Any = None) -> Any:
        """Predict responses.

        Parameters
        ----------
        X : array
            States at scan times, not delayed, (TR, unit).
        groups : array, optional
            Number of the story that each row belongs to, (TR,); without it, all rows are one story.

        Returns
        -------
        array
            Predictions, (TR, voxel).
        """
        ...


@runtime_checkable
class TakesSpaces(Protocol):
    """A regressor for several feature spaces, declared by ``RegressorSpec(spaces=True)``."""

    def set_params(self, **parameters: Any) -> Any:
        """Set the feature spaces.

        Parameters
        ----------
        **parameters : Any
            ``spaces``, a mapping of each space's name to its slice of the design's columns.
        """
        ...


@runtime_checkable
class HasAlphas(Protocol):
    """A fitted regressor with one penalty a voxel; results then have the map ``alpha``."""

    alpha_: NDArray[np.floating[Any]]
    """Penalty of each voxel, (voxel,); NaN where a voxel could not be fitted."""


@runtime_checkable
class HasAlphaGrid(HasAlphas, Protocol):
    """A fitted regressor that chose each voxel's penalty from a grid.

    Results then say how many voxels chose the smallest or the largest one.
    """

    alphas_: NDArray[np.floating[Any]]
    """Penalties that were tried, (alpha,), in the units of ``alpha_``."""


@runtime_checkable
class HasCVScores(Protocol):
    """A fitted regressor with cross-validated scores; results then have the map ``cv_r``.

    A layer can then be chosen without looking at the held-out data. Without it, the layer is chosen
    on the test data, and reports call that choice optimistic.
    """

    cv_score_: NDArray[np.floating[Any]]
    """Pearson's r of each voxel within the training data, (voxel,): the mean over folds, at the
    chosen parameters. NaN where a voxel could not be fitted."""


@runtime_checkable
class HasCoefficients(Protocol):
    """A fitted regressor with linear weights; ``zoo run --keep weights`` needs them."""

    def coef_block(self, targets: slice) -> NDArray[np.floating[Any]]:
        """Weights of some voxels.

        Parameters
        ----------
        targets : slice
            The voxels.

        Returns
        -------
        ndarray
            (voxel, feature), for the columns of ``X`` that ``fit`` was given. With
            :class:`FormsDelays` the features are the delayed ones: every unit at the first delay,
            then every unit at the next.
        """
        ...


@runtime_checkable
class ReportsPath(Protocol):
    """A fitted regressor that says how it was computed; the result records it."""

    path_: str
    """Device, precision and algorithm, in a few words."""


@runtime_checkable
class StacksSpaces(Protocol):
    """A fitted regressor of several spaces that weighs them; results then have ``weights``."""

    weights_: NDArray[np.floating[Any]]
    """Weight of each space in each voxel's prediction, (voxel, space), in the order of
    ``spaces``."""


@runtime_checkable
class HasWeightIntervals(Protocol):
    """A fitted :class:`StacksSpaces` with an interval of each weight, from resampling."""

    weights_low_: NDArray[np.floating[Any]]
    """Lower end, (voxel, space)."""
    weights_high_: NDArray[np.floating[Any]]
    """Upper end, (voxel, space)."""


@runtime_checkable
class SplitsScores(Protocol):
    """A fitted regressor of several spaces that says what each adds; results have ``split_r``."""

    def score_split(self, X: Any, Y: Any) -> NDArray[np.floating[Any]]:
        """What each space adds to Pearson's r on held-out rows.

        Parameters
        ----------
        X : array
            The design of the held-out rows, (TR, feature).
        Y : array
            Their responses, (TR, voxel).

        Returns
        -------
        ndarray
            (space, voxel), spaces in their order. Either shares that add up to r, or each space's
            gain over the others alone; the regressor's documentation says which.
        """
        ...


@runtime_checkable
class PartitionsVariance(Protocol):
    """A fitted regressor of several spaces that says what they explain alone and together."""

    def partition(self, X: Any, Y: Any) -> Mapping[frozenset[str], NDArray[np.floating[Any]]]:
        """Divide held-out R2 among the spaces.

        Parameters
        ----------
        X : array
            The design of the held-out rows, (TR, feature).
        Y : array
            Their responses, (TR, voxel).

        Returns
        -------
        mapping of frozenset of str to ndarray
            R2 that exactly these spaces share, (voxel,), for every non-empty set of them. The
            values of a voxel add up to the R2 of all spaces together.
        """
        ...
