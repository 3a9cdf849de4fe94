"""``zoo extract``: states for use elsewhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.options import (
    AllowPickleOption,
    ContextOption,
    DatasetOption,
    DatasetOptionOption,
    DeviceOption,
    DtypeOption,
    LayerOption,
    ModelOptionOption,
    PluginOption,
    SeedOption,
    StrideOption,
    UntrainedOption,
    WindowOption,
    read_entries,
    read_pairs,
    read_request,
    with_options,
)
from voxelzoo.cli.output import TerminalProgress
from voxelzoo.cli.session import DisableOption, NoPluginsOption, RegistryOption
from voxelzoo.host.zoo import open_zoo


def extract(
    plugin: PluginOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="Where to write.")],
    dataset: DatasetOption = None,
    layer: LayerOption = "all",
    story: Annotated[
        list[str] | None, typer.Option("--story", help="A story; all if none. Repeatable.")
    ] = None,
    untrained: UntrainedOption = False,
    protocol: Annotated[str, typer.Option(help="clean or antonello2023.")] = "clean",
    window: WindowOption = None,
    stride: StrideOption = None,
    context: ContextOption = None,
    model_option: ModelOptionOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    seed: SeedOption = 0,
    allow_pickle: AllowPickleOption = False,
    dataset_option: DatasetOptionOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    registry: RegistryOption = None,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Write a model's states for use elsewhere: STORY/LAYER (time, unit) and STORY/times (s).

    Example:  zoo extract --plugin whisper-tiny --untrained --layer 4 --out states.npz
    """
    session = open_zoo(registry, disable_plugin, no_plugins)
    if len(plugin) != 1:
        raise UsageError("zoo extract takes one --plugin")
    (entry,) = read_entries(session, plugin)
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: the file is a .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: no folder {out.absolute().parent}")
    request = read_request(
        untrained, seed, device, dtype, protocol, window, stride, context, allow_pickle
    )
    request = with_options(session, [entry], request, model_option or ())

    import numpy as np

    from voxelzoo.data.opening import open_dataset, plan_evaluation
    from voxelzoo.runs.extraction import raw_states
    from voxelzoo.runs.models import choose_layers, open_model, with_layers

    data = open_dataset(
        session.host, dataset, read_pairs("--dataset-option", dataset_option or ()), allow_pickle
    )
    known = plan_evaluation(data, own_for=data.subjects()).stories
    if unknown := [name for name in story or () if name not in known]:
        raise UsageError(f"no story {unknown[0]!r}; there are {', '.join(known)}")
    arrays: dict[str, Any] = {}
    with TerminalProgress(quiet) as progress:
        host = session.host
        model = open_model(
            host, with_layers(host, entry, data), replace(request, notify=progress.say)
        )
        layers = choose_layers(model, layer)
        for name in story or known:
            times, states = raw_states(model, data.story(name), layers, progress)
            arrays[f"{name}/times"] = times
            arrays |= {f"{name}/{which}": states[i] for i, which in enumerate(layers)}
        draft = out.with_name(f".{out.name}.{os.getpid()}.npz")
        try:
            np.savez(draft, **arrays)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
        progress.say(f"wrote {len(story or known)} stories x {len(layers)} layers to {out}")
