"""The JSON that a request sends."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import abort, request
from pydantic import ValidationError

from admin.api.base import ApiObject
from criteria.suggestions import did_you_mean
from platforms.bodies import BadBody, read_json

_Object = TypeVar("_Object", bound=ApiObject)


def any_json() -> Any:
    """The body as JSON, whatever its content type; an error if it isn't JSON or is nested too deeply."""
    try:
        return read_json(request.get_data().decode())
    except UnicodeDecodeError:
        abort(400, "the body is not UTF-8")
    except BadBody as error:
        abort(400, str(error))


def object_of(kind: type[_Object]) -> _Object:
    """The body as this object; an error that names what doesn't fit. No body is an empty object."""
    try:
        return kind.model_validate(any_json() if request.get_data() else {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if not place:
            abort(400, "send a JSON object")
        if first["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in kind.model_fields.items()]
            abort(400, f"unknown field {place[:100]}: {did_you_mean(place[:100], known)}")
        abort(400, f"{place}: {first['msg']}")
