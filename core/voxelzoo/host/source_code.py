"""A digest of a plugin's source, for keys, where its version does not tell which code ran.

A distribution that pip installed from a wheel has a hash for each of its files, and its version
names the code. An editable installation, or a folder on ``sys.path``, changes under the same
version: its source is part of the key, so that edited code never returns results of the old one.
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from voxelzoo.host.boundary import package_of

HOST = "voxelzoo"
"""The host's own package: versions of scores and states are part of keys already."""


_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)


def source_digest(module: str, of: str) -> str | None:
    """Digest of the source of a module's package, and of the packages beside it that it imports.

    Parameters
    ----------
    module : str
        Any module of the package, or a spec's target in it. It is not imported.
    of : str
        Name of the distribution that brings it.

    Returns
    -------
    str or None
        None if the distribution's own record has hashes of its files, which its version stands
        for; or if there is no source.
    """
    package = package_of(module)
    return None if package == HOST or _is_hashed(of, package) else _digest(package)


@cache
def _is_hashed(name: str, package: str) -> bool:
    """Whether a package is installed as files that its distribution's record has hashes of."""
    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):
        return False
    own = [file for file in files if file.parts[:1] in ((package,), (f"{package}.py",))]
    return bool(own) and all(file.hash for file in own if file.suffix == ".py")


@cache
def _digest(package: str) -> str | None:
    """Digest of every source file of a package and of what it imports from where it lies."""
    packages, waiting = set[str](), {package}
    digest = hashlib.sha256()
    while waiting:
        packages |= waiting
        imported: set[str] = set()
        for name in sorted(waiting):
            for label, content in _files(name):
                digest.update(f"{label}\0{len(content)}\0".encode() + content)
                imported |= set(_IMPORT.findall(content.decode(errors="replace")))
        waiting = {name for name in imported - packages - {HOST} if _is_outside(name)}
    return digest.hexdigest() if any(True for _ in _files(package)) else None


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every source file of a package."""
    folder = _place(package)
    if folder is None:
        return
    if folder.is_file():
        yield folder.name, folder.read_bytes()
        return
    for path in sorted(folder.rglob("*.py")):
        yield f"{package}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _place(package: str) -> Path | None:
    """Folder of a package, or the file of a module; None if it has no source."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        return Path(folder)
    is_source = spec.origin is not None and spec.origin.endswith(".py")
    return Path(str(spec.origin)) if is_source else None


def _is_outside(package: str) -> bool:
    """Whether a package lies outside the folders that pip and Python install into."""
    place = _place(package)
    if place is None or {"site-packages", "dist-packages"} & {*place.parts}:
        return False
    return not place.is_relative_to(sysconfig.get_paths()["stdlib"])
