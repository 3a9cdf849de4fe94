"""The error of a fit that cannot be made."""

from __future__ import annotations

from voxelzoo.api import DataError


class FitError(DataError, ValueError):
    """Raised for features, responses or settings that cannot be fitted.

    It is a ``ValueError`` too, as scikit-learn's users expect of an estimator.
    """
