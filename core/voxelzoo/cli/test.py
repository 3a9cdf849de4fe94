"""``zoo test``: is a result above chance, and is one better than another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import DataError, UsageError
from voxelzoo.cli.output import print_json, print_table
from voxelzoo.cli.results import StoreOption, open_store, read_results
from voxelzoo.cli.session import JsonOption

if TYPE_CHECKING:
    from voxelzoo.reports.region_table import RegionTable, Settings
    from voxelzoo.science.ceilings import Others
    from voxelzoo.store.results import Result
    from voxelzoo.store.store import Store

NULLS = ("circular-shift", "blocks")
OVER = ("time", "stories")


def run(
    result: Annotated[str, typer.Argument(help="A result's key, or its beginning.")],
    against: Annotated[
        str | None, typer.Argument(help="Another result on the same held-out rows.")
    ] = None,
    store: StoreOption = Path("zoo-store"),
    null: Annotated[
        str, typer.Option(help="Chance of one result: circular-shift or blocks.")
    ] = "circular-shift",
    over: Annotated[
        str, typer.Option(help="What intervals draw: blocks of time, or stories.")
    ] = "time",
    block: Annotated[int, typer.Option(help="TRs of a block.")] = 10,
    ceiling: Annotated[
        str,
        typer.Option(
            help="schoppe, split-half, explainable-variance; or inter-subject, from the store's "
            "results of the other subjects."
        ),
    ] = "schoppe",
    permutations: Annotated[int, typer.Option(help="Permutations, and bootstrap draws.")] = 1000,
    all_subjects: Annotated[
        bool,
        typer.Option(
            "--all-subjects",
            help="Also the other subjects' results like these, and a test over subjects (the mean "
            "over them, group, is left out).",
        ),
    ] = False,
    without_first: Annotated[
        int | None,
        typer.Option(
            metavar="TRS",
            help="Instead: what the first TRs of each test story add to r (the long-context "
            "artefact).",
        ),
    ] = None,
    by_story: Annotated[
        bool,
        typer.Option(
            "--by-story",
            help="Instead: r, signed r2 and R2 of each test story and of all together.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the maps (voxel,) to this .npz.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of permutations and draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Test a result against chance, or two results against each other, region by region.

    A result needs its held-out predictions: make it with zoo run --keep predictions. r is the mean
    over a region's voxels with a 95 % interval; q is its p, adjusted over regions (FDR); the share
    of significant voxels is at FDR .05 over all voxels; headroom: ceiling minus r.

    \b
    Examples:
      zoo test 3fa9
      zoo test 3fa9 81c0 --all-subjects
      zoo test 3fa9 --ceiling inter-subject --out headroom.npz
      zoo test 3fa9 --by-story
      zoo test 3fa9 --without-first 50
    """
    from voxelzoo.reports.region_table import Settings
    from voxelzoo.science.ceilings import find_method

    if null not in NULLS or over not in OVER:
        raise UsageError(f"--null is {' or '.join(NULLS)}; --over is {' or '.join(OVER)}")
    if permutations < 20 or block < 1:
        raise UsageError("--permutations: 20 or more; --block: 1 or more")
    if out is not None and (out.suffix != ".npz" or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out}: --out is a .npz in a folder that exists")
    if without_first is not None and (against or all_subjects):
        raise UsageError("--without-first tests one result")
    if by_story and (against or all_subjects or without_first is not None):
        raise UsageError("--by-story scores one result, and does nothing else")
    settings = Settings(
        null=null,  # type: ignore[arg-type]  # checked above
        over=over,  # type: ignore[arg-type]
        block=block,
        ceiling=find_method(ceiling).name,
        n_permutations=permutations,
        n_draws=permutations,
        seed=seed,
    )
    opened = open_store(store)
    tested = [opened.result(key) for key in (result, against) if key is not None]
    subjects = _siblings(opened, tested) if all_subjects else [tuple(tested)]
    if by_story:
        found = [(tuple(tested), _stories(tested[0], settings))]
    else:
        found = [(pair, _verdict(opened, pair, settings, without_first)) for pair in subjects]
    across = _across(found) if all_subjects else None
    if out is not None:
        _write(out, found)
    if as_json:
        _print_json(found, across)
    else:
        _print(found, across)


Pair = tuple["Result", ...]


def _verdict(
    store: Store, pair: Pair, settings: Settings, without_first: int | None
) -> RegionTable:
    from voxelzoo.reports.region_table import compare, long_context_artefact, result_table

    held_out = [artefact.read_held_out() for artefact in pair]
    if without_first is not None:
        return long_context_artefact(held_out[0], without_first)
    if len(held_out) == 1:
        others = _others(store, pair[0]) if settings.ceiling == "inter-subject" else {}
        return result_table(held_out[0], settings, others)
    return compare(held_out[0], held_out[1], settings)


def _stories(artefact: Result, settings: Settings) -> RegionTable:
    from voxelzoo.reports.region_table import by_story

    return by_story(artefact.read_held_out(), settings)


