"""Where the real data, models and golden values of the tests lie, if this checkout has them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"needs the shared test data at {SHARED}, which is not there"
)
