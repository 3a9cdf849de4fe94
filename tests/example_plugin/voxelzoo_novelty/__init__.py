"""A voxelzoo plugin: how new each word of a story is."""
