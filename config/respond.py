"""The key `respond`: the answer to an accepted delivery, given at once or once a workflow has ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from config.durations import Duration, format_duration
from config.strict_model import StrictModel
from config.value_types import RootedPath, check_answer

LONGEST_WAIT = 60.0
"""Seconds that a delivery may wait for its workflow."""

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_CONTENT_TYPE = re.compile(rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*')
"""Safe in a header: nothing in it can start another header."""


def _check_wait(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("no time at all; write one such as 20s, or remove wait and output")
    if seconds > LONGEST_WAIT:
        raise ValueError(f"longer than {format_duration(LONGEST_WAIT)}; write a shorter time, such as 20s")
    return seconds


class Respond(StrictModel):
    """The answer to an accepted or filtered delivery."""

    status: int = Field(default=200, ge=200, le=299, description="the status, 200 to 299", examples=[202])
    body: Annotated[Any, BeforeValidator(check_answer), WithJsonSchema({"type": ["string", "object", "array"]})] = (
        Field(default="", description="the body: text, or a mapping or list that is sent as JSON", examples=["thanks"])
    )
    content_type: str | None = Field(
        default=None,
        description="the body's media type; text/plain by default, of a mapping or list application/json",
        examples=["text/plain"],
    )
    wait: Annotated[Duration, AfterValidator(_check_wait)] | None = Field(
        default=None,
        description="how long an accepted delivery waits for the end of its workflow, 60s at most; needs output",
        examples=["20s"],
    )
    output: RootedPath | None = Field(
        default=None,
        description="a JSONPath into the workflow's output: what it selects is the body; needs wait",
        examples=["$.reply"],
    )

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        body, media_type = written.get("body", ""), written.get("content_type")
        if written.get("status") in (204, 205):
            for key in ("body", "wait"):
                if written.get(key, "") != "":
                    yield key, f"a body, which status {written['status']} can't have; remove it, or write status: 200"
        if "wait" in written:
            if "output" not in written:
                yield "wait", "wait without `output`; add output: $.reply, the place of the answer in the output"
            if "body" in written:
                yield "body", "a body beside `wait`, which answers with the workflow's output; remove one of them"
        elif "output" in written:
            yield "output", "output without `wait`; add wait: 20s, or write a fixed body"
        if not isinstance(media_type, str):
            return
        if not _CONTENT_TYPE.fullmatch(media_type):
            yield "content_type", f"{media_type!r} is not a media type; write one such as text/plain"
        elif isinstance(body, str) and body and media_type.partition(";")[0].strip().lower() == "application/json":
            try:
                json.loads(body)
            except ValueError as error:
                yield "body", f"the body is not JSON, as content_type says: {error}; fix it, or write it as a mapping"
