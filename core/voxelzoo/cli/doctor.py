"""``zoo doctor``: what is broken on this machine, and how to fix it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from voxelzoo.api import Spec, ZooError
from voxelzoo.cli.output import print_json, print_table
from voxelzoo.cli.session import JsonOption, RegistryOption
from voxelzoo.host.catalogue import default_registry_path, validate_registry
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host
from voxelzoo.host.plugin_points import ENTRY_POINTS
from voxelzoo.host.zoo import open_zoo


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    check: str
    status: Literal["ok", "note", "broken"]
    detail: str
    fix: str = ""


def doctor(
    store: Annotated[Path, typer.Option(envvar="ZOO_STORE", help="The store to check.")] = Path(
        "zoo-store"
    ),
    as_json: JsonOption = False,
    registry: RegistryOption = None,
) -> None:
    """Check Python, torch, plugins, catalogue and store, and say how to fix what is broken.

    Exits with 4 if a plugin or the catalogue is broken, with 5 if a package or the store is.

    Example:  zoo doctor
    """
    host = load_host()
    findings = [
        *_python(),
        *_packages(host),
        *_plugins(host),
        *_catalogue(registry),
        *_store(store),
    ]
    if as_json:
        print_json(findings=[asdict(finding) for finding in findings])
    else:
        print_table([asdict(finding) for finding in findings], ("check", "status", "detail", "fix"))
    broken = {finding.check for finding in findings if finding.status == "broken"}
    if broken & {"plugin", "registry", "entry points"}:
        raise typer.Exit(4)
    if broken:
        raise typer.Exit(5)


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.prefix}")


def _packages(host: Host) -> Iterator[Finding]:
    """The packages that the installed plugins require, imported one by one.

    torch and torchaudio are a pair: a torchaudio of another version fails to import, and so do
    packages that import it.
    """
    fix = _torch_pair()
    specs: list[Spec] = [each.spec for each in host.extractors]
    specs += [each.spec for each in host.aligners]
    specs += [each.spec for each in host.regressors]
    specs += [each.spec for each in host.datasets]
    required = {package for spec in specs for package in spec.requires}
    versions = {}
    for name in sorted(required | {"soundfile"}):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            own = fix if name in ("torch", "torchaudio") else f"pip install {name}"
            yield Finding(name, "broken", "not installed", own)
    pair = [versions.get(name, "").split("+")[0].split(".")[:2] for name in ("torch", "torchaudio")]
    if pair[0] != pair[1]:
        yield Finding(
            "torch pair",
            "broken",
            f"torch {versions.get('torch')} does not fit torchaudio {versions.get('torchaudio')}; "
            "packages that import both cannot be imported",
            fix,
        )
        return
    for name, version in versions.items():
        try:
            importlib.import_module(name)
            yield Finding(name, "ok", version)
        except Exception as error:  # any failure of an import is what is looked for
            yield Finding(name, "broken", f"{version}: {error}".splitlines()[0], fix)
    torch = sys.modules.get("torch")
    if torch is not None:
        devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        yield Finding("devices", "ok", ", ".join(["cpu", *devices]))


def _torch_pair() -> str:
    """The command that installs torch and torchaudio in the versions that voxelzoo requires."""
    required = metadata.requires("voxelzoo") or []
    pair = [each for each in required if re.split(r"[^\w.-]", each)[0] in ("torch", "torchaudio")]
    return " ".join(["pip install", *(f"'{each}'" for each in pair)])


def _plugins(host: Host) -> Iterator[Finding]:
    for record in host.records:
        if record.status in ("failed", "incompatible"):
            yield Finding(
                "plugin",
                "broken",
                f"{record.name} ({record.distribution} {record.version}): {record.error}",
                f"pip install -U {record.distribution}, or --disable-plugin {record.name}",
            )
    for problem in host.problems:
        yield Finding("plugin", "broken", str(problem))
    loaded = sum(record.status == "loaded" for record in host.records)
    yield Finding("plugins", "ok", f"{loaded} of {len(host.records)} loaded")
    yield from _entry_points()


def _entry_points() -> Iterator[Finding]:
    """Whether a checkout's entry points are those of its editable install."""
    pyproject = Path(__file__).resolve().parents[3] / "pyproject.toml"
    if not pyproject.is_file():
        return
    project = tomllib.loads(pyproject.read_text()).get("project", {})
    if project.get("name") != "voxelzoo":
        return
    declared = project["entry-points"][ENTRY_POINTS]
    installed = {
        point.name: point.value
        for point in metadata.distribution("voxelzoo").entry_points
        if point.group == ENTRY_POINTS
    }
    if declared == installed:
        yield Finding("entry points", "ok", f"{len(installed)} as in pyproject.toml")
    else:
        changed = sorted(set(declared.items()) ^ set(installed.items()))
        names = ", ".join(sorted({name for name, _ in changed}))
        yield Finding(
            "entry points",
            "broken",
            f"installed ones differ from pyproject.toml: {names}",
            "pip install -e .",
        )


def _catalogue(overlays: list[Path] | None) -> Iterator[Finding]:
    for path in [default_registry_path(), *(overlays or ())]:
        problems = validate_registry(path)
        for problem in problems:
            yield Finding("registry", "broken", problem, "zoo registry validate")
        if problems:
            return
    try:
        catalogue = open_zoo(overlays, (), False).catalogue
        entries = catalogue.entries
        for row in catalogue.problems:
            yield Finding("catalogue", "broken", str(row))
    except ZooError as error:
        yield Finding("registry", "broken", str(error))
        return
    yield Finding("registry", "ok", f"{len(entries)} models")
    unpinned = [
        e.name
        for e in entries
        if e.repo is not None and e.revision is None and not Path(e.repo).is_absolute()
    ]
    if unpinned:
        yield Finding(
            "unpinned",
            "note",
            f"{len(unpinned)} models have no pinned revision: {', '.join(unpinned)}",
            "pin them with revision: (40-hex commit) in an overlay",
        )
    pickled = [e.name for e in entries if e.weights_format == "pickle"]
    if pickled:
        yield Finding(
            "pickled weights",
            "note",
            f"{len(pickled)} models are published as pickles: {', '.join(pickled)}",
            "load them with --allow-pickle, if you trust them",
        )


def _store(store: Path) -> Iterator[Finding]:
    import shutil

    folder = store if store.exists() else store.absolute().parent
    if not os.access(folder, os.W_OK):
        yield Finding(
            "store", "broken", f"{folder} is not writable", "choose another folder with --store"
        )
        return
    free = shutil.disk_usage(folder).free / 1e9
    yield Finding("store", "ok", f"{store.absolute()}: {free:.0f} GB free")
