"""The page of all deliveries, and the stream that keeps it up to date."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, request, url_for

from admin.events.filters import check_webhook, names_for
from admin.events.newest import LiveDelivery, newest
from admin.page.context import Source, sessions, source
from admin.page.feed import Feed, TooManyStreams
from admin.page.pages import bridge, render, with_own_scripts
from store.errors import NewerStore, StoreUnavailable

STREAM = "/deliveries/stream"
_LASTS = 60.0
"""Seconds until a stream ends and the page connects again: so a session that is over, or another `hide`, ends it."""
_FIRST = 10.0
"""Seconds within which the store is read once before a stream's snapshot; the page connects again after that."""
_BEAT = 1.0
"""Seconds between two checks whether anyone still listens."""

blueprint = Blueprint("live", __name__)


@blueprint.get("/deliveries")
def deliveries() -> Response:
    here = bridge()
    webhook = request.args.get("webhook") or None
    check_webhook(here, webhook)
    answer = with_own_scripts(
        render(
            "deliveries.html",
            deliveries=newest(here, webhook),
            event_url=_before_id("pages.event", "event_id"),
            rejection_url=_before_id("pages.rejection", "rejection_id"),
            webhook=webhook,
            names=names_for(here, webhook),
        )
    )
    answer.headers["Content-Security-Policy"] += "; connect-src 'self'"
    return answer


@blueprint.get(STREAM)
def stream() -> Response:
    """Server-sent events: `snapshot` (the newest deliveries), `delivery` (new or changed), `trouble` (its reason)."""
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream")
    feed = cast(Feed, current_app.extensions["feed"])
    stack = ExitStack()
    try:
        stack.enter_context(feed.watching(_person(), g.role))
    except TooManyStreams as error:
        answer = Response(f"{error}\n", 429 if error.is_own else 503, mimetype="text/plain")
        answer.headers["Retry-After"] = "10"
        return answer
    last = request.headers.get("Last-Event-ID") or request.args.get("last", "")
    watching = _Stream(feed, source(), request.args.get("webhook") or None, request.environ)
    answer = Response(watching.events(last), mimetype="text/event-stream")
    answer.call_on_close(stack.close)
    answer.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    return answer


def _person() -> str:
    """Whose stream it is: the session's, or else the program's address.

    A session that begins with this request is nobody's yet: each request of another site's page would begin one.
    """
    session_id = None if g.new_cookie else sessions().id_of(g.cookie)
    return session_id or f"{g.who} {request.remote_addr}"


def _before_id(endpoint: str, name: str) -> str:
    """What stands before the id in the URL of such a page."""
    return url_for(endpoint, **{name: "x"}).removesuffix("x")  # type: ignore[arg-type]


class _Stream:
    """One stream. It goes on after the request's context has ended, so it has what it needs."""

    def __init__(self, feed: Feed, source: Source, webhook: str | None, environ: dict[str, Any]):
        self._feed = feed
        self._source = source
        self._webhook = webhook
        self._is_gone = environ.get("waitress.client_disconnected", lambda: False)
        self._template = current_app.jinja_env.get_template("delivery.html")
        self._urls = {
            "event_url": _before_id("pages.event", "event_id"),
            "rejection_url": _before_id("pages.rejection", "rejection_id"),
        }

    def events(self, last: str) -> Iterator[str]:
        """`last`: the id of the last event that was seen."""
        feed, webhook = self._feed, self._webhook
        until = time.monotonic() + _LASTS
        yield "retry: 2000\n\n"
        number = _number_in(last, feed)
        # The changes don't tell what became of older deliveries of one webhook.
        if number is None or webhook is not None:
            if not feed.wait_for_first(_FIRST):  # what came before it, but after the snapshot, would be in neither
                if feed.problem:
                    yield _trouble(feed.problem)
                return
            number = feed.number
            try:
                found = newest(self._source.bridge(), webhook)
            except (StoreUnavailable, NewerStore) as error:
                yield _trouble(str(error))
                return  # the page connects again
            yield self._event("snapshot", number, found[::-1])
        told: str | None = None
        while time.monotonic() < until and not self._is_gone() and not feed.is_stopping:
            changes = feed.since(number)
            if changes is None:
                return  # it can't keep up, and gets a snapshot when it comes again
            number += len(changes)
            if wanted := [one for one in changes if webhook in (None, one.webhook)]:
                yield self._event("delivery", number, wanted)
            if feed.problem != told:
                told = feed.problem
                yield _trouble(told or "")
            if not changes:
                yield ":\n\n"
            feed.wait(number, _BEAT)

    def _event(self, name: str, number: int, found: list[LiveDelivery]) -> str:
        rows = [{"key": one.key, "row": self._template.render(one=one, **self._urls)} for one in found]
        return f"event: {name}\nid: {self._feed.name}-{number}\ndata: {json.dumps(rows)}\n\n"


def _trouble(reason: str) -> str:
    return f"event: trouble\ndata: {json.dumps(reason)}\n\n"


def _number_in(last: str, feed: Feed) -> int | None:
    """The number of changes that were seen; None if the feed can't go on from there."""
    name, _, number = last.partition("-")
    if name != feed.name or not (number.isascii() and number.isdecimal()) or len(number) > 15:
        return None
    return int(number) if feed.since(int(number)) is not None else None
