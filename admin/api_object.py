"""What the JSON objects have in common: Conductor's camelCase, ISO 8601 times in UTC."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from criteria.suggestions import did_you_mean
from store.records import iso

if TYPE_CHECKING:
    from typing_extensions import Self

Json = dict[str, Any]

Time = Annotated[
    int,
    PlainSerializer(iso),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "ISO 8601, UTC"}),
]
"""Unix milliseconds in Python."""


class ApiObject(BaseModel):
    """A field with a default is left out of the JSON when it has that value; every other field is
    always there."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid"
    )

    @classmethod
    def of(cls, *records: object, **more: object) -> Self:
        """Built from the records' attributes: `more` has precedence, then earlier records over
        later ones."""
        return cls.model_validate(_Joined(records, more))


def as_json(found: Any) -> Any:
    """The objects in it for `json.dumps`."""
    if isinstance(found, ApiObject):
        return found.model_dump(by_alias=True, exclude_defaults=True)
    if isinstance(found, Mapping):
        return {name: as_json(value) for name, value in found.items()}
    return list(map(as_json, found)) if isinstance(found, list) else found


def what_is_wrong(error: ValidationError, known: Collection[str]) -> str:
    """The first thing that doesn't fit, without its value. `known`: the names of the fields there
    are."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))[:100]
    if first["type"] == "extra_forbidden":
        return f"unknown {place}: {did_you_mean(place, known) if known else 'this takes none'}"
    return f"{place}: {first['msg']}" if place else "send a JSON object"


class NoQuery(ApiObject):
    """No parameters."""


class _Joined:
    """Several records as one."""

    def __init__(self, records: Sequence[object], more: Mapping[str, object]):
        self._records = records
        self.__dict__.update(more)

    def __getattr__(self, name: str) -> object:
        for record in self._records:
            if hasattr(record, name):
                return getattr(record, name)
        raise AttributeError(name)
