"""``zoo reproduce``: run a paper's recipe and compare the numbers with the paper's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.cli.options import (
    AllowPickleOption,
    DatasetOptionOption,
    DeviceOption,
    read_dtype,
    read_keep,
    read_pairs,
)
from voxelzoo.cli.output import TerminalProgress, is_terminal, print_json, print_line, print_table
from voxelzoo.cli.session import JsonOption, RegistryOption
from voxelzoo.runs.options import DEFAULT_STORE

if TYPE_CHECKING:
    from voxelzoo.recipes.options import ReproduceOptions
    from voxelzoo.recipes.reproduction import ComparisonLine, Reproduction
    from voxelzoo.recipes.schema import Recipe

RecipeArgument = Annotated[str, typer.Argument(help="antonello2023, or a recipe file: ./mine.yaml")]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", metavar="DATASET", help="The recipe's data: a folder, or NAME:PATH."
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--models", "--model", "-p", help="Only these of its models. Repeatable."),
]
FigureOption = Annotated[
    list[str] | None, typer.Option("--figure", "-f", help="Only this figure. Repeatable.")
]
SubjectOption = Annotated[
    list[str] | None, typer.Option("--subject", "-s", help="Only this subject. Repeatable.")
]
MiniatureOption = Annotated[
    bool,
    typer.Option("--miniature", help="Tiny untrained networks on simulated data; no download."),
]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="Control: the recipe's networks with random weights.")
]
ShowOption = Annotated[
    bool, typer.Option("--show", help="Print the recipe file and run nothing; to copy from.")
]
StoreOption = Annotated[
    Path, typer.Option(envvar="ZOO_STORE", help="Folder that keeps every artefact.")
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for tables, maps and pictures (reproduction-NAME).")
]
DtypeOption = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16, instead of the recipe's.")
]
KeepOption = Annotated[
    str, typer.Option(help="What to keep beside scores, as for zoo run: states,weights.")
]
ShiftOption = Annotated[
    float, typer.Option(help="Control: the stimulus comes this many seconds later; r must fall.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def reproduce(
    recipe: RecipeArgument,
    dataset: DatasetOption = None,
    models: ModelsOption = None,
    figure: FigureOption = None,
    subject: SubjectOption = None,
    miniature: MiniatureOption = False,
    untrained: UntrainedOption = False,
    show: ShowOption = False,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = None,
    keep: KeepOption = "aligned",
    shift: ShiftOption = 0.0,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
) -> None:
    """Run a paper's recipe and compare its numbers: match, mismatch, partial, or not run and why.

    A number matches if it is within the tolerance that the recipe states,
    with its reason (--json has both). A line is partial if data or models
    are not all of the recipe's. Claims in words, miniatures and controls are
    not compared.

    Examples:  zoo reproduce antonello2023 --miniature
      zoo reproduce antonello2023 --dataset lebel2023:PATH --models opt-125m
      zoo reproduce antonello2023 --show > mine.yaml
      zoo reproduce ./mine.yaml --json
    """
    from voxelzoo.recipes.loading import open_recipe
    from voxelzoo.recipes.options import ReproduceOptions

    paper = open_recipe(recipe, miniature=miniature, untrained=untrained)
    if show:
        print_line(paper.text.removesuffix("\n"))
        return
    options = ReproduceOptions(
        dataset=dataset,
        dataset_options=read_pairs("--dataset-option", dataset_option or ()),
        models=tuple(models or ()),
        figures=tuple(figure or ()),
        subjects=tuple(subject or ()),
        store=store,
        device=device,
        dtype=None if dtype is None else read_dtype(dtype),
        keep=read_keep(keep),
        shift=shift,
        allow_pickle=allow_pickle,
    )
    reproduction = _reproduce(paper, options, registry or (), out, quiet)
    if as_json:
        print_json(reproduction=reproduction.record())
    else:
        _print(reproduction)


def _reproduce(
    paper: Recipe,
    options: ReproduceOptions,
    registries: Sequence[Path],
    out: Path | None,
    quiet: bool,
) -> Reproduction:
    """Run a recipe and write its tables, maps and pictures."""
    from voxelzoo.recipes.output import write
    from voxelzoo.recipes.reproduce import open_zoo_for, reproduce

    with TerminalProgress(quiet) as progress:
        zoo = open_zoo_for(paper, registries)
        reproduction = reproduce(zoo, paper, options, progress)
        if reproduction.figures:
            folder = out or Path(f"reproduction-{paper.name}")
            written = write(reproduction, folder)
            progress.say(f"{len(written)} files written to {folder}")
    return reproduction


def _print(reproduction: Reproduction) -> None:
    """The table on stdout; notes and totals on stderr."""
    from voxelzoo.recipes.reproduction import SHOWN

    notes = list(reproduction.notes)
    if is_terminal():
        left_out = reproduction.not_selected
        selected = [line for line in reproduction.lines if line.figure not in left_out]
        if n := len(reproduction.lines) - len(selected):
            notes.append(f"{n} lines of figures that were not selected are not shown")
        print_table(_for_a_terminal(selected), SHOWN, title=reproduction.recipe.title)
    else:
        print_table([_row(line) for line in reproduction.lines], SHOWN)
    for note in notes:
        print_line(f"zoo: {note}", error=True)
    counts = Counter(line.status for line in reproduction.lines)
    totals = ", ".join(f"{n} {status}" for status, n in counts.items())
    outcomes = reproduction.outcomes
    results = f"{outcomes.n_computed} computed, {outcomes.n_kept} from the store"
    print_line(f"zoo: {totals}; results: {results}", error=True)


def _for_a_terminal(lines: Sequence[ComparisonLine]) -> list[dict[str, Any]]:
    """Rows in which a reason that repeats the one above, of the same figure, is shortened."""
    rows = [_row(line) for line in lines]
    for above, row in reversed(list(pairwise(rows))):
        if row["why"] and (row["why"], row["figure"]) == (above["why"], above["figure"]):
            row["why"] = "as above"
    return rows


def _row(line: ComparisonLine) -> dict[str, Any]:
    """A line with its number to four digits, and the interval if there is one."""
    obtained: str | None = None if line.obtained is None else str(line.obtained)
    if isinstance(line.obtained, float):
        interval = "" if line.low is None else f" ({line.low:.4g} to {line.high:.4g})"
        obtained = f"{line.obtained:.4g}{interval}"
    return {**line.record(), "obtained": obtained}
