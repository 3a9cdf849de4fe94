"""``zoo extract``: states for use elsewhere."""

from __future__ import annotations

from typing import Any

from voxelzoo.api import UsageError
from voxelzoo.cli.arguments import ExtractArguments, command_of
from voxelzoo.cli.output import TerminalProgress
from voxelzoo.disk.files import written_whole


@command_of(ExtractArguments)
def extract(typed: ExtractArguments) -> None:
    """Write a model's states for use elsewhere: STORY/LAYER (time, unit) and STORY/times (s).

    Example:  zoo extract --plugin whisper-tiny --untrained --layer 4 --out states.npz
    """
    options, out = typed.run_options(), typed.out
    if len(typed.plugin) != 1:
        raise UsageError("zoo extract takes one --plugin")
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: the file must end in .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: no folder {out.absolute().parent}")
    zoo = typed.open_zoo()

    import numpy as np

    from voxelzoo.runs import execute

    with TerminalProgress(typed.quiet) as progress:
        states = execute.extract(
            zoo,
            typed.plugin[0],
            typed.open_dataset(zoo),
            options,
            stories=typed.story or (),
            progress=progress,
        )
        arrays: dict[str, Any] = {}
        for story, of_story in states.items():
            arrays[f"{story}/times"] = of_story.times
            arrays |= {f"{story}/{layer}": array for layer, array in of_story.layers.items()}
        with written_whole(out) as draft:
            np.savez(draft, **arrays)
        n, n_layers = len(states), len(next(iter(states.values())).layers)
        stories = "story" if n == 1 else "stories"
        layers = "layer" if n_layers == 1 else "layers"
        progress.say(f"wrote {n} {stories}, {n_layers} {layers} each, to {out}")
