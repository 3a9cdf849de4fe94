"""``dataset.yaml``: what a plain folder says of itself, read strictly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from voxelzoo.api import DataError


def _plain_name(name: str) -> str:
    """Names become folders and store keys: one path component, nothing hidden."""
    if not name or name != name.strip() or name.startswith(".") or set(name) & set("/\\:\0\n"):
        raise ValueError(f"{name!r} cannot name a folder")
    return name


def _distinct(names: list[str]) -> list[str]:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{twice[0]!r} is listed twice")
    return names


_Names = Annotated[
    list[Annotated[str, AfterValidator(_plain_name)]],
    AfterValidator(_distinct),
]


class Split(BaseModel):
    """Stories for fitting, and stories held out whole."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    train: Annotated[_Names, Field(min_length=1)]
    test: _Names = []

    @model_validator(mode="after")
    def _apart(self) -> Split:
        if both := [name for name in self.train if name in self.test]:
            raise ValueError(f"{both[0]!r} is in both train and test: a leak")
        return self


class Description(BaseModel):
    """The fields of ``dataset.yaml``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, AfterValidator(_plain_name)]
    tr: Annotated[FiniteFloat, Field(gt=0)]
    """Repetition time, in seconds."""
    start: FiniteFloat
    """Story-clock time, in seconds, at which the first response row's volume begins."""
    stories: Split
    subjects: Annotated[_Names, Field(min_length=1)]
    summary: str = ""
    licence: str | None = None
    citation: str | None = None


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's silent win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key, times in Counter(keys).items() if times > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_description(path: Path) -> Description:
    """The description in ``path``; :class:`DataError` names the file, the field and the fault."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML ({error.problem})") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"{path}: not valid YAML ({first})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must hold fields such as 'name: ...' and 'tr: ...'")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: " + "; ".join(_faults(error))) from None


def _faults(error: ValidationError) -> list[str]:
    """One phrase a fault, each naming its field as it stands in the file."""
    faults = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(step) for step in fault["loc"])
        kind, given = fault["type"], fault["input"]
        if kind == "extra_forbidden":
            known = Split if where.startswith("stories.") else Description
            what = f"no such field; the fields are {', '.join(known.model_fields)}"
        elif kind == "missing":
            what = "missing"
        elif kind == "string_type":
            what = f"{given!r} is read as {type(given).__name__}; put text in quotes"
        elif kind == "value_error":
            what = str(fault["ctx"]["error"])
        else:
            what = f"{fault['msg'].lower()}, not {given!r}"
        faults.append(f"{where}: {what}")
    return faults
