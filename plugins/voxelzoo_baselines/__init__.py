"""Control models that need no network, and precomputed features."""
