"""Whether something happens as often as it is said to."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binom


def at_rate(hits: Any, rate: float) -> bool:
    """As many hits as the stated rate gives, within the central 99.9 %."""
    low, high = binom.interval(0.999, len(hits), rate)
    return bool(low <= np.sum(hits) <= high)
