"""How one process learns about another's commits at once: LISTEN and NOTIFY, or polling behind a
pooler.

NOTIFY in a transaction serializes commits across the whole server. So it is sent after the commit
by a separate thread, at most a hundred times a second.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

import psycopg
import structlog

from store.errors import StoreUnavailable
from store.postgres.connections import Connection, Connections
from store.sql.database import Listener, Signals, Topic

_GAP = 0.01
"""Seconds between two notifications of the same topic."""
_LOOK_EVERY = 0.1
"""Seconds between polls behind a pooler."""
_RECONNECT_EVERY = 1.0
_SECONDS = 2.0
"""Seconds for a notification, a poll, or connecting. That is enough, since every process polls at
intervals too."""
_NOTIFY = "SELECT pg_notify(channel, '') FROM unnest(%s::text[]) AS channel"
_NEWEST = "SELECT (SELECT max(seq) FROM bridge.events), (SELECT max(id) FROM bridge.targets)"
_NEWEST_ANSWER = "SELECT max(answered_at) FROM bridge.answers WHERE answered_at IS NOT NULL"

log = structlog.get_logger()


def channel(connections: Connections, topic: Topic) -> str:
    """The channel for this topic; the whole database shares channels."""
    return f"{connections.address.schema}_{topic}"


class PostgresSignals(Signals):
    """Signals on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._wanted: set[Topic] = set()
        self._rung = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def notify(self, topic: Topic) -> None:
        with self._lock:
            self._wanted.add(topic)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
        self._rung.set()

    def listener(self, topic: Topic) -> Listener:
        return PostgresListener(self._connections, topic)

    def _run(self) -> None:
        rung = self._rung
        while True:
            rung.wait()
            rung.clear()
            with self._lock:
                wanted, self._wanted = self._wanted, set()
            try:
                self._notify(sorted(wanted))
            except (StoreUnavailable, psycopg.Error):
                pass  # who listens looks at intervals too
            except Exception:  # without this thread nobody would be notified any more
                log.exception("a notification failed unexpectedly")
            time.sleep(_GAP)

    def _notify(self, wanted: list[Topic]) -> None:
        channels = [channel(self._connections, topic) for topic in wanted]
        self._connections.read(_NOTIFY, (channels,), _SECONDS)


class PostgresListener(Listener):
    """Listens on a connection of its own or, behind a pooler, polls."""

    def __init__(self, connections: Connections, topic: Topic):
        super().__init__()
        self._connections = connections
        self._channel = channel(connections, topic)
        self._newest = _NEWEST_ANSWER if topic == "answers" else _NEWEST
        self._heard: Connection | None = None
        self._is_pooled = False
        self._connected_at = float("-inf")
        self._seen: object = None
        self._listen()

    def close(self) -> None:
        super().close()
        self._hang_up()

    def _hear(self) -> None:
        assert self._heard is not None
        connection = self._heard.pgconn
        with suppress(psycopg.Error):
            connection.consume_input()
            while connection.notifies() is not None:
                pass
        if self._heard.broken:
            log.warning("no notifications from PostgreSQL; connecting again")
            self._hang_up()

    def _has_changed(self) -> bool:
        if self._is_pooled:
            before = self._seen
            with suppress(StoreUnavailable):
                self._seen = self._connections.read(self._newest, (), _SECONDS)
            return self._seen != before
        if self._heard is None and time.monotonic() >= self._connected_at + _RECONNECT_EVERY:
            self._listen()
            return self._heard is not None  # notifications may have been missed meanwhile
        return False

    def _listen(self) -> None:
        self._connected_at = time.monotonic()
        self._look_every = _RECONNECT_EVERY
        connection = None
        try:
            connection = self._connections.connect()
            self._is_pooled = connection.is_pooled
            if self._is_pooled:
                # Its session may belong to another client after each statement.
                log.info(
                    "there is a pooler in front of PostgreSQL: polling for changes",
                    seconds=_LOOK_EVERY,
                )
                self._look_every = _LOOK_EVERY
                connection.close()
                return
            connection.deadline = time.monotonic() + _SECONDS
            connection.execute(f"LISTEN {self._channel}")
            connection.deadline = self._look_every = float("inf")
            self._heard = connection
        except (psycopg.Error, StoreUnavailable) as error:
            log.warning(
                "can't listen for PostgreSQL's notifications; polling for changes",
                error=str(error).strip(),
            )
            if connection is not None:
                connection.close()

    def _hang_up(self) -> None:
        connection, self._heard, self._look_every = self._heard, None, _RECONNECT_EVERY
        if connection is not None:
            connection.close()
