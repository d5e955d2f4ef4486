"""Describes the API, and validates what it receives and answers, by the models of `admin.api`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

from flask import abort
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema
from spectree import Response, SpecTree
from spectree.model_adapter.pydantic_adapter import PydanticModelAdapter

from admin.api.objects import Error
from admin.api_object import ApiObject, Json, NoQuery, what_is_wrong

_ERRORS = {
    401: "the token is missing or wrong",
    403: "this caller is not allowed",
    404: "not found",
    409: "not possible now",
    503: "the store is unavailable",
}


class _Schemas(GenerateJsonSchema):
    """An optional field is left out, never null; no field has a title besides its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        inner = schema["schema"]
        if inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)


class _Models(PydanticModelAdapter):
    """Writes objects and their schemas as `ApiObject` says."""

    def dump_json(self, value: BaseModel) -> bytes:
        return json.dumps(value.model_dump(by_alias=True, exclude_defaults=True)).encode()

    def json_schema(
        self, model: type[BaseModel], *, ref_template: str, mode: Any = "validation"
    ) -> Json:
        return model.model_json_schema(
            ref_template=ref_template, mode=mode, schema_generator=_Schemas
        )


def _refuse(_request: Any, _answer: Any, error: Exception | None, *_: Any) -> None:
    """Answers 400 with the first thing that doesn't fit."""
    if isinstance(error, ValidationError):
        abort(400, what_is_wrong(error, API.models[error.title].get("properties", ())))


API = SpecTree(
    "flask",
    mode="strict",
    before=_refuse,
    validation_error_status=400,
    validation_error_model=Error,
    model_adapter=cast(Any, _Models()),
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    title="Conductor Webhook Bridge: admin API",
    version=version("conductor-webhook-bridge"),
    description=(
        "What the admin page shows, as JSON. Without BRIDGE_ADMIN_TOKEN it only answers this"
        " machine; with it, anyone who has the token."
    ),
    license={"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    security_schemes=[
        {
            "name": "token",
            "data": {"type": "http", "scheme": "bearer", "description": "BRIDGE_ADMIN_TOKEN"},
        }
    ],
    security=[{"token": []}, {}],
)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def answers(
    answer: Any, *codes: int, status: int = 200, query: type[ApiObject] = NoQuery, **more: Any
) -> Decorator:
    """Decorates a route: what it answers, its errors besides those of every route, and its query's
    parameters.

    The body is the model that annotates the route's parameter ``json``.
    """
    errors = {f"HTTP_{code}": (Error, _ERRORS[code]) for code in (401, 403, 503, *codes)}
    validated: Decorator = API.validate(
        query=query, resp=Response(**{f"HTTP_{status}": answer}, **errors), **more
    )
    return validated


class Description(ApiObject):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")
