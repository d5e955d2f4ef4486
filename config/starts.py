"""The entries of `starts`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.strict_model import StrictModel
from config.value_types import LARGEST_VERSION, Expected, Input, JsonPath, Name


class Once(StrictModel):
    """Which starts count as the same."""

    key: JsonPath = Field(
        description="a JSONPath into the payload: starts with the same value there are made only once",
        examples=["$.ticket.id"],
    )
    while_: Literal["running", "kept"] = Field(
        default="running",
        alias="while",
        description="running: as long as the workflow runs; kept: as long as its event is kept",
    )


class Start(StrictModel):
    """A workflow that the webhook starts."""

    workflow: Name = Field(description="the workflow's name in Conductor", examples=["on_push"])
    version: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_VERSION,
        description="the version to start; the latest by default",
        examples=[3],
    )
    when: dict[JsonPath, Expected] = Field(
        default={},
        description="JSONPath → expected value, as in a task's matches, or operators; all must hold",
        examples=[{"$.action": "opened"}],
    )
    input: Input | None = Field(
        default=None,
        description="what the workflow gets: constants, and JSONPaths that stand for what they select; by default "
        "the payload",
        examples=[{"order": "$.data.id", "source": "web"}],
    )
    once: Once | None = Field(
        default=None,
        description="one workflow for one value of a key, not one for each event",
        examples=[{"key": "$.ticket.id", "while": "running"}],
    )
    unless: Literal["taken"] | None = Field(
        default=None, description="taken: only if no waiting task takes the event: resume, or else start"
    )
