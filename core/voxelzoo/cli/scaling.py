"""``zoo scaling``: performance against model size, training data, both, and depth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from voxelzoo.cli.arguments import command_of
from voxelzoo.cli.results import StoreOption, open_store
from voxelzoo.cli.scaling_tables import print_grid, print_law, print_layers, print_notes
from voxelzoo.cli.session import JsonOption
from voxelzoo.reports.options import ScalingOptions

app = typer.Typer(
    help="Scaling laws over the results in a store: size, data, grid (both), layers.",
    no_args_is_help=True,
)

FamilyOption = Annotated[str | None, typer.Option(help="Only models of this family.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model. Repeatable.")
]
DatasetOption = Annotated[str | None, typer.Option(help="Only results on this dataset.")]
SubjectOption = Annotated[
    list[str] | None, typer.Option("--subject", help="Only this subject. Repeatable.")
]
ProtocolOption = Annotated[str | None, typer.Option(help="Only results of this protocol.")]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="Use models with random weights, not trained ones.")
]
LayerOption = Annotated[
    int | None, typer.Option(help="Use this layer of every model instead of each model's best.")
]
ByOption = Annotated[
    str,
    typer.Option(
        help="Score that chooses the best layer: cv_r (out-of-fold r within the training data), "
        "r (on held-out data: optimistic), or auto (cv_r if every layer has one)."
    ),
]
MetricOption = Annotated[str, typer.Option(help="Performance: r, or signed_r2 (|r| r).")]
AgainstOption = Annotated[str, typer.Option(help="Unit of training data: stories or hours.")]
DrawsOption = Annotated[int, typer.Option("--draws", help="Bootstrap draws.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the draws.")]
TableOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Print only this table, such as points, slope, regions or controls. When piped, one "
        "table is printed as TSV: the first, unless another is named.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Write each voxel's gain per doubling to this .npz, an array per subject."
    ),
]

DEFAULTS = ScalingOptions()


@dataclass(frozen=True, kw_only=True)
class ResultArguments:
    """Options that choose results."""

    family: FamilyOption = DEFAULTS.family
    models: ModelOption = None
    dataset: DatasetOption = DEFAULTS.dataset
    subjects: SubjectOption = None
    protocol: ProtocolOption = DEFAULTS.protocol
    untrained: UntrainedOption = DEFAULTS.untrained
    store: StoreOption = Path("zoo-store")
    table: TableOption = None
    as_json: JsonOption = False

    def scaling_options(self) -> ScalingOptions:
        """What was typed, as options of the function."""
        names = {field.name for field in fields(ScalingOptions)}
        typed = {name: value for name, value in vars(self).items() if name in names}
        return ScalingOptions(**{name: v for name, v in typed.items() if v is not None})


@dataclass(frozen=True, kw_only=True)
class GridArguments(ResultArguments):
    """Options of a fit to training data and size."""

    against: AgainstOption = DEFAULTS.against
    layer: LayerOption = DEFAULTS.layer
    by: ByOption = DEFAULTS.by
    metric: MetricOption = DEFAULTS.metric
    n_draws: DrawsOption = DEFAULTS.n_draws
    seed: SeedOption = DEFAULTS.seed


@dataclass(frozen=True, kw_only=True)
class DataArguments(GridArguments):
    """Options of a fit to training data."""

    out: OutOption = None


@dataclass(frozen=True, kw_only=True)
class SizeArguments(ResultArguments):
    """Options of a fit to size."""

    layer: LayerOption = DEFAULTS.layer
    by: ByOption = DEFAULTS.by
    metric: MetricOption = DEFAULTS.metric
    n_draws: DrawsOption = DEFAULTS.n_draws
    seed: SeedOption = DEFAULTS.seed
    out: OutOption = None


def _fit(
    kind: Literal["size", "data", "grid", "layers"],
    typed: ResultArguments,
    out: Path | None = None,
) -> dict[str, Any]:
    """The curve as JSON values; what was skipped is printed, and maps are written."""
    from voxelzoo.reports.report import check_npz, save_npz
    from voxelzoo.reports.scaling import scaling

    options = typed.scaling_options()
    if out is not None:
        check_npz(out)
    law = scaling(open_store(typed.store), kind, options, notify=lambda line: print_notes([line]))
    print_notes(law.notes)
    if out is not None:
        save_npz(out, law.maps)
    return law.record()


@app.command()
@command_of(SizeArguments)
def size(typed: SizeArguments) -> None:
    """Performance against log10 parameters within a family, trained on all stories.

    Controls on the same data (baselines, untrained models, models with
    fewer features) are printed as well. Missing controls are listed with
    the command that creates them.

    Example:  zoo scaling size --family opt
    """
    print_law(_fit("size", typed, typed.out), typed.as_json, typed.table)


@app.command()
@command_of(DataArguments)
def data(typed: DataArguments) -> None:
    """Performance of one model against log10 training stories, or hours.

    Make the points with zoo run --train-stories N --subset-seed S.

    Example:  zoo scaling data --model opt-125m --layer 9
    """
    print_law(_fit("data", typed, typed.out), typed.as_json, typed.table)


@app.command()
@command_of(GridArguments)
def grid(typed: GridArguments) -> None:
    """Data and size together: how the gain from more data changes with model size.

    Example:  zoo scaling grid --family opt
    """
    print_grid(_fit("grid", typed), typed.as_json, typed.table)


@app.command()
@command_of(ResultArguments)
def layers(typed: ResultArguments) -> None:
    """Performance of every layer of each model: mean r over voxels, then over subjects.

    se: standard error over subjects. The best layer by held-out r is an
    optimistic choice; the best by cv_r, within the training data, is not.
    may_be_best: layers not significantly worse than the best (95 %), if
    predictions were kept (zoo run --keep predictions).

    Example:  zoo scaling layers --family opt --json
    """
    print_layers(_fit("layers", typed), typed.as_json, typed.table)
