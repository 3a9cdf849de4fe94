"""Everything a plugin may import.

A plugin is two modules. ``plugin.py`` is light (standard library and this module): it returns
*specs*, each naming a lazy target such as ``"voxelzoo_whisper.extractor:WhisperExtractor"``. The
heavy module behind the target is imported when its first model runs, so that ``zoo list`` never
imports torch. Every name here is loaded on first use; ``api.pyi`` is the one table of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("voxelzoo", __file__)
