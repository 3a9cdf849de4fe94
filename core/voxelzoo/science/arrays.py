"""Types of arrays that the science works on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""Floating-point numbers of any precision."""

Mask = NDArray[np.bool_]
"""Which voxels, or which rows."""

Rows = NDArray[np.intp]
"""Positions: of rows, voxels or layers."""
