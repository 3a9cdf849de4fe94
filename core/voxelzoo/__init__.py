"""voxelzoo: a model zoo for the brain.

Any pretrained network that can read or hear a story becomes a plugin; ``zoo`` extracts its hidden
states, aligns them to the scanner's clock, regresses them onto every voxel and says how well they
predict. Plugin authors import :mod:`voxelzoo.api`; everything else here is the host's own.
"""

__version__ = "0.1.0"