def _siblings(store: Store, tested: list[Result]) -> list[Pair]:
    """The same comparison in every subject who has it; the newest result where there are two.

    A mean over subjects is no subject: a test over them would count each of them twice.
    """
    by_subject = [_alike(store, artefact) for artefact in tested]
    subjects = {
        subject
        for subject, artefact in by_subject[0].items()
        if all(subject in each for each in by_subject) and not _is_average(artefact)
    }
    if len(subjects) < 2:
        raise DataError(
            "--all-subjects: the store has these results, with predictions, for one subject only"
        )
    return [tuple(each[subject] for each in by_subject) for subject in sorted(subjects)]


def _is_average(result: Result) -> bool:
    """Whether the result's "subject" is a mean over subjects."""
    return result.record.is_average


def _alike(store: Store, artefact: Result) -> dict[str, Result]:
    """By subject, the results that differ from this one in the subject alone."""
    like = _settings_of(artefact)
    return {
        other.record.subject: other
        for other in read_results(store)
        if _settings_of(other) == like and "predictions" in other.kept
    } | {artefact.record.subject: artefact}


def _others(store: Store, artefact: Result) -> Others:
    """Held-out responses of the other subjects who heard the same, to be read one at a time."""
    own = artefact.record.subject
    if _is_average(artefact):
        raise UsageError(f"--ceiling inter-subject: {own!r} is a mean over subjects")
    found = {
        subject: other
        for subject, other in sorted(_alike(store, artefact).items())
        if subject != own and not _is_average(other)
    }
    if not found:
        raise DataError(
            "--ceiling inter-subject needs all subjects' responses, and the store has this result "
            "for one; run it for others too, with zoo run --keep predictions"
        )
    for subject, other in found.items():
        if other.labels != artefact.labels:
            raise DataError(
                f"--ceiling inter-subject: voxels of {own!r} and {subject!r} are labelled "
                "differently, so they do not correspond"
            )
    return {subject: other.read_responses for subject, other in found.items()}


def _settings_of(artefact: Result) -> Any:
    """All that determined a result but the subject."""
    return {k: v for k, v in artefact.provenance.items() if k not in ("responses", "others")}


def _across(found: list[tuple[Pair, RegionTable]]) -> list[dict[str, Any]]:
    """A row a region: the mean over subjects, and its sign-flip p."""
    import numpy as np

    from voxelzoo.science.paired_tests import subjects_test

    tables = [{row["region"]: row for row in verdict.rows} for _, verdict in found]
    what = "difference" if "difference" in found[0][1].rows[0] else "r"
    rows = []
    for region in tables[0]:
        values = [table[region][what] for table in tables if region in table]
        numbers = np.array([np.nan if value is None else value for value in values])
        if np.isfinite(numbers).sum() >= 2:
            over = subjects_test(numbers)
            mean, p = round(over.mean, 6), round(over.p, 6)
            rows.append({"region": region, "n_subjects": over.n_subjects, what: mean, "p": p})
    return rows


def _title(pair: Pair) -> str:
    said = []
    for artefact in pair:
        record = artefact.record
        name = record.model + (" untrained" if record.untrained else "")
        said.append(f"{name} layer {record.layer} ({artefact.key[:8]})")
    record = pair[0].record
    return f"{' against '.join(said)}: {record.dataset} {record.subject}"


def _print_json(found: list[tuple[Pair, RegionTable]], across: list[dict[str, Any]] | None) -> None:
    print_json(
        tests=[
            {
                "keys": [artefact.key for artefact in pair],
                "models": [artefact.record.model for artefact in pair],
                "layers": [artefact.record.layer for artefact in pair],
                "subject": pair[0].record.subject,
                "regions": verdict.rows,
                "notes": verdict.notes,
            }
            for pair, verdict in found
        ],
        across_subjects=across,
    )


def _print(found: list[tuple[Pair, RegionTable]], across: list[dict[str, Any]] | None) -> None:
    """Intervals are drawn together on a terminal, apart when piped."""
    several = len(found) > 1
    if not sys.stdout.isatty():
        rows = [{"subject": p[0].record.subject} | row for p, v in found for row in v.rows]
        print_table(rows, list(rows[0]))
        return
    for pair, verdict in found:
        rows = [_brief(row) for row in verdict.rows]
        print_table(rows, list(rows[0]), title=_title(pair))
        print("; ".join(verdict.notes))
    if across and several:
        print_table(across, list(across[0]), title=f"over {len(found)} subjects (sign-flip)")


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it."""
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
        shown |= {"ceiling": f"{_three(row['ceiling'])}{undefined}", "headroom": row["headroom"]}
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


def _write(path: Path, found: list[tuple[Pair, RegionTable]]) -> None:
    """``SUBJECT/MAP`` for each map."""
    import numpy as np

    maps: dict[str, Any] = {
        f"{pair[0].record.subject}/{name}": values
        for pair, verdict in found
        for name, values in verdict.maps.items()
    }
    np.savez(path, **maps)
