"""The definitions in the relay: how changes take effect, and are reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from config.last_good import LastGood
from config.logs import some_of
from config.watch import STILL_IN_FORCE, DefinitionsSource, Listener
from config.webhooks import Definitions, DefinitionsError
from relay import metrics
from relay.background import Background
from relay.concurrency import run_in_thread
from relay.receiver import Receiver
from relay.route import Route
from store.processes import RelayStore
from store.reports import Reports

GONE = (
    "webhooks are gone from the definitions; their deliveries are answered 503 for a minute,"
    " then 404"
)
"""Logged when webhooks disappear from the definitions."""


class Changes(Listener):
    """Puts changed definitions in force, and reports it."""

    def __init__(
        self,
        source: DefinitionsSource,
        routes: Callable[[Definitions], Mapping[str, Route]],
        receiver: Receiver,
        store: RelayStore,
        last_good: LastGood,
        background: Background,
    ):
        """`routes`: last part of the URL → route, of definitions."""
        self._source = source
        self._routes = routes
        self._receiver = receiver
        self._store = store
        self._last_good = last_good
        self._background = background

    def changed(self, definitions: Definitions) -> None:
        if self._background.is_running:
            self._background.tell_parent()
        gone = self._receiver.replace(self._routes(definitions), definitions.unavailable)
        if self._background.is_running:
            warn(definitions)
            structlog.get_logger().info(
                "definitions reloaded", webhooks=some_of(definitions.by_name)
            )
            if gone:
                structlog.get_logger().warning(
                    GONE, urls=some_of(f"/webhook/{url_id}" for url_id in gone)
                )

    def broken(self, error: DefinitionsError) -> None:
        if self._background.is_running:
            structlog.get_logger().error(STILL_IN_FORCE, errors=str(error))

    def record(self, error: str | None) -> None:
        if not self._background.is_running:  # gunicorn's parent must not use the store
            return
        metrics.set_definitions_ok(error is None)
        self._store.reports.write(Reports(relay_definitions_error=error or ""))
        self._store.kept_definitions.keep(run_in_thread(self._last_good.kept))
        # Values stay hidden after their definition is removed.
        kept, webhooks = self._store.hidden_paths.all(), self._source.current.webhooks
        if new := {
            webhook.name: webhook.hide
            for webhook in webhooks
            if kept.get(webhook.name) != webhook.hide
        }:
            self._store.hidden_paths.keep(new)


def warn(definitions: Definitions) -> None:
    """Logs the files' errors and warnings."""
    if definitions.errors:
        structlog.get_logger().error(STILL_IN_FORCE, errors="\n".join(map(str, definitions.errors)))
    for warning in definitions.warnings:
        structlog.get_logger().warning("risky definition", problem=str(warning))
