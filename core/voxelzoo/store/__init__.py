"""Artefacts on disk, and results read from them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__, submod_attrs={"store": ["Store", "open_store"]}
)
