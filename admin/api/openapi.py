"""The OpenAPI description of the API: its objects come from `admin.api.objects`, its routes are described here."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from admin.api import callbacks, deliveries, event_list, notes, objects, rejections
from admin.api.base import ApiObject, Json
from admin.events.filters import STATUSES

TEXT: Json = {"type": "string"}
ANYTHING: Json = {}
STATUS: Json = {"type": "string", "enum": list(STATUSES)}
_REFERENCE = "#/components/schemas/{model}"
_OBJECTS: tuple[type[ApiObject], ...] = (
    objects.Overview,
    objects.Webhook,
    objects.Event,
    event_list.ListedEvent,
    event_list.Failures,
    objects.WholeEvent,
    objects.Why,
    objects.Replay,
    objects.ReplayTo,
    notes.Reason,
    notes.ToNote,
    notes.Notes,
    notes.NotePlan,
    objects.Task,
    objects.WholeTask,
    rejections.Rejection,
    rejections.KeptRejection,
    rejections.AcceptedRejection,
    deliveries.RawDeliveries,
    callbacks.ToCallBack,
    callbacks.Callback,
    objects.Error,
    objects.Credentials,
    objects.Token,
    objects.Tag,
)
"""The objects that routes accept and return; those nested in them are included."""


class _Schemas(GenerateJsonSchema):
    """An optional field is left out, never null; no field has a title besides its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        inner = schema["schema"]
        return self.generate_inner(inner["schema"] if inner["type"] == "nullable" else inner)


def _schemas() -> Json:
    _, found = models_json_schema(
        [(kind, "serialization") for kind in _OBJECTS], ref_template=_REFERENCE, schema_generator=_Schemas
    )
    schemas: Json = found["$defs"]
    return schemas


def _ref(kind: type[ApiObject]) -> Json:
    return {"$ref": _REFERENCE.format(model=kind.__name__)}


def _list(kind: type[ApiObject]) -> Json:
    return {"type": "array", "items": _ref(kind)}


def _query(name: str, what: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "query", "required": False, "description": what, "schema": schema}


_FILTER = (
    _query("webhook", "only of this webhook"),
    _query(
        "status",
        "only of this status; held, paused, retrying, quarantined: what pending ones wait for; unresolved: failed, "
        "neither acknowledged nor resolved; resolved: by a replay",
        STATUS,
    ),
    _query("type", "only of this type; with a final *, of the types that begin like it"),
    _query("text", "only with this text in their id, delivery id or payload, whatever its case"),
    _query("where", "only where $.path=value holds; may be repeated, or have one condition per line"),
    _query("failure", "only failed events with this reason, as /api/failures says it"),
    _query("since", "only those of this time or later: 2h, or ISO 8601"),
    _query("until", "only those before this time"),
)


def _limit(default: int) -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": 1000, "default": default}
    return _query("limit", "how many at most", schema)


def _answers(schema: Json, what: str, status: str = "200", *errors: str) -> Json:
    texts = {
        "400": "a parameter is unknown or invalid",
        "401": "the token is missing or wrong",
        "403": "this caller is not allowed",
        "404": "not found",
        "409": "not possible now",
        "503": "the store is unavailable",
    }
    content = {"application/json": {"schema": _ref(objects.Error)}}
    return {
        status: {"description": what, "content": {"application/json": {"schema": schema}}},
        **{code: {"description": texts[code], "content": content} for code in ("401", "403", "503", *errors)},
    }


def _get(summary: str, answers: Json, *parameters: Json) -> Json:
    responses = _answers(ANYTHING, "", "200", "400") | answers
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": responses}}


