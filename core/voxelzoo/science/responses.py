"""One subject's responses to one story."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxelzoo.science.traces import ResponseTrace
from voxelzoo.science.voxel_arrays import VoxelArray


@dataclass(frozen=True)
class Responses:
    """One subject's responses to one story.

    Parameters
    ----------
    mean : (TR, voxel)
        Mean over repeats.
    repeats : (repeat, TR, voxel) or None
        Each repeat, if there were several.
    trace : ResponseTrace
        The sample that leak guards compare.
    """

    mean: VoxelArray
    repeats: VoxelArray | None
    trace: ResponseTrace

    @property
    def n_bytes(self) -> int:
        """Size of both arrays."""
        arrays = [self.mean] if self.repeats is None else [self.mean, self.repeats]
        return sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in arrays)
