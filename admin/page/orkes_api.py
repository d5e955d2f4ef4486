"""Orkes' API for webhooks, so that its clients, such as Conductor's command line and SDKs, work
unchanged.

Success is always 200. https://orkes.io/content/category/reference-docs/api/webhooks
"""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from pydantic import ConfigDict, RootModel, ValidationError

from admin import operations
from admin.api.openapi import Decorator, answers
from admin.api_object import ApiObject
from admin.definitions.writer import SECRETS, Written
from admin.errors import NotFound
from admin.orkes.webhooks import HIDDEN, from_orkes, proof_of, to_orkes
from admin.page.context import role_of_token, sessions
from admin.page.pages import bridge
from admin.page.webhooks import folder
from config.references import environment_with_dotenv
from config.webhooks import Webhook

blueprint = Blueprint("orkes", __name__, url_prefix="/api")


class Credentials(ApiObject):
    """One of the bridge's tokens, as Orkes' clients send it; `keyId` is any name."""

    key_id: str
    key_secret: str


class Token(ApiObject):
    """What goes into X-Authorization."""

    token: str


class Tag(ApiObject):
    """A tag of a webhook."""

    key: str
    value: str
    type: str | None = None


class Tags(RootModel[list[Tag]]):
    """Tags of a webhook."""


class OrkesWebhook(ApiObject):
    """A webhook as Orkes' API knows it; secrets are ***, and *** keeps them."""

    model_config = ConfigDict(extra="allow")


def orkes(answer: Any, **more: Any) -> Decorator:
    """Describes a route; what clients send is read with care below, whatever else is in it."""
    return answers(answer, 404, skip_validation=True, **more)


_WORDS = ("sourcePlatform", "verifier", "headerKey", "secretKey", "createdBy")
"""Fields that are returned to a client as it sent them."""
_OWN_SETTINGS = ("BRIDGE_", "CONDUCTOR_", "PG", "ADMIN_", "OTEL_")
_LONGEST_WORDS = 20_000
"""Characters stored about one webhook."""


@blueprint.post("/token")
@orkes(Token, json=Credentials)
def token() -> Response:
    """A token for `X-Authorization`: keySecret is BRIDGE_ADMIN_TOKEN or BRIDGE_VIEWER_TOKEN, keyId
    any name."""
    given = _body()
    secret = given.get("keySecret")
    role = role_of_token(secret if isinstance(secret, str) else None)
    if role is None and not sessions().has_tokens:
        role = "admin"
    if role is None:
        abort(401, "keySecret is not one of the bridge's tokens")
    return jsonify({"token": sessions().new(role)})


@blueprint.get("/metadata/webhook")
@orkes(list[OrkesWebhook])
def get_all() -> Response:
    """Orkes: all webhooks"""
    here = bridge()
    verified, words = here.verified_at(), here.store.orkes_clients.all("orkes")
    return jsonify(
        [
            _shown(one, verified[name] is not None, words.get(name))
            for name, one in here.definitions.by_name.items()
        ]
    )


@blueprint.post("/metadata/webhook")
@orkes(OrkesWebhook, json=OrkesWebhook)
def create() -> Response:
    """Orkes: create a webhook"""
    folder()  # first, so that clients that may not write don't learn which secrets exist
    body, defined = _body(), bridge().definitions.by_name
    tags = _tags_in(body["tags"]) if body.get("tags") else []
    keys = from_orkes(
        body, _refer, None, frozenset({*defined, *(one.url_id for one in defined.values())})
    )
    folder().create(keys)
    operations.record_webhook(bridge(), "created", keys["name"], "through Orkes' API")
    _remember(keys["name"], body)
    if tags:
        _set_tags(keys["name"], tags)
    return _one(keys["name"])


@blueprint.get("/metadata/webhook/<webhook_id>")
@orkes(OrkesWebhook)
def get(webhook_id: str) -> Response:
    """Orkes: one webhook"""
    return _one(_webhook(webhook_id).name)


@blueprint.put("/metadata/webhook/<webhook_id>")
@orkes(OrkesWebhook, json=OrkesWebhook)
def update(webhook_id: str) -> Response:
    """Orkes: change a webhook"""
    webhook = _webhook(webhook_id)
    written = _written(webhook)
    body = _body()
    keys = from_orkes(body, _refer, (webhook, written.keys))
    folder().update(webhook.name, keys, written.version)
    bridge().record("edited", webhook.name, "through Orkes' API")
    _remember(webhook.name, body)
    return _one(webhook.name)


@blueprint.delete("/metadata/webhook/<webhook_id>")
@orkes(None)
def delete(webhook_id: str) -> Response:
    """Orkes: delete a webhook"""
    webhook = _webhook(webhook_id)
    folder().delete(webhook.name, _written(webhook).version)
    operations.record_webhook(bridge(), "deleted", webhook.name, "through Orkes' API")
    return Response(status=200)


@blueprint.get("/metadata/webhook/<webhook_id>/tags")
@orkes(list[Tag])
def get_tags(webhook_id: str) -> Response:
    """Orkes: a webhook's tags"""
    return jsonify(_tags(_webhook(webhook_id).name))