def _orkes_paths() -> Json:
    """The API of Orkes, for its clients; success is always 200."""
    webhook_id = {"name": "webhook_id", "in": "path", "required": True, "schema": TEXT}
    body = {"type": "object", "description": "a webhook as Orkes' API knows it; secrets are ***, and *** keeps them"}

    def operation(summary: str, answer: Json, given: Json | None = None, *parameters: Json) -> Json:
        found: Json = {"summary": summary, "responses": _answers(answer, "done", "200", "400", "404")}
        if given is not None:
            found["requestBody"] = {"required": True, "content": {"application/json": {"schema": given}}}
        return {**found, **({"parameters": list(parameters)} if parameters else {})}

    return {
        "/api/token": {
            "post": operation("A token for X-Authorization", _ref(objects.Token), _ref(objects.Credentials))
        },
        "/api/metadata/webhook": {
            "get": operation("Orkes: all webhooks", {"type": "array", "items": body}),
            "post": operation("Orkes: create a webhook", body, body),
        },
        "/api/metadata/webhook/{webhook_id}": {
            "get": operation("Orkes: one webhook", body, None, webhook_id),
            "put": operation("Orkes: change a webhook", body, body, webhook_id),
            "delete": operation("Orkes: delete a webhook", ANYTHING, None, webhook_id),
        },
        "/api/metadata/webhook/{webhook_id}/tags": {
            "get": operation("Orkes: a webhook's tags", _list(objects.Tag), None, webhook_id),
            "put": operation("Orkes: add or replace tags", ANYTHING, _list(objects.Tag), webhook_id),
            "delete": operation("Orkes: delete tags", ANYTHING, _list(objects.Tag), webhook_id),
        },
    }


def _notes(event_id: Json) -> Json:
    """Acknowledging events, and reopening them."""

    def post(summary: str, answer: type[ApiObject], given: type[ApiObject], *parameters: Json) -> Json:
        body = {"required": True, "content": {"application/json": {"schema": _ref(given)}}}
        responses = _answers(_ref(answer), "done", "200", "400", "404", "409")
        return {"post": {"summary": summary, "parameters": [*parameters], "requestBody": body, "responses": responses}}

    what = {
        "acknowledge": ("Acknowledge {}: failed, expired or ignored, and nothing more to do", "an event", "events"),
        "reopen": ("Reopen {}", "an acknowledged event", "acknowledged events"),
    }
    found: Json = {}
    for verb, (summary, one, many) in what.items():
        found[f"/api/events/{{eventId}}/{verb}"] = post(summary.format(one), objects.Event, notes.Reason, event_id)
        found[f"/api/events/{verb}"] = post(f"{summary.format(many)}; 1000 at most", notes.Notes, notes.ToNote)
    return found


@cache
def parameters(path: str) -> frozenset[str]:
    """The query parameters that GET of the path, as it is described, knows."""
    given = description()["paths"].get(path, {}).get("get", {}).get("parameters", [])
    return frozenset(one["name"] for one in given if one["in"] == "query")


@cache
def _of_webhook(summary: str) -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    answers = _answers(_list(objects.Webhook), "all webhooks", "200", "404")
    return {"post": {"summary": summary, "parameters": [name], "responses": answers}}


