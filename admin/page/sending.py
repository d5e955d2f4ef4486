"""Writes a delivery by hand, sends it signed as the platform would, and saves it by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from admin.bridge import Bridge
from admin.errors import NotFound
from admin.events import deliveries
from admin.events.deliveries import LARGEST, CantKeep
from admin.events.event_or_sample import find_sample
from admin.events.send import NotReachable
from admin.page.context import check_admin
from admin.page.pages import bridge, render
from admin.page.webhooks import deliver
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.guide import samples
from platforms.verifiers import CannotSign
from store.delivery_records import RawDelivery
from store.hiding import BLANK

blueprint = Blueprint("sending", __name__)


@blueprint.get("/webhooks/<name>/send")
def write(name: str) -> Response:
    """The form: an event, a sample, a rejected or a saved delivery to begin with."""
    check_admin("send something")
    here = bridge()
    webhook = here.webhook(name)
    try:
        return _page(here, webhook, _to_begin_with(here, webhook))
    except CantKeep as error:
        abort(409, f"the delivery can't be edited: {error}")


def _to_begin_with(here: Bridge, webhook: Webhook) -> RawDelivery:
    """What the address names, or else the platform's first sample. Raises NotFound, CantKeep."""
    asked, name = request.args, webhook.name
    if saved := asked.get("saved"):
        return deliveries.saved(here, webhook, saved)
    if event_id := asked.get("event"):
        event = here.event(event_id)
        if event.webhook != name:
            raise NotFound(f"no event {event_id} of {name}")
        if event.unreadable is not None:
            abort(409, f"the event can't be read: {event.unreadable}")
        return deliveries.of_event(here.shown(event))
    if kept_id := asked.get("rejected"):
        kept = here.store.raw_deliveries.rejected(kept_id)
        if kept is None or kept.webhook != name or kept.event_id is not None:
            raise NotFound(f"no rejected delivery {kept_id} of {name}")
        return deliveries.of_refused(webhook, kept, here.hide(name))
    wanted = asked.get("sample") or next(iter(samples(webhook.platform)), None)
    if wanted is None:
        return deliveries.written(name, "POST", "", {}, "")
    return deliveries.of_sample(webhook, find_sample(webhook, wanted))


@blueprint.post("/webhooks/<name>/send")
def act(name: str) -> Response:
    """Sends, saves or deletes what the form has."""
    here = bridge()
    webhook = here.webhook(name)
    do = request.form.get("do", "")
    if do == "delete":
        return _delete(here, webhook)
    try:
        written = _written(name)
    except ValueError as error:
        return _page(
            here,
            webhook,
            _written(name, {}),
            422,
            problem=f"{error} is not a header: write Name: value",
        )
    if do == "save":
        return _save(here, webhook, written)
    return _send(here, webhook, written)


def _written(name: str, headers: Mapping[str, str] | None = None) -> RawDelivery:
    """What the form has. Raises ValueError for a line that is no header."""
    form = request.form
    method = form.get("method", "POST")
    if not (method.isascii() and method.isalpha() and len(method) <= 10):
        abort(400, "no such method")
    found = deliveries.headers_of(form.get("headers", "")) if headers is None else dict(headers)
    body = form.get("body", "").replace("\r\n", "\n")
    save_as, query = form.get("save_as", "").strip(), form.get("query", "").lstrip("?")
    return deliveries.written(name, method, query, found, body, save_as)


def _send(here: Bridge, webhook: Webhook, written: RawDelivery) -> Response:
    if request.form.get("renew"):
        written = deliveries.renewed(written, webhook)
    sent = deliveries.with_content_type(written)
    try:
        answer = deliver(webhook, deliveries.unsigned(sent, webhook))
    except CannotSign as error:
        return _page(here, webhook, written, problem=str(error))
    except NotReachable as error:
        return _page(
            here, webhook, written, problem=f"{error}; set BRIDGE_RELAY_URL to where the relay is"
        )
    here.record("sent a delivery to", webhook.name, answer.phrase)
    return _page(here, webhook, written, answer=answer)


def _save(here: Bridge, webhook: Webhook, written: RawDelivery) -> Response:
    name = written.name
    if not name or len(name) > deliveries.LONGEST_NAME or not name.isprintable():
        return _page(
            here,
            webhook,
            written,
            422,
            problem=f"give a name of 1 to {deliveries.LONGEST_NAME} characters",
        )
    if len(written.text) > LARGEST:
        return _page(
            here,
            webhook,
            written,
            422,
            problem=f"a body of more than {LARGEST} characters isn't saved",
        )
    try:
        saved = deliveries.presentable(written, webhook, here.hide(webhook.name))
    except CantKeep as error:
        return _page(here, webhook, written, 422, problem=f"it isn't saved: {error}")
    if not here.store.raw_deliveries.save(replace(saved, at=here.store.now()), deliveries.MOST):
        return _page(
            here,
            webhook,
            written,
            409,
            problem=f"{deliveries.MOST} are saved already: delete one first",
        )
    here.record("saved a delivery to", webhook.name, name)
    left_out = sorted(written.headers.keys() - saved.headers.keys())
    command = f"webhook-bridge send {webhook.name} --saved {shlex.quote(name)}"
    return _page(here, webhook, saved, saved_as=name, left_out=left_out, command=command)


def _delete(here: Bridge, webhook: Webhook) -> Response:
    name = request.form.get("saved", "")
    if here.store.raw_deliveries.delete_saved(webhook.name, name):
        here.record("deleted a saved delivery to", webhook.name, name)
    return make_response(redirect(url_for(".write", name=webhook.name), 303))


def _page(
    here: Bridge, webhook: Webhook, written: RawDelivery, status: int = 200, **more: Any
) -> Response:
    values: dict[str, Any] = {"problem": None, "answer": None, "saved_as": None, "left_out": []}
    headers = request.form.get("headers") if status == 422 else None
    text = render(
        "send.html",
        webhook=webhook,
        title="the sender" if webhook.platform == "custom" else PLATFORMS[webhook.platform].title,
        written=written,
        headers=deliveries.lines_of(written.headers) if headers is None else headers,
        methods=dict.fromkeys([written.method, *sorted(PLATFORMS[webhook.platform].methods)]),
        too_large=len(written.text) > LARGEST,
        largest=LARGEST,
        longest_name=deliveries.LONGEST_NAME,
        ids=list(deliveries.identifying(written, webhook)),
        is_blank=BLANK in written.text
        or BLANK in written.query
        or BLANK in written.headers.values(),
        saved=here.store.raw_deliveries.saved(webhook.name),
        samples=list(samples(webhook.platform)),
        **values | more,
    )
    return make_response(text, status)
