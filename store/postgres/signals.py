"""How one process learns about another's commits at once: LISTEN and NOTIFY, or polling behind a pooler.

NOTIFY in a transaction serializes commits across the whole server. So it is sent after the commit by a separate thread,
at most a hundred times a second.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress

import psycopg
import structlog

from config.process import WakeUp
from store.errors import StoreUnavailable
from store.postgres.connections import Connection, Connections
from store.sql.database import Signals, Topic

_GAP = 0.01
"""Seconds between two notifications of the same topic."""
_LOOK_EVERY = 0.1
"""Seconds between polls behind a pooler."""
_RECONNECT_EVERY = 1.0
_SECONDS = 2.0
"""Seconds for a notification, a poll, or connecting. That is enough, since every process polls at intervals too."""
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
        self._starting = threading.Lock()

    def notify(self, topic: Topic) -> None:
        while True:
            wanted = self._wanted
            wanted.add(topic)
            if self._wanted is wanted:
                break  # otherwise the thread took it meanwhile, perhaps without this
        self._rung.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                    self._thread.start()

    def listener(self, topic: Topic) -> Listener:
        return Listener(self._connections, topic)

    def _run(self) -> None:
        rung = self._rung
        while True:
            rung.wait()
            rung.clear()
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


class Listener:
    """A listener on one connection."""

    def __init__(self, connections: Connections, topic: Topic):
        self._connections = connections
        self._channel = channel(connections, topic)
        self._newest = _NEWEST_ANSWER if topic == "answers" else _NEWEST
        self._woken = WakeUp()
        self._connection: Connection | None = None
        self._is_pooled = False
        self._connected_at = float("-inf")
        self._seen: object = None
        self._listen()

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        if self._connection is None and not self._is_pooled:
            if time.monotonic() >= self._connected_at + _RECONNECT_EVERY:
                self._listen()
                if self._connection is not None:
                    return True  # notifications may have been missed meanwhile
            return self._select(min(_RECONNECT_EVERY, seconds))
        if self._is_pooled:
            return self._look_until(end)
        return self._select(seconds)

    def wake(self) -> None:
        self._woken.ring()

    def close(self) -> None:
        self._woken.close()
        self._hang_up()

    def _select(self, seconds: float) -> bool:
        """Waits for a wake-up or a notification; returns whether one came."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._connection is not None:
            poll.register(self._connection.fileno(), select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._woken.fileno() in ready:
            self._woken.clear()
        if self._connection is not None and self._connection.fileno() in ready:
            self._hear()
        return bool(ready)

    def _hear(self) -> None:
        assert self._connection is not None
        connection = self._connection.pgconn
        try:
            connection.consume_input()
            while connection.notifies() is not None:
                pass
        except psycopg.Error:
            pass
        if self._connection.broken:
            log.warning("no notifications from PostgreSQL; connecting again")
            self._hang_up()

    def _listen(self) -> None:
        self._connected_at = time.monotonic()
        connection = None
        try:
            connection = self._connections.connect()
            self._is_pooled = connection.is_pooled
            if self._is_pooled:
                # Its session may belong to another client after each statement.
                log.info("there is a pooler in front of PostgreSQL: polling for changes", seconds=_LOOK_EVERY)
                connection.close()
                return
            connection.deadline = time.monotonic() + _SECONDS
            connection.execute(f"LISTEN {self._channel}")
            connection.deadline = float("inf")
            self._connection = connection
        except (psycopg.Error, StoreUnavailable) as error:
            log.warning("can't listen for PostgreSQL's notifications; polling for changes", error=str(error).strip())
            if connection is not None:
                connection.close()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _look_until(self, end: float) -> bool:
        while True:
            before = self._seen
            with suppress(StoreUnavailable):
                self._seen = self._connections.read(self._newest, (), _SECONDS)
            left = end - time.monotonic()
            if self._seen != before or self._select(min(_LOOK_EVERY, left)):
                return True
            if left <= 0:
                return False
