"""Types that the parts of a recipe share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
"""Name of a recipe."""

Count = Annotated[int, Field(ge=1)]
"""A whole number, 1 or more."""


class StrictModel(BaseModel):
    """A part of a recipe: unknown fields and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
