"""The definitions in the relay: how they are read, the routes they become, and how changes are reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from config.last_good import LastGood
from config.logs import some_of
from config.settings import Settings
from config.watch import STILL_IN_FORCE, Listener
from config.webhooks import Definitions, DefinitionsError
from platforms.base import Platform
from relay.background import GONE, Background, KeptHiddenPaths
from relay.concurrency import run_in_thread
from relay.receiver import Receiver
from relay.reports import metrics
from relay.route import Route, routes_of
from relay.verify.vendor_keys import KeySource
from store.sql.store import Store


class LoadInThread:
    """Reads definitions on a thread, so that deliveries continue meanwhile."""

    def __init__(self, last_good: LastGood):
        self._last_good = last_good

    def load(self, path: Path) -> Definitions:
        """Raises DefinitionsError."""
        return run_in_thread(self._last_good.load, path)


@dataclass(frozen=True)
class Routing:
    """Turns definitions into routes."""

    settings: Settings
    platforms: Mapping[str, Platform]
    keys: KeySource

    def routes(self, definitions: Definitions) -> Mapping[str, Route]:
        """Last part of the URL → route."""
        return run_in_thread(
            routes_of,
            definitions,
            self.settings.bridge_public_url,
            self.keys,
            self.platforms,
            self.settings.bridge_conductor_payload,
            self.settings.bridge_follow_traces,
        )


class Changes(Listener):
    """Puts changed definitions in force, and reports it."""

    def __init__(
        self,
        routing: Routing,
        receiver: Receiver,
        hidden_paths: KeptHiddenPaths,
        store: Store,
        last_good: LastGood,
        background: Background,
    ):
        self._routing = routing
        self._receiver = receiver
        self._hidden_paths = hidden_paths
        self._store = store
        self._last_good = last_good
        self._background = background

    def changed(self, definitions: Definitions) -> None:
        if self._background.is_running:
            self._background.tell_parent()
        gone = self._receiver.replace(self._routing.routes(definitions), definitions.unavailable)
        self._hidden_paths.replace(definitions)
        if self._background.is_running:
            warn(definitions)
            structlog.get_logger().info("definitions reloaded", webhooks=some_of(definitions.by_name))
            if gone:
                structlog.get_logger().warning(GONE, urls=some_of(f"/webhook/{url_id}" for url_id in gone))

    def broken(self, error: DefinitionsError) -> None:
        if self._background.is_running:
            structlog.get_logger().error(STILL_IN_FORCE, errors=str(error))

    def record(self, error: str | None) -> None:
        if self._background.is_running:  # gunicorn's parent must not use the store
            metrics.set_definitions_ok(error is None)
            self._store.facts.set("definitions_error:relay", error)
            self._store.kept_definitions.keep(run_in_thread(self._last_good.kept))


def warn(definitions: Definitions) -> None:
    """Logs the files' errors and warnings."""
    if definitions.errors:
        structlog.get_logger().error(STILL_IN_FORCE, errors="\n".join(map(str, definitions.errors)))
    for warning in definitions.warnings:
        structlog.get_logger().warning("risky definition", problem=str(warning))