def description() -> Json:
    """The description of every route under /api."""
    event_id = {"name": "eventId", "in": "path", "required": True, "schema": TEXT}
    rejection_id = {"name": "rejectionId", "in": "path", "required": True, "schema": TEXT}
    task_id = {"name": "taskId", "in": "path", "required": True, "schema": TEXT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conductor Webhook Bridge: admin API",
            "version": version("conductor-webhook-bridge"),
            "description": "What the admin page shows, as JSON. Without BRIDGE_ADMIN_TOKEN it only answers this "
            "machine; with it, anyone who has the token.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": {
            "/api/openapi.json": _get("This description", _answers({"type": "object"}, "OpenAPI 3.1")),
            "/api/overview": _get(
                "What is wrong right now, and counts", _answers(_ref(objects.Overview), "the overview")
            ),
            "/api/webhooks": _get("The webhooks", _answers(_list(objects.Webhook), "all of them")),
            "/api/webhooks/{name}/pause": _of_webhook("Accept a webhook's deliveries, but decide nothing"),
            "/api/webhooks/{name}/resume": _of_webhook("Resume a paused webhook"),
            "/api/webhooks/{name}/deliveries": _get(
                "Deliveries of a webhook with `listen`, as they came; only with BRIDGE_ADMIN_TOKEN",
                _answers(_ref(deliveries.RawDeliveries), "the next ones", "200", "404", "409"),
                {"name": "name", "in": "path", "required": True, "schema": TEXT},
                _query("after", "those after the number that an earlier answer gave as next", {"type": "integer"}),
                _query("from", "begin with: last, the id of an event, or how long ago, such as 2h"),
            ),
            "/api/events": _get(
                "Events, newest first",
                _answers(
                    _list(event_list.ListedEvent),
                    "the events. The header Link names the next page; Searched-Since says how far back was searched, "
                    "if not to the end",
                    "200",
                    "404",
                ),
                *_FILTER,
                _query("before", "only those that arrived before the event with this id (for paging)"),
                _limit(50),
            ),
            "/api/events/{eventId}": _get(
                "One event with its payload", _answers(_ref(objects.WholeEvent), "the event", "200", "404"), event_id
            ),
            "/api/events/{eventId}/why": _get(
                "Why an event did or didn't match each waiting task",
                _answers(_ref(objects.Why), "the explanation", "200", "404"),
                event_id,
                _limit(200),
            ),
            "/api/events/{eventId}/replay": {
                "post": {
                    "summary": "Deliver an event again, as a new event that arrives now",
                    "parameters": [event_id],
                    "requestBody": {"content": {"application/json": {"schema": _ref(objects.ReplayTo)}}},
                    "responses": _answers(_ref(objects.Replay), "the new event", "201", "404", "409"),
                }
            },
            "/api/events/{eventId}/erase": {
                "post": {
                    "summary": "Erase an event's payload, headers and answers; ids, times and targets stay",
                    "parameters": [event_id],
                    "responses": _answers(_ref(objects.WholeEvent), "what is left", "200", "404", "409"),
                }
            },
            **_notes(event_id),
            "/api/callbacks": {
                "post": {
                    "summary": "Make a URL that completes one task, once; only with BRIDGE_ADMIN_TOKEN",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": _ref(callbacks.ToCallBack)}},
                    },
                    "responses": _answers(_ref(callbacks.Callback), "the URL", "201", "400", "404"),
                }
            },
            "/api/failures": _get(
                "Unresolved failed events, grouped by webhook and reason",
                _answers(_ref(event_list.Failures), "the newest 5,000 of them, in groups", "200", "404"),
                _query("webhook", "only of this webhook"),
            ),
            "/api/tasks": _get(
                "Waiting tasks, ordered by id",
                _answers(_list(objects.Task), "the tasks"),
                _query("workflow", "only of this workflow"),
                _query("after", "only those after this task id (for paging)"),
                _limit(200),
            ),
            "/api/tasks/{taskId}": _get(
                "One task, with the recent events that came closest to it",
                _answers(_ref(objects.WholeTask), "the task", "200", "404"),
                task_id,
                _limit(20),
            ),
            "/api/rejections": _get(
                "The newest rejected deliveries, or the newest that `only` filtered out",
                _answers(_list(rejections.Rejection), "the rejections"),
                _query("webhook", "only of this webhook"),
                _query("filtered", "true: those that `only` filtered out"),
                _limit(50),
            ),
            "/api/rejections/{rejectionId}": _get(
                "A rejected delivery that was kept, and whether it would be accepted now",
                _answers(_ref(rejections.KeptRejection), "the delivery", "200", "404"),
                rejection_id,
            ),
            "/api/rejections/{rejectionId}/retry": {
                "post": {
                    "summary": "Verify a rejected delivery again, and accept it as an event that arrives now",
                    "parameters": [rejection_id],
                    "responses": _answers(_ref(rejections.AcceptedRejection), "its event", "201", "404", "409"),
                }
            },
            **_orkes_paths(),
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "BRIDGE_ADMIN_TOKEN"}},
        },
    }
