"""What `models/<spec>/models.yaml` may say: what the models beside it mean, and what they promise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.specs.checks import Check
from pipelines.specs.messages import Strict
from pipelines.specs.types import Identifier, Line


class ModelWords(Strict):
    """What is said of the model in `<name>.sql`."""

    about: Line = Field(description="What a row is, in one line; the comment of the table.")
    materialized: Literal["table", "view"] = Field(
        "table", description="`table`, made again after each load, or `view`, computed when it is read."
    )
    columns: dict[Identifier, Line] = Field(
        default_factory=dict, description="Columns by name, each with what it means; their comments."
    )


class ModelsFile(Strict):
    """The models of one spec."""

    models: dict[Identifier, ModelWords] = Field(
        default_factory=dict, description="Models by name; one that is not named here is a table without comments."
    )
    checks: list[Check] = Field(default_factory=list, description="What the models promise, as in a spec.")
