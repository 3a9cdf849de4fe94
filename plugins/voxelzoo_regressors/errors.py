"""The error of a fit that cannot be made."""

from __future__ import annotations

from voxelzoo.api import DataError


class FitError(DataError, ValueError):
    """Design, responses or settings that no fit can be made of.

    A ``ValueError`` too, as scikit-learn's users expect of an estimator.
    """
