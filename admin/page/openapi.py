"""The OpenAPI description of the API."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, get_args

from criteria.operators import NAMES as OPERATORS
from store.records import EventStatus, SetAsideKind, TargetState, TaskState

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
TIME: Json = {"type": "string", "format": "date-time", "description": "ISO 8601, UTC"}
NUMBER: Json = {"type": "integer"}
FLAG: Json = {"type": "boolean"}
ANYTHING: Json = {}


def _maybe(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def _one_of(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(optional: tuple[str, ...] = (), **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


_TARGET: Json = {
    "kind": _one_of("complete", "start"),
    "workflow": TEXT,
    "workflowId": _maybe(TEXT),
    "version": _maybe(NUMBER),
    "taskId": _maybe(TEXT),
    "referenceName": _maybe(TEXT),
    "correlationId": _maybe(TEXT),
    "state": _one_of(*get_args(TargetState)),
    "attempts": NUMBER,
    "error": _maybe(TEXT),
    "createdAt": TIME,
    "settledAt": _maybe(TIME),
    "dueAt": {**_maybe(TIME), "description": "when it is called next, while it is pending"},
}
_SET_ASIDE: Json = {
    **_maybe(_object(kind=_one_of(*get_args(SetAsideKind)), reason=TEXT, since=TIME, tries=NUMBER, dueAt=TIME)),
    "description": "why it, or a task's workflow, is set aside, and when it is tried next",
}
_EVENT: Json = {
    "eventId": TEXT,
    "webhook": TEXT,
    "status": _one_of(*get_args(EventStatus)),
    "receivedAt": TIME,
    "deliveryId": _maybe(TEXT),
    "targets": _list(_ref("Target")),
}
_TASK: Json = {
    "taskId": TEXT,
    "workflowId": TEXT,
    "workflow": TEXT,
    "referenceName": TEXT,
    "matches": ANYTHING,
    "waitingSince": TIME,
    "broken": {**TEXT, "description": "why the matches can't be parsed; only where they can't"},
}
_VERDICT: Json = {
    "verdict": _one_of("taken", "matches", "differs", "out of reach", "broken"),
    "reason": TEXT,
    "firstFailed": {**_maybe(TEXT), "description": "the path of the first criterion that doesn't hold"},
    "criteria": _list(_ref("Criterion")),
}

_SCHEMAS: Json = {
    "Error": _object(error=TEXT, message=TEXT),
    "Overview": _object(
        problems=_list(_object(level=_one_of("error", "warning", "note"), text=TEXT, details=_list(TEXT))),
        events=_object((), **dict.fromkeys(get_args(EventStatus), NUMBER)),
        oldestPendingAt=_maybe(TIME),
        waitingTasks=NUMBER,
        conductor={**_maybe(TEXT), "description": "up, or the error"},
        discovery={**_maybe(TEXT), "description": "how waiting tasks that no queue hands out are found, and why so"},
    ),
    "Webhook": _object(
        name=TEXT,
        url=TEXT,
        platform=TEXT,
        status=_one_of("Unverified", "Verified"),
        verifiedAt=_maybe(TIME),
        deliveriesLastDay={
            "type": "object",
            "additionalProperties": NUMBER,
            "description": "outcome (accepted, duplicate, filtered, rejected, challenge) → number",
        },
    ),
    "Target": _object(**_TARGET),
    "Event": _object(**_EVENT),
    "WholeEvent": _object(
        **_EVENT,
        meaning=_list(TEXT),
        setAside=_SET_ASIDE,
        heldUntil=_maybe(TIME),
        holdUntil=TIME,
        decidedAt=_maybe(TIME),
        settledAt=_maybe(TIME),
        replayOf=_maybe(TEXT),
        headers={"type": "object", "additionalProperties": TEXT},
        query={"type": "object"},
        payload={"type": "object"},
    ),
    "Criterion": _object(
        ("operator",), path=TEXT, operator=_one_of(*OPERATORS), expected=ANYTHING, found=_list(ANYTHING), holds=FLAG
    ),
    "Why": _object(
        eventId=TEXT,
        status=_EVENT["status"],
        meaning=_list(TEXT),
        starts=_list(
            _object(workflow=TEXT, version=_maybe(NUMBER), holds=FLAG, reason=TEXT, criteria=_list(_ref("Criterion")))
        ),
        tasks=_list(_object(("broken",), **_TASK, **_VERDICT)),
    ),
    "Replay": _object(eventId=TEXT, replayOf=TEXT),
    "Task": _object(("broken",), **_TASK),
    "TaskExplanation": _object(
        ("broken",),
        **_TASK,
        state=_one_of(*get_args(TaskState)),
        meaning=TEXT,
        setAside=_SET_ASIDE,
        foundBy=_one_of("queue", "index"),
        domain=_maybe(TEXT),
        targets=_list(_object(eventId=TEXT, **_TARGET)),
        events=_list(_object(eventId=TEXT, webhook=TEXT, status=_EVENT["status"], receivedAt=TIME, **_VERDICT)),
    ),
    "Rejection": _object(webhook=TEXT, at=TIME, status=NUMBER, reason=TEXT, remote=_maybe(TEXT), method=TEXT),
}


def _query(name: str, what: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "query", "required": False, "description": what, "schema": schema}


def _limit(default: int) -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": 1000, "default": default}
    return _query("limit", "how many at most", schema)


def _answers(schema: Json, what: str, status: str = "200", *errors: str) -> Json:
    texts = {
        "400": "a parameter is wrong",
        "401": "the token is missing or wrong",
        "403": "not for this caller",
        "404": "there is none",
        "409": "it can't be done now",
        "503": "the store can't be used now",
    }
    content = {"application/json": {"schema": _ref("Error")}}
    return {
        status: {"description": what, "content": {"application/json": {"schema": schema}}},
        **{code: {"description": texts[code], "content": content} for code in ("401", "403", "503", *errors)},
    }


def _get(summary: str, answers: Json, *parameters: Json) -> Json:
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


def _orkes_paths() -> Json:
    """The API of Orkes, for its clients; success is always 200."""
    webhook_id = {"name": "webhook_id", "in": "path", "required": True, "schema": TEXT}
    tag = _object(key=TEXT, value=TEXT)
    body = {"type": "object", "description": "a webhook as Orkes' API knows it; secrets are ***, and *** keeps them"}

    def operation(summary: str, answer: Json, given: Json | None = None, *parameters: Json) -> Json:
        found: Json = {"summary": summary, "responses": _answers(answer, "done", "200", "400", "404")}
        if given is not None:
            found["requestBody"] = {"required": True, "content": {"application/json": {"schema": given}}}
        return {**found, **({"parameters": list(parameters)} if parameters else {})}

    return {
        "/api/token": {
            "post": operation("A token for X-Authorization", _object(token=TEXT), _object(keyId=TEXT, keySecret=TEXT))
        },
        "/api/metadata/webhook": {
            "get": operation("Orkes: all webhooks", _list(body)),
            "post": operation("Orkes: make a webhook", body, body),
        },
        "/api/metadata/webhook/{webhook_id}": {
            "get": operation("Orkes: one webhook", body, None, webhook_id),
            "put": operation("Orkes: change a webhook", body, body, webhook_id),
            "delete": operation("Orkes: delete a webhook", ANYTHING, None, webhook_id),
        },
        "/api/metadata/webhook/{webhook_id}/tags": {
            "get": operation("Orkes: a webhook's tags", _list(tag), None, webhook_id),
            "put": operation("Orkes: put tags", ANYTHING, _list(tag), webhook_id),
            "delete": operation("Orkes: delete tags", ANYTHING, _list(tag), webhook_id),
        },
    }


def description() -> Json:
    """The description of every route under /api."""
    event_id = {"name": "eventId", "in": "path", "required": True, "schema": TEXT}
    task_id = {"name": "taskId", "in": "path", "required": True, "schema": TEXT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conductor Webhook Bridge: admin API",
            "version": version("conductor-webhook-bridge"),
            "description": "What the admin page shows, as JSON. Without BRIDGE_ADMIN_TOKEN it answers only this "
            "machine; with it, whoever gives the token.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": {
            "/api/openapi.json": _get("This description", _answers({"type": "object"}, "OpenAPI 3.1")),
            "/api/overview": _get("What is wrong right now, and counts", _answers(_ref("Overview"), "the overview")),
            "/api/webhooks": _get("The webhooks", _answers(_list(_ref("Webhook")), "all of them")),
            "/api/events": _get(
                "Events, newest first",
                _answers(_list(_ref("Event")), "the events", "200", "400", "404"),
                _query("webhook", "only of this webhook"),
                _query("status", "only of this status", _EVENT["status"]),
                _query("text", "only with this text in id, delivery id or payload"),
                _query("before", "only those that arrived before this event (its id): for paging"),
                _limit(50),
            ),
            "/api/events/{eventId}": _get(
                "One event, whole", _answers(_ref("WholeEvent"), "the event", "200", "404"), event_id
            ),
            "/api/events/{eventId}/why": _get(
                "Why an event did or didn't match each waiting task",
                _answers(_ref("Why"), "the explanation", "200", "400", "404"),
                event_id,
                _limit(200),
            ),
            "/api/events/{eventId}/replay": {
                "post": {
                    "summary": "Deliver an event once more, as a new event that arrives now",
                    "parameters": [event_id],
                    "responses": _answers(_ref("Replay"), "the new event", "201", "404", "409"),
                }
            },
            "/api/tasks": _get(
                "Waiting tasks, in the order of their ids",
                _answers(_list(_ref("Task")), "the tasks", "200", "400"),
                _query("workflow", "only of this workflow"),
                _query("after", "only those after this task id: for paging"),
                _limit(200),
            ),
            "/api/tasks/{taskId}": _get(
                "One task, with the recent events that came nearest to it",
                _answers(_ref("TaskExplanation"), "the task", "200", "400", "404"),
                task_id,
                _limit(20),
            ),
            "/api/rejections": _get(
                "The newest rejected deliveries, or the newest that `only` didn't let in",
                _answers(_list(_ref("Rejection")), "the rejections", "200", "400"),
                _query("webhook", "only of this webhook"),
                _query("filtered", "true: those that `only` didn't let in"),
                _limit(50),
            ),
            **_orkes_paths(),
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "BRIDGE_ADMIN_TOKEN"}},
        },
    }
