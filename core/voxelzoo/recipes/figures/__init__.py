"""Kinds of figures: one class each, with the runs that it needs and the numbers that it gives.

To add a kind, write its class in a module of its own and list it in :data:`Figure`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from voxelzoo.recipes.figures.baseline import Baseline
from voxelzoo.recipes.figures.ceiling import CeilingMap
from voxelzoo.recipes.figures.data_scaling import DataScaling
from voxelzoo.recipes.figures.inter_subject import InterSubject
from voxelzoo.recipes.figures.layers import LayerCurves
from voxelzoo.recipes.figures.long_context import LongContext
from voxelzoo.recipes.figures.size_scaling import SizeScaling
from voxelzoo.recipes.figures.stacking import Stacking
from voxelzoo.recipes.figures.voxel_map import VoxelMap
from voxelzoo.recipes.figures.voxel_scaling import VoxelScaling

Figure = Annotated[
    SizeScaling
    | DataScaling
    | LayerCurves
    | VoxelMap
    | CeilingMap
    | Stacking
    | VoxelScaling
    | LongContext
    | InterSubject
    | Baseline,
    Field(discriminator="kind"),
]
"""A figure of any kind, chosen by its field ``kind``."""
