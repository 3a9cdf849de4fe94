"""Finds, reads and checks recipes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxelzoo.api import NotFoundError, PluginError
from voxelzoo.recipes.schema import Recipe
from voxelzoo.science.protocols import PROTOCOLS
from voxelzoo.strict_yaml import Document, read_yaml

Problem = tuple[tuple[str, ...], str]
"""Keys of the part of a recipe that is wrong, and what is wrong."""


def open_recipe(name: str | Path, *, miniature: bool = False, untrained: bool = False) -> Recipe:
    """A recipe by name or path, ready for :func:`voxelzoo.recipes.reproduce.reproduce`.

    Parameters
    ----------
    name : str or Path
        ``antonello2023``, or the path of a recipe file: ``./mine.yaml``.
    miniature : bool
        Its miniature instead, with what the paper expects of the models that the miniature's own
        models stand for.
    untrained : bool
        With random weights, as a control.

    Returns
    -------
    Recipe

    Raises
    ------
    NotFoundError
        If there is no such recipe.
    PluginError
        If the file is not a valid recipe, as ``file:line: problem``.
    UsageError
        If ``miniature`` is set and the recipe has none.
    """
    recipe = load_recipe(find_recipe(str(name)))
    if miniature:
        recipe = load_recipe(find_recipe(str(recipe.miniature_path))).expecting(recipe)
    return recipe.with_random_weights() if untrained else recipe


def find_recipe(name: str) -> Path:
    """Path of a recipe.

    Parameters
    ----------
    name : str
        A file, or the name of a recipe that the package includes.

    Raises
    ------
    NotFoundError
        If there is neither.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise NotFoundError(f"{name}: no such recipe file")
        return path
    folder = Path(str(resources.files("voxelzoo") / "recipes"))
    path = folder / f"{name}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in folder.glob("*.yaml") if not p.stem.endswith("-models"))
        raise NotFoundError(
            f"no recipe {name!r}; there are {', '.join(names)}, or give the path of a file"
        )
    return path


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : Path
        A YAML file.

    Raises
    ------
    PluginError
        As ``file:line: problem`` for the first problem, with the number of others.
    """
    document = read_yaml(path)
    problems = list(document.problems)
    recipe = None
    if not problems:
        try:
            recipe = Recipe.model_validate(document.value)
        except ValidationError as error:
            problems = _invalid(document, error)
        else:
            problems = [
                (document.line(*keys), f"{'.'.join(keys)}: {problem}")
                for keys, problem in _contradictions(recipe)
            ]
    if recipe is None or problems:
        line, problem = min(problems)
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise PluginError(f"{path}:{line}: {problem}{more}")
    recipe._document = document
    return recipe


def _invalid(document: Document, error: ValidationError) -> list[tuple[int, str]]:
    """Fields that are missing, unknown or have a wrong value, with their lines."""
    details = error.errors(include_url=False)
    # A field that is missing is usually one that is misspelt: only the misspelling is reported.
    misspelt = any(detail["type"] == "extra_forbidden" for detail in details)
    return [
        _problem(document, detail)
        for detail in details
        if not (misspelt and detail["type"] == "missing")
    ]


def _problem(document: Document, detail: Any) -> tuple[int, str]:
    keys = tuple(str(key) for key in detail["loc"])
    unknown = f"unknown field {keys[-1]!r}" if keys else ""
    if keys[:1] == ("figures",) and len(keys) > 3:
        unknown = f"unknown field {keys[-1]!r} of a figure of kind {keys[2]}"
    if keys[:1] == ("figures",):
        keys = (*keys[:2], *keys[3:])  # the third is the kind of the figure
    parent, kind = keys[:-1], detail["type"]
    where, text = keys, str(detail["msg"])[:1].lower() + str(detail["msg"])[1:]
    if kind == "extra_forbidden":
        where, text = parent, unknown
    elif kind == "missing":
        where, text = parent, f"{keys[-1]!r} is missing"
    elif kind == "value_error":
        text = str(detail["ctx"]["error"])
    elif kind == "union_tag_not_found":
        text = "'kind' is missing"
    elif kind == "union_tag_invalid":
        keys = where = (*keys, "kind")
        text = f"input should be one of {detail['ctx']['expected_tags']}"
    return document.line(*keys), f"{'.'.join(where)}: {text}" if where else text


def _contradictions(recipe: Recipe) -> Iterator[Problem]:
    """Names that one part of a recipe uses and another does not have."""
    yield from _data_contradictions(recipe)
    for name, figure in recipe.figures.items():
        for model in sorted(figure.models_named - recipe.models.keys()):
            yield ("figures", name, "models"), f"model {model!r} is not one of models"
    for name, expected in recipe.expect.items():
        if expected.figure is None:
            continue
        if expected.figure not in recipe.figures:
            yield ("expect", name, "figure"), f"no figure {expected.figure!r}"
            continue
        for model in sorted(set(expected.models) - set(recipe.figures[expected.figure].models)):
            yield ("expect", name, "models"), f"model {model!r} is not in {expected.figure}"


def _data_contradictions(recipe: Recipe) -> Iterator[Problem]:
    data, protocol = recipe.data, PROTOCOLS.get(recipe.fit.protocol)
    if protocol is None:
        yield ("fit", "protocol"), f"no protocol {recipe.fit.protocol!r}"
    elif data.trims and data.trims.test_start_trs != protocol.skip_test_trs:
        yield (
            ("data", "trims", "test_start_trs"),
            f"is {data.trims.test_start_trs}, but protocol {protocol.name} skips "
            f"{protocol.skip_test_trs}",
        )
    for subject in data.lacks.keys() - set(data.subjects):
        yield ("data", "lacks", subject), f"{subject!r} is not one of subjects"
    for name in data.repeats.keys() - set(data.test_stories):
        yield ("data", "repeats", name), f"{name!r} is not one of the test stories"
