"""voxelzoo: a model zoo for the brain.

Any pretrained network that can read or hear a story becomes a plugin. voxelzoo extracts its hidden
states, aligns them to the scanner's clock, regresses them onto every voxel, and says how well they
predict and how near that is to the noise ceiling.

Notebooks use the names below, each loaded on first use; ``__init__.pyi`` is the one table of them.
Plugins import :mod:`voxelzoo.api`. Everything else is internal.
"""

__version__ = "0.2.0.dev0"


def __getattr__(name: str) -> object:
    # Reading the table takes 20 ms, for which the command line does not wait.
    import lazy_loader

    getter, lister, names = lazy_loader.attach_stub(__name__, __file__)
    globals().update(__dir__=lister, __all__=names)
    return names if name == "__all__" else getter(name)


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))
