"""Bridges on several hosts that share one PostgreSQL."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from tests.support.bridge import Bridge
from tools.servers.client import Answer


class Fleet:
    """Bridges that share definitions and database, each a host of its own with a worker, and with a
    relay or none."""

    def __init__(
        self,
        folder: Path,
        conductor_url: str,
        definitions: str,
        *databases: str,
        relays: int | None = None,
    ) -> None:
        """A host for each URL of the database. The first `relays` hosts have a relay; all of them
        by default."""
        settings = {"bridge_call_timeout": "5s", "bridge_discovery_interval": "3s"}
        self.hosts = [
            Bridge(
                folder / f"host{number}",
                conductor_url,
                definitions,
                bridge_database=database,
                **settings,
            )
            for number, database in enumerate(databases)
        ]
        self.relays = self.hosts[:relays]
        self._turns = itertools.cycle(self.relays)

    def start(self) -> Fleet:
        """Starts all relays and workers."""
        for host in self.hosts:
            if host in self.relays:
                host.start_relay()
            host.start_worker()
        return self

    def stop(self) -> None:
        """Stops what runs."""
        for host in self.hosts:
            host.stop()

    def github(self, webhook: str, payload: Any, **how: Any) -> Answer:
        """A delivery to one of the relays, as a load balancer deals them out."""
        return next(self._turns).github(webhook, payload, **how)
