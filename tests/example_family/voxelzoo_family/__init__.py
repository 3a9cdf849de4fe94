"""A voxelzoo plugin: Gemma and UniSpeech."""
