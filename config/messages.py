"""The entries of `messages`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from config.durations import parse_duration
from config.strict_model import StrictModel
from config.value_types import LARGEST_VERSION, Expected, JsonPath, Name, RootedPath


class Message(StrictModel):
    """A running workflow that gets the payload in its message queue."""

    workflow: Name = Field(description="the workflow's name in Conductor", examples=["agent"])
    key: RootedPath = Field(
        description="a JSONPath into the payload: the running workflow whose correlation id is the value there gets it",
        examples=["$.event.thread_ts"],
    )
    else_: Literal["start", "hold", "ignore"] = Field(
        default="start",
        alias="else",
        description="if none runs: start starts it; hold waits for one, as long as events are held; ignore drops it",
    )
    version: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_VERSION,
        description="the version that `else: start` starts; the latest by default",
        examples=[3],
    )
    when: dict[JsonPath, Expected] = Field(
        default={},
        description="JSONPath → expected value, as in a task's matches, or operators; all must hold",
        examples=[{"$.event.type": "message"}],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        otherwise = written.get("else", "start")
        if written.get("version") is not None and otherwise in ("hold", "ignore"):
            yield (
                "version",
                f"a version, but `else: {otherwise}` starts nothing, and a message goes to any version; remove it",
            )


def rules(written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """What a webhook's `messages` need of its other keys."""
    messages = written.get("messages")
    entries = messages if isinstance(messages, list) else ()
    if _is_zero(written.get("hold")) and any(isinstance(one, dict) and one.get("else") == "hold" for one in entries):
        yield "messages", "`else: hold` with `hold: 0s`: nothing would be held; give hold a duration, or change else"


def _is_zero(hold: object) -> bool:
    """Whether nothing is held, however that is written."""
    try:
        return hold is not None and parse_duration(hold) == 0
    except ValueError:
        return False
