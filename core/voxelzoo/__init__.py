"""voxelzoo: a model zoo for the brain.

Any pretrained network that can read or hear a story becomes a plugin. voxelzoo extracts its hidden
states, aligns them to the scanner's clock, regresses them onto every voxel, and says how well they
predict and how near that is to the noise ceiling.

Notebooks use the names below, each loaded on first use; ``__init__.pyi`` is the one table of them.
Plugins import :mod:`voxelzoo.api`. Everything else is internal.
"""

import lazy_loader

__version__ = "0.2.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
