"""The types of the keys that say what events are made of a delivery: `decode`, `split` and
`schema`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema

from config.json_schemas import PayloadSchema
from config.value_types import Name, StrictModel, raise_faults, why_unrooted
from criteria.jsonpath import BadPath, compile_path

Encoding = Literal["json", "base64", "base64-json", "gzip"]
"""How a text in a payload is written. `gzip`: its bytes in Base64."""
_ENCODINGS = get_args(Encoding)
_MOST_PATHS = 20


def _check_decode(value: object) -> object:
    if value is False:
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(
            "neither false nor a mapping; write one such as {$.payload: base64-json}, or false to"
            " decode nothing"
        )
    raise_faults("decode", _faults_of_decode(value))
    if len(value) > _MOST_PATHS:
        raise ValueError(
            f"more than {_MOST_PATHS} paths; use fewer, such as $.records[*].data for all of a list"
        )
    return value


def _faults_of_decode(written: dict[object, object]) -> Iterator[tuple[tuple[str], str]]:
    for path, encoding in written.items():
        if isinstance(path, str) and (unrooted := why_unrooted(path)) is not None:
            yield (path,), "; ".join(unrooted)
            continue
        try:
            compile_path(path)
        except BadPath as error:
            yield (str(path),), f"{error}; write one such as $.payload"
        if encoding not in _ENCODINGS:
            message = f"{encoding!r} is not an encoding; write one of {', '.join(_ENCODINGS)}"
            yield (str(path),), message


Decode = Annotated[
    Any,
    BeforeValidator(_check_decode),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": False},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"enum": list(_ENCODINGS)},
                },
            ]
        }
    ),
]
"""JSONPath → `Encoding`; False to decode nothing."""


def _check_split(value: object) -> object:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value.startswith("$"):
        raise ValueError(
            "neither true nor false nor a JSONPath; write true for the top-level array, or one such"
            " as $.items"
        )
    try:
        compile_path(value)
    except BadPath as error:
        raise ValueError(f"{error}; write one such as $.items") from None
    return value


Split = Annotated[
    Any,
    BeforeValidator(_check_split),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^\\$"}]}),
]
"""True for the top-level array, or a JSONPath to one."""


class SchemaFile(StrictModel):
    """The JSON Schema that payloads must fit."""

    file: Name = Field(
        description="the file, below the folder of this one and relative to it",
        examples=["order.schema.json"],
    )
    else_: Literal["refuse", "keep"] = Field(
        default="refuse",
        alias="else",
        description=(
            "refuse: what doesn't fit is answered 422; keep: it is answered 200, and recorded as"
            " rejected"
        ),
    )
    _compiled: PayloadSchema | None = PrivateAttr(default=None)

    @property
    def compiled(self) -> PayloadSchema | None:
        """The schema; None in a process that needs none, or if it has errors."""
        return self._compiled

    def compile_as(self, schema: PayloadSchema) -> None:
        """This is what the file has."""
        self._compiled = schema


def _as_schema_file(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


PayloadSchemaFile = Annotated[
    SchemaFile,
    BeforeValidator(_as_schema_file),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "minLength": 1},
                        "else": {"enum": ["refuse", "keep"]},
                    },
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""A file's name alone, or with what becomes of a payload that doesn't fit."""
