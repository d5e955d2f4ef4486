"""The page of all deliveries, and the stream that keeps it up to date."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import structlog
from flask import Blueprint, Response, current_app, g, render_template, request, stream_with_context

from admin.events.filters import check_webhook, names_for
from admin.events.follow import LiveDelivery, newest
from admin.page.context import Source, sessions
from admin.page.pages import bridge, render, with_own_scripts
from store.errors import NewerStore, StoreUnavailable

STREAM = "/deliveries/stream"
EVERY = 1.0
"""Seconds between two reads of the store."""
STREAMS = 32
"""Streams of one process, each of which holds a thread."""
STREAMS_OF_ONE = 4
"""Streams of one person: a browser keeps at most six connections to a server, and the page itself needs some."""
STREAMS_OF_TOKEN = 24
"""Streams of all who have the same token, however often they log in: the others' holders have room then."""
_LASTS = 60.0
"""Seconds until a stream ends and the page connects again: so a session that is over, or another `hide`, ends it."""

blueprint = Blueprint("live", __name__)


class TooManyStreams(Exception):
    """The text says whose."""

    def __init__(self, message: str, is_own: bool):
        super().__init__(message)
        self.is_own = is_own
        """Whether they are all of the same person."""


class Feed:
    """What all streams of the process share: how many there may be, and one read of the store a second. Thread-safe."""

    def __init__(self, source: Source):
        self.stopping = threading.Event()
        """Set when the process is about to end: all streams end, and none begins."""
        self._source = source
        self._counting, self._reading = threading.Lock(), threading.Lock()
        self._streams: Counter[tuple[str, str]] = Counter()
        self._read: dict[str | None, tuple[float, list[LiveDelivery]]] = {}

    @contextmanager
    def watching(self, person: str, role: str = "admin") -> Iterator[None]:
        """Counts one more stream of this person, whose token has this role. Raises TooManyStreams."""
        with self._counting:
            if self._streams[role, person] >= STREAMS_OF_ONE:
                raise TooManyStreams(f"{STREAMS_OF_ONE} pages of yours are live already; close one", True)
            of_token = sum(number for (one, _), number in self._streams.items() if one == role)
            if of_token >= STREAMS_OF_TOKEN or self._streams.total() >= STREAMS or self.stopping.is_set():
                raise TooManyStreams("too many pages are live; reload the page instead", False)
            self._streams[role, person] += 1
        try:
            yield
        finally:
            with self._counting:
                self._streams[role, person] -= 1
                self._streams += Counter()  # forgets those with none left

    def newest(self, webhook: str | None) -> list[LiveDelivery]:
        """The newest deliveries, newest first, as they were less than a second ago. Raises what the store raises."""
        with self._reading:
            now = time.monotonic()
            self._read = {name: read for name, read in self._read.items() if now - read[0] < EVERY}
            if webhook not in self._read:
                self._read[webhook] = now, newest(self._source.bridge(), webhook)
            return self._read[webhook][1]


@blueprint.get("/deliveries")
def deliveries() -> Response:
    here = bridge()
    webhook = request.args.get("webhook") or None
    check_webhook(here, webhook)
    answer = with_own_scripts(
        render(
            "deliveries.html",
            deliveries=newest(here, webhook),
            webhook=webhook,
            names=names_for(here, webhook),
        )
    )
    answer.headers["Content-Security-Policy"] += "; connect-src 'self'"
    return answer


@blueprint.get(STREAM)
def stream() -> Response:
    """Server-sent events: `deliveries` (the newest, then what is new or changed), `trouble` (its reason)."""
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream")
    webhook = request.args.get("webhook") or None
    feed = cast(Feed, current_app.extensions["feed"])
    stack = ExitStack()
    try:
        stack.enter_context(feed.watching(_person(), g.role))
    except TooManyStreams as error:
        answer = Response(f"{error}\n", 429 if error.is_own else 503, mimetype="text/plain")
        answer.headers["Retry-After"] = "10"
        return answer
    answer = Response(stream_with_context(_events(feed, webhook)), mimetype="text/event-stream")
    answer.call_on_close(stack.close)
    answer.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    return answer


def _person() -> str:
    """Whose stream it is: the session's, or else the address's."""
    return sessions().id_of(g.cookie) or f"{g.who} {request.remote_addr}"


def _events(feed: Feed, webhook: str | None) -> Iterator[str]:
    is_gone = request.environ.get("waitress.client_disconnected", lambda: False)
    known: dict[str, LiveDelivery] = {}
    trouble = ""
    until = time.monotonic() + _LASTS
    yield "retry: 2000\n\n"
    while True:
        told, trouble = trouble, ""
        try:
            found = feed.newest(webhook)
        except (StoreUnavailable, NewerStore) as error:
            trouble = str(error)
        except Exception:  # the next second is another chance
            structlog.get_logger().exception("the newest deliveries can't be read")
            trouble = "see the log"
        else:
            news = [one for one in reversed(found) if known.get(one.key) != one]
            known = {one.key: one for one in found}
            rows = [{"key": one.key, "row": render_template("delivery.html", one=one)} for one in news]
            yield f"event: deliveries\ndata: {json.dumps(rows)}\n\n" if rows else ":\n\n"
        if trouble != told:
            yield f"event: trouble\ndata: {json.dumps(trouble)}\n\n"
        if time.monotonic() >= until or is_gone() or feed.stopping.wait(EVERY):
            return
