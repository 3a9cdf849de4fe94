"""A voxelzoo plugin whose truth is known: a dataset, and models that show what drives it."""