@blueprint.put("/metadata/webhook/<webhook_id>/tags")
@orkes(None, json=Tags)
def put_tags(webhook_id: str) -> Response:
    """Orkes: add or replace tags"""
    name = _webhook(webhook_id).name
    given = _tags_in(request.get_json())
    keys = {tag["key"] for tag in given}
    _set_tags(name, [tag for tag in _tags(name) if tag["key"] not in keys] + given)
    return Response(status=200)


@blueprint.delete("/metadata/webhook/<webhook_id>/tags")
@orkes(None, json=Tags)
def delete_tags(webhook_id: str) -> Response:
    """Orkes: delete tags"""
    name = _webhook(webhook_id).name
    given = [(tag["key"], tag["value"]) for tag in _tags_in(request.get_json())]
    _set_tags(name, [tag for tag in _tags(name) if (tag["key"], tag["value"]) not in given])
    return Response(status=200)


# --- what a client sent, and gets back ---


def _refer(name: str) -> str | None:
    """``${NAME}`` for a variable, ``${file:secrets/NAME}`` for a file beside the definitions; None
    if there is neither.

    The bridge's own settings aren't webhooks' secrets: otherwise anyone who writes definitions
    could find them out by trying.
    """
    if name.startswith(_OWN_SETTINGS):
        return None
    if environment_with_dotenv().get(name, "").strip():
        return f"${{{name}}}"
    return f"${{file:{SECRETS}/{name}}}" if (folder().folder / SECRETS / name).is_file() else None


def _remember(name: str, body: dict[str, Any]) -> None:
    """Keeps a client's own terms for as long as they fit the definition."""
    webhook = bridge().definitions.by_name.get(name)
    if webhook is None:
        return
    words = {
        field: body[field] for field in _WORDS if isinstance(body.get(field), str) and body[field]
    }
    proof = proof_of(webhook)
    if not _is_header(
        words.get("secretKey", "X-Any"), words.get("headerKey"), proof.get("headerKey")
    ):
        words["secretKey"] = HIDDEN
    if isinstance(body.get("headers"), dict):
        words["headers"] = dict.fromkeys(map(str, body["headers"]), HIDDEN)
    kept = {"words": words, "for": proof}
    text = json.dumps(kept)
    if len(text) > _LONGEST_WORDS:
        text = ""
    bridge().store.orkes_clients.set("orkes", name, text)


def _is_header(text: str, *headers: str | None) -> bool:
    """Whether a client's secretKey is the name of a header, as Orkes means it. Going by the field's
    name, it could also be the secret."""
    return (
        text in headers
        or re.fullmatch(r"[Xx](-[A-Za-z]{1,20}){1,6}(-[0-9]{1,3})?", text) is not None
    )


def _shown(webhook: Webhook, verified: bool, words: str | None) -> dict[str, Any]:
    """The webhook in the terms of the client that sent it through this API, or in Orkes' own."""
    found = to_orkes(webhook, verified)
    kept = json.loads(words or "{}")
    if kept.get("for") == proof_of(webhook):  # otherwise it has since been changed in another way
        found |= kept["words"]
    return found


# --- what they share ---


def _body() -> dict[str, Any]:
    body = request.get_json()
    # The documentation calls it an array but shows an object.
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        abort(400, "send a JSON object")
    return body


def _webhook(webhook_id: str) -> Webhook:
    for webhook in bridge().definitions.webhooks:
        if webhook.url_id == webhook_id:
            return webhook
    raise NotFound(f"no webhook with id {webhook_id}")


def _written(webhook: Webhook) -> Written:
    found = folder().find(webhook.name)
    if found is None:
        raise NotFound(f"the webhook {webhook.name} is in no file that can be changed here")
    return found


def _one(name: str) -> Response:
    here = bridge()
    words = here.store.orkes_clients.all("orkes")
    found = _shown(here.webhook(name), here.verified_at()[name] is not None, words.get(name))
    created = [
        change.who for change in here.store.changes.newest(name, 1000) if change.what == "created"
    ]
    if created:
        found.setdefault("createdBy", created[0])
    if tags := _tags(name):
        found["tags"] = tags
    return jsonify(found)


def _tags(name: str) -> list[dict[str, str]]:
    tags = bridge().store.orkes_clients.all("tags")
    found: list[dict[str, str]] = json.loads(tags.get(name, "[]"))
    return found


def _set_tags(name: str, tags: list[dict[str, str]]) -> None:
    folder()  # tags belong to the definition, so they need the same permission
    bridge().store.orkes_clients.set("tags", name, json.dumps(tags) if tags else "")
    bridge().record(
        "tagged", name, ", ".join(f"{tag['key']}: {tag['value']}" for tag in tags)[:200]
    )


def _tags_in(value: Any) -> list[dict[str, str]]:
    try:
        tags = Tags.model_validate(value if isinstance(value, list) else [value])
    except ValidationError:
        abort(400, 'send a list of {"key": TEXT, "value": TEXT}')
    found: list[dict[str, str]] = tags.model_dump(exclude_none=True)
    return found
