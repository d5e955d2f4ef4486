"""The API of Orkes for webhooks, for its clients: the command line of Conductor OSS and the SDKs work unchanged.

Success is always 200. https://orkes.io/content/category/reference-docs/api/webhooks
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, abort, current_app, jsonify, request

from admin.bridge import Bridge, NotFound
from admin.definitions.writer import Invalid, NameTaken, Written
from admin.orkes.webhooks import NotAWebhook, from_orkes, to_orkes
from admin.page.context import changed, role_of_token, sessions
from admin.page.pages import bridge
from admin.page.webhooks import folder
from config.webhooks import Webhook
from platforms.bodies import BadBody, read_json
from store.records import EventFilter

blueprint = Blueprint("orkes", __name__, url_prefix="/api")

_HISTORY = 10
_LONGEST_PAYLOAD = 100_000
"""Characters of a payload in the history; /api/events has the whole."""


@blueprint.post("/token")
def token() -> Response:
    """A token for `X-Authorization`: keySecret is BRIDGE_ADMIN_TOKEN or BRIDGE_VIEWER_TOKEN, keyId any name."""
    given = _body()
    secret = given.get("keySecret")
    role = role_of_token(secret if isinstance(secret, str) else None)
    if role is None and not current_app.extensions["has_token"]:
        role = "admin"
    if role is None:
        abort(401, "keySecret is none of the bridge's tokens")
    return jsonify({"token": sessions().new(role)})


@blueprint.get("/metadata/webhook")
def get_all() -> Response:
    here = bridge()
    verified = here.verified_at()
    return jsonify([to_orkes(one, verified[name] is not None) for name, one in here.definitions.webhooks.items()])


@blueprint.post("/metadata/webhook")
def create() -> Response:
    keys = _keys(from_orkes, _body(), None, frozenset(bridge().definitions.webhooks))
    _write(lambda: folder().create(keys))
    changed("created", keys["name"], "by the API of Orkes")
    return _one(keys["name"])


@blueprint.get("/metadata/webhook/<webhook_id>")
def get(webhook_id: str) -> Response:
    return _one(_webhook(webhook_id).name)


@blueprint.put("/metadata/webhook/<webhook_id>")
def update(webhook_id: str) -> Response:
    webhook = _webhook(webhook_id)
    written = _written(webhook)
    keys = _keys(from_orkes, _body(), (webhook, written.keys))
    _write(lambda: folder().update(webhook.name, keys, written.version))
    changed("edited", keys["name"], "by the API of Orkes")
    return _one(keys["name"])


@blueprint.delete("/metadata/webhook/<webhook_id>")
def delete(webhook_id: str) -> Response:
    webhook = _webhook(webhook_id)
    folder().delete(webhook.name, _written(webhook).version)
    bridge().store.set_fact(f"tags:{webhook.name}", None)
    changed("deleted", webhook.name, "by the API of Orkes")
    return Response(status=200)


@blueprint.get("/metadata/webhook/<webhook_id>/tags")
def get_tags(webhook_id: str) -> Response:
    return jsonify(_tags(_webhook(webhook_id).name))


@blueprint.put("/metadata/webhook/<webhook_id>/tags")
def put_tags(webhook_id: str) -> Response:
    name = _webhook(webhook_id).name
    given = _given_tags()
    keys = {tag["key"] for tag in given}
    _set_tags(name, [tag for tag in _tags(name) if tag["key"] not in keys] + given)
    return Response(status=200)


@blueprint.delete("/metadata/webhook/<webhook_id>/tags")
def delete_tags(webhook_id: str) -> Response:
    name = _webhook(webhook_id).name
    given = _given_tags()
    _set_tags(name, [tag for tag in _tags(name) if tag not in given])
    return Response(status=200)


# --- what they share ----------------------------------------------------------------------------------------


def _body() -> dict[str, Any]:
    body = _json()
    if isinstance(body, list) and len(body) == 1:  # the documentation calls it an array, and shows an object
        body = body[0]
    if not isinstance(body, dict):
        abort(400, "send a JSON object")
    return body


def _json() -> Any:
    """The body's value, whatever it is said to be; an error for what is no JSON, or nested too deeply."""
    try:
        return read_json(request.get_data(cache=False).decode())
    except UnicodeDecodeError:
        abort(400, "the body is not UTF-8")
    except BadBody as error:
        abort(400, str(error))


def _keys(make: Any, *arguments: Any) -> dict[str, Any]:
    try:
        keys: dict[str, Any] = make(*arguments)
    except NotAWebhook as error:
        abort(400, str(error))
    return keys


def _write(write: Any) -> None:
    try:
        write()
    except Invalid as error:
        abort(400, "; ".join(f"{problem.where}: {problem.what}; {problem.remedy}" for problem in error.problems))
    except NameTaken as error:
        abort(400, str(error))


def _webhook(webhook_id: str) -> Webhook:
    for webhook in bridge().definitions.webhooks.values():
        if webhook.url_id == webhook_id:
            return webhook
    raise NotFound(f"no webhook with id {webhook_id}")


def _written(webhook: Webhook) -> Written:
    found = folder().find(webhook.name)
    if found is None:
        raise NotFound(f"the webhook {webhook.name} is written in no file that can be changed here")
    return found


def _one(name: str) -> Response:
    here = bridge()
    webhook = here.definitions.webhooks.get(name)
    if webhook is None:
        raise NotFound(f"no webhook {name}")
    found = to_orkes(webhook, here.verified_at()[name] is not None)
    created = [change.who for change in here.store.changes(name, 1000) if change.what == "created"]
    if created:
        found["createdBy"] = created[0]
    history = _history(here, name)
    return jsonify(found | ({"webhookExecutionHistory": history} if history else {}))


def _history(here: Bridge, name: str) -> list[dict[str, Any]]:
    events = here.events(EventFilter(webhook=name, limit=_HISTORY))
    targets = here.targets_by_event(events)
    return [
        {
            "eventId": event.id,
            "matched": bool(targets[event.id]),
            "workflowIds": [target.workflow_id for target in targets[event.id] if target.workflow_id],
            "payload": _payload(here, event.id),
            "timeStamp": event.received_at,
        }
        for event in events
    ]


def _payload(here: Bridge, event_id: str) -> str:
    """The beginning of an event's payload as people may see it; one at a time is in memory."""
    event = here.store.event(event_id)
    return here.shown(event).payload[:_LONGEST_PAYLOAD] if event is not None else ""  # pruned meanwhile


def _tags(name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(bridge().store.facts().get(f"tags:{name}", "[]"))
    return found


def _set_tags(name: str, tags: list[dict[str, str]]) -> None:
    folder()  # tags belong to the definition: who may not write one may not write them
    bridge().store.set_fact(f"tags:{name}", json.dumps(tags) if tags else None)
    changed("tagged", name, ", ".join(f"{tag['key']}: {tag['value']}" for tag in tags)[:200])


def _given_tags() -> list[dict[str, str]]:
    body = _json()
    found: list[dict[str, str]] = []
    for tag in body if isinstance(body, list) else [body]:
        key, value = (tag.get("key"), tag.get("value")) if isinstance(tag, dict) else (None, None)
        if not isinstance(key, str) or not isinstance(value, str):
            abort(400, 'send a list of {"key": TEXT, "value": TEXT}')
        found.append({"key": key, "value": value})
    return found
