"""The keys that say what a webhook does with its events, and answers: `starts`, `messages`,
`respond`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from config.quantities import Duration, format_duration, parse_duration
from config.value_types import (
    LARGEST_VERSION,
    TOKEN,
    Expected,
    Input,
    JsonPath,
    Name,
    RootedPath,
    StrictModel,
    check_answer,
    may_hold,
)

LONGEST_WAIT = 60.0
"""Seconds that a delivery may wait for its workflow."""

_CONTENT_TYPE = re.compile(rf'{TOKEN}/{TOKEN}(?:[ \t]*;[ \t]*{TOKEN}=(?:{TOKEN}|"[ !#-\[\]-~]*"))*')
"""Safe in a header: nothing in it can start another header."""


class Once(StrictModel):
    """Which starts count as the same."""

    key: JsonPath = Field(
        description=(
            "a JSONPath into the payload: starts with the same value there are made only once"
        ),
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
    when: dict[JsonPath, Annotated[Expected, may_hold("nothing would be started")]] = Field(
        default={},
        description=(
            "JSONPath → expected value, as in a task's matches, or operators; all must hold"
        ),
        examples=[{"$.action": "opened"}],
    )
    input: Input | None = Field(
        default=None,
        description=(
            "what the workflow gets: constants, and JSONPaths that stand for what they select; by"
            " default the payload"
        ),
        examples=[{"order": "$.data.id", "source": "web"}],
    )
    once: Once | None = Field(
        default=None,
        description="one workflow for one value of a key, not one for each event",
        examples=[{"key": "$.ticket.id", "while": "running"}],
    )
    unless: Literal["taken"] | None = Field(
        default=None,
        description="taken: only if no waiting task takes the event: resume, or else start",
    )


class Message(StrictModel):
    """A running workflow that gets the payload in its message queue."""

    workflow: Name = Field(description="the workflow's name in Conductor", examples=["agent"])
    key: RootedPath = Field(
        description=(
            "a JSONPath into the payload: the running workflow whose correlation id is the value"
            " there gets it"
        ),
        examples=["$.event.thread_ts"],
    )
    else_: Literal["start", "hold", "ignore"] = Field(
        default="start",
        alias="else",
        description=(
            "if none runs: start starts it; hold waits for one, as long as events are held; ignore"
            " drops it"
        ),
    )
    version: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_VERSION,
        description="the version that `else: start` starts; the latest by default",
        examples=[3],
    )
    when: dict[JsonPath, Annotated[Expected, may_hold("no message would be sent")]] = Field(
        default={},
        description=(
            "JSONPath → expected value, as in a task's matches, or operators; all must hold"
        ),
        examples=[{"$.event.type": "message"}],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        otherwise = written.get("else", "start")
        if written.get("version") is not None and otherwise in ("hold", "ignore"):
            yield (
                "version",
                (
                    f"a version, but `else: {otherwise}` starts nothing, and a message goes to any"
                    " version; remove it"
                ),
            )


def faults_of_messages(written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """What a webhook's `messages` need of its other keys."""
    messages = written.get("messages")
    entries = messages if isinstance(messages, list) else ()
    if _is_zero(written.get("hold")) and any(
        isinstance(one, dict) and one.get("else") == "hold" for one in entries
    ):
        yield (
            "messages",
            (
                "`else: hold` with `hold: 0s`: nothing would be held; give hold a duration, or"
                " change else"
            ),
        )


def _is_zero(hold: object) -> bool:
    """Whether nothing is held, however that is written."""
    try:
        return hold is not None and parse_duration(hold) == 0
    except ValueError:
        return False


def _check_wait(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("no time at all; write one such as 20s, or remove wait and output")
    if seconds > LONGEST_WAIT:
        raise ValueError(
            f"longer than {format_duration(LONGEST_WAIT)}; write a shorter time, such as 20s"
        )
    return seconds


class Respond(StrictModel):
    """The answer to an accepted or filtered delivery."""

    status: int = Field(
        default=200, ge=200, le=299, description="the status, 200 to 299", examples=[202]
    )
    body: Annotated[
        Any, BeforeValidator(check_answer), WithJsonSchema({"type": ["string", "object", "array"]})
    ] = Field(
        default="",
        description="the body: text, or a mapping or list that is sent as JSON",
        examples=["thanks"],
    )
    content_type: str | None = Field(
        default=None,
        description=(
            "the body's media type; text/plain by default, of a mapping or list application/json"
        ),
        examples=["text/plain"],
    )
    wait: Annotated[Duration, AfterValidator(_check_wait)] | None = Field(
        default=None,
        description=(
            "how long an accepted delivery waits for the end of its workflow, 60s at most; needs"
            " output"
        ),
        examples=["20s"],
    )
    output: RootedPath | None = Field(
        default=None,
        description=(
            "a JSONPath into the workflow's output: what it selects is the body; needs wait"
        ),
        examples=["$.reply"],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        yield from _faults_of_wait(written)
        status = written.get("status")
        if status in (204, 205):
            for key in ("body", "wait"):
                if written.get(key, "") != "":
                    what = f"a body, which status {status} can't have"
                    yield key, f"{what}; remove it, or write status: 200"
        media_type = written.get("content_type")
        if isinstance(media_type, str):
            yield from _faults_of_type(media_type, written.get("body"))


def _faults_of_wait(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "wait" not in written:
        if "output" in written:
            yield "output", "output without `wait`; add wait: 20s, or write a fixed body"
        return
    if "output" not in written:
        yield (
            "wait",
            "wait without `output`; add output: $.reply, the place of the answer in the output",
        )
    if "body" in written:
        yield (
            "body",
            "a body beside `wait`, which answers with the workflow's output; remove one of them",
        )


def _faults_of_type(media_type: str, body: object) -> Iterator[tuple[str, str]]:
    if not _CONTENT_TYPE.fullmatch(media_type):
        what = f"{media_type!r} is not a media type"
        yield "content_type", f"{what}; write one such as text/plain"
        return
    is_json = media_type.partition(";")[0].strip().lower() == "application/json"
    if not is_json or not isinstance(body, str) or not body:
        return
    try:
        json.loads(body)
    except ValueError as error:
        what = f"the body is not JSON, as content_type says: {error}"
        yield "body", f"{what}; fix it, or write it as a mapping"
