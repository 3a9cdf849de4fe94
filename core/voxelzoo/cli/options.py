"""Options that several commands share, and how what is typed becomes :class:`RunOptions`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.runs.options import DTYPES, Dtype

PluginOption = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        "--model",
        "-p",
        metavar="NAME",
        help="A model: whisper-tiny, whisper/whisper-tiny, features/NAME or hf:ORG/NAME. "
        "Repeatable.",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        metavar="DATASET",
        help="NAME, NAME:PATH, or the path of a folder; simulated data if not given.",
    ),
]
DatasetOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset-option", metavar="KEY=VALUE", help="A setting of the dataset. Repeatable."
    ),
]
LayerOption = Annotated[
    str,
    typer.Option(
        "--layer", "-l", help="all, even, last, 9, 0,4,8 or 0-12, numbered as hidden_states."
    ),
]
UntrainedOption = Annotated[
    bool,
    typer.Option("--untrained", help="The model's architecture with random weights; no download."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of random weights.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
ProtocolOption = Annotated[
    str,
    typer.Option(help="clean, or antonello2023: exactly what that paper's released code does."),
]
WindowOption = Annotated[
    float | None, typer.Option(help="Speech: seconds of sound before each state (16.1).")
]
StrideOption = Annotated[float | None, typer.Option(help="Speech: seconds between states (0.1).")]
ContextOption = Annotated[
    str | None,
    typer.Option(
        help="Text: sawtooth:512:256, sliding:64, full or none, in tokens; add :words to count "
        "words."
    ),
]
FirstTokenOption = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="Text: the special token before every context. none, bos, eos, its text or its "
        "number; zoo show tells the default.",
    ),
]
ModelOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option", metavar="KEY=VALUE", help="A setting of the models. Repeatable."
    ),
]
AllowPickleOption = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Load weights or data that exist only as pickles. Unpickling can run any code.",
    ),
]
SubjectOption = Annotated[
    list[str] | None,
    typer.Option("--subject", "-s", help="A subject; all if none is named. Repeatable."),
]
AlignerOption = Annotated[
    str | None,
    typer.Option(
        help="An aligner, such as lanczos; with settings if needed: lanczos:window=3,cutoff=1."
    ),
]
RegressorOption = Annotated[
    str | None,
    typer.Option(
        help="A regressor, such as ridge or bootstrap-ridge; with settings "
        "if needed: ridge:alphas=[1,10],scoring=r2."
    ),
]
DelaysOption = Annotated[
    str | None,
    typer.Option(
        help="FIR delays, in TRs (1,2,3,4 or 1-4) or in seconds (2s-8s: from the TR nearest to 2 s "
        "to the one nearest to 8 s). Default: 2s-8s; under antonello2023, 1,2,3,4."
    ),
]
TrainStoriesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Train on N of the training stories, drawn at random with --subset-seed.",
    ),
]
OwnStoriesOption = Annotated[
    bool,
    typer.Option(
        "--own-stories",
        help="Also train each subject on stories that some other subjects did not hear. Without "
        "it, those stories are skipped, and one line says how many.",
    ),
]
SubsetSeedOption = Annotated[int, typer.Option(help="Seed of the draw of --train-stories.")]
FoldsOption = Annotated[
    int, typer.Option(help="Number of cross-validation folds, if there is only one story.")
]
GapOption = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="Time excluded from training on each side of a held-out fold: TRs (5) or seconds "
        "(10s).",
    ),
]
CeilingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Noise ceiling: schoppe, split-half or explainable-variance, from repeats of a "
        "held-out story; or inter-subject, from the other subjects' responses. Default: schoppe, "
        "if a held-out story was repeated.",
    ),
]
ShiftOption = Annotated[
    float,
    typer.Option(
        help="Control: move the stimulus by so many seconds. +4: words moved 4 s later; if r "
        "rises, the dataset's start is 4 s too late."
    ),
]
AllowLeakOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-leak",
        metavar="GUARD",
        help="Ignore this leak guard; the result records it. Repeatable.",
    ),
]
KeepOption = Annotated[
    str,
    typer.Option(
        help="What to keep, separated by commas. aligned: TR-rate states and scores, always kept. "
        "states: states at the model's own times. predictions: of held-out responses, for zoo "
        "test. weights: of each delay, unit and voxel. decompositions: eigendecompositions of "
        "designs, reused for other subjects."
    ),
]
StoreOption = Annotated[
    Path, typer.Option(envvar="ZOO_STORE", help="Folder that keeps every artefact.")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="Where to write.")]
StoryOption = Annotated[
    list[str] | None,
    typer.Option("--story", help="A story; all if none is named. Repeatable."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


# ------------------------------------------------------------------------------- reading options


def read_dtype(text: str) -> Dtype:
    """``--dtype``: a precision in which a network can run."""
    for dtype in DTYPES:
        if text == dtype:
            return dtype
    raise UsageError(f"--dtype {text!r}: use {', '.join(DTYPES)}")


def read_keep(text: str) -> tuple[str, ...]:
    """``--keep``: names separated by commas."""
    return tuple(part.strip() for part in text.split(","))


def read_tool(text: str | None) -> tuple[str | None, dict[str, Any]]:
    """A name and its settings: ``ridge:alphas=[1,10],scoring=r2``."""
    if text is None:
        return None, {}
    name, _, settings = text.partition(":")
    try:
        call = ast.parse(f"_({settings})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return name, {str(setting.arg): _literal(setting.value) for setting in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise UsageError(f"{text!r}: settings are KEY=VALUE, separated by commas") from None


def _literal(value: ast.expr) -> Any:
    return value.id if isinstance(value, ast.Name) else ast.literal_eval(value)


def read_pairs(where: str, settings: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` settings of the option ``where``."""
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{where} {setting!r}: settings are KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs
