"""``zoo test``: is a result above chance, and is one better than another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.cli.arguments import command_of
from voxelzoo.cli.output import is_terminal, print_json, print_line, print_table
from voxelzoo.cli.results import StoreOption, open_store
from voxelzoo.cli.session import JsonOption
from voxelzoo.reports.options import SignificanceOptions

if TYPE_CHECKING:
    from voxelzoo.reports.significance import SignificanceReport

DEFAULTS = SignificanceOptions()


@dataclass(frozen=True, kw_only=True)
class SignificanceArguments:
    """Options of ``zoo test``."""

    result: Annotated[str, typer.Argument(help="Key of a result, or its first characters.")]
    against: Annotated[
        str | None,
        typer.Argument(help="Key of another result with the same held-out responses."),
    ] = None
    store: StoreOption = Path("zoo-store")
    null: Annotated[
        str,
        typer.Option(
            help="Null distribution when testing one result against chance: circular-shift or "
            "blocks."
        ),
    ] = DEFAULTS.null
    over: Annotated[
        str,
        typer.Option(
            help="Resampling unit for confidence intervals: time (blocks of TRs) or stories."
        ),
    ] = DEFAULTS.over
    block: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Length of a block, for intervals and permutations: TRs (10) or seconds (20s).",
        ),
    ] = str(DEFAULTS.block)
    ceiling: Annotated[
        str,
        typer.Option(
            help="Noise ceiling: schoppe, split-half or explainable-variance, from repeats; or "
            "inter-subject, from the store's results of the other subjects."
        ),
    ] = DEFAULTS.ceiling
    permutations: Annotated[
        int, typer.Option(help="Number of permutations, and of bootstrap draws.")
    ] = DEFAULTS.n_permutations
    all_subjects: Annotated[
        bool,
        typer.Option(
            "--all-subjects",
            help="Also test the same results of the other subjects, and test over subjects. A mean "
            "over subjects is not counted as one.",
        ),
    ] = False
    without_first: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Report the change in r when the start of each test story is dropped, in TRs (50) "
            "or seconds (100s), instead of the usual test (Antonello et al. 2023: the long-context "
            "artefact).",
        ),
    ] = None
    by_story: Annotated[
        bool,
        typer.Option(
            "--by-story",
            help="Report r, signed r2 and R2 of each test story and of all together, instead of "
            "the usual test.",
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the maps to this .npz, as SUBJECT/MAP (voxel,)."),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of permutations and draws.")] = DEFAULTS.seed
    as_json: JsonOption = False


@command_of(SignificanceArguments)
def run(typed: SignificanceArguments) -> None:
    """Test a result against chance, or two results against each other, in each region.

    Pass two keys to compare them per voxel; --all-subjects adds a group
    test. Results need their held-out predictions: make them with
    zoo run --keep predictions.

    \b
    r: mean over a region's voxels, with a 95 % interval.
    q: FDR-corrected p across regions.
    share_significant: share of voxels significant at FDR .05 over all voxels.
    share_fwer: the same at a familywise error of .05 (maximum statistic).
    ceiling, headroom: of the test stories that were repeated; headroom is
    the ceiling minus r over the same stories (r_repeated).

    \b
    Examples:
      zoo test 3fa9
      zoo test 3fa9 81c0 --all-subjects
      zoo test 3fa9 --ceiling inter-subject --out headroom.npz
      zoo test 3fa9 --by-story
      zoo test 3fa9 --without-first 100s
    """
    from voxelzoo.reports.report import check_npz, save_npz
    from voxelzoo.reports.significance import test

    options = SignificanceOptions(
        null=typed.null,  # type: ignore[arg-type]  # the options check it
        over=typed.over,  # type: ignore[arg-type]
        block=typed.block,
        ceiling=typed.ceiling,
        n_permutations=typed.permutations,
        seed=typed.seed,
    )
    if typed.out is not None:
        check_npz(typed.out)
    report = test(
        open_store(typed.store),
        typed.result,
        typed.against,
        options,
        all_subjects=typed.all_subjects,
        without_first=typed.without_first,
        by_story=typed.by_story,
        notify=lambda line: print_line(f"zoo: {line}", error=True),
    )
    if typed.out is not None:
        save_npz(typed.out, report.maps)
    if typed.as_json:
        print_json(**report.record())
    else:
        _print(report)


def _print(report: SignificanceReport) -> None:
    """On a terminal a table for each subject; when piped one table of all, with every column.

    The test over subjects is then in columns of its own, the same for every subject of a region.
    """
    if not is_terminal():
        of_group = {row["region"]: row for row in report.across_subjects or ()}
        rows = [
            row
            | {
                name if name == "n_subjects" else f"group_{name}": value
                for name, value in of_group.get(row["region"], {}).items()
                if name != "region"
            }
            for row in report.regions
        ]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        print_table([dict.fromkeys(columns) | row for row in rows], columns)
        return
    for subject in report.subjects:
        rows = [_brief(row) for row in subject.table.rows]
        print_table(rows, list(rows[0]), title=subject.title)
        print_line("; ".join(subject.table.notes))
    if across := report.across_subjects:
        title = f"over {len(report.subjects)} subjects (p by sign flips)"
        print_table(across, list(across[0]), title=title)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row with fewer, readable columns, for a terminal."""
    shown: dict[str, Any] = {"region": row["region"], "voxels": row["n_voxels"]}
    if "story" in row:
        shown = {"story": row["story"]} | shown
        shown |= {"r": row["r"], "95 % interval": _span(row["r_low"], row["r_high"])}
        shown |= {"signed r2": row["signed_r2"], "R2": row["r2"]}
    elif "r_low" in row:
        shown |= {"r": row["r"], "95 % interval": _span(row["r_low"], row["r_high"])}
        shown |= {"q": row["q"], "significant": _percent(row["share_significant"])}
        missing = row["n_without_ceiling"]
        undefined = f" ({missing} undefined)" if 0 < missing < row["n_voxels"] else ""
        shown |= {"ceiling": f"{_three(row['ceiling'])}{undefined}"}
        if row["r_repeated"] != row["r"]:
            shown["r repeated"] = row["r_repeated"]
        shown["headroom"] = row["headroom"]
    elif "difference_low" in row:
        shown |= {"r first": row["r_first"], "r second": row["r_second"]}
        shown |= {
            "difference": row["difference"],
            "95 % interval": _span(row["difference_low"], row["difference_high"]),
            "q": row["q"],
            "first better": _percent(row["share_first_better"]),
            "second better": _percent(row["share_second_better"]),
        }
    else:
        names = ("r", "r_without_start", "difference", "percent")
        shown |= {name: row[name] for name in names}
    if row.get("n_undefined"):
        shown["voxels"] = f"{row['n_voxels']} ({row['n_undefined']} undefined)"
    return shown


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
