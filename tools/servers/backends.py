"""Conductor on every backend that production uses, all started, killed and stopped in the same way.

`TEST_CONDUCTOR` chooses: `sqlite` (one server, no other service), `postgres`, `cluster` (two
servers on one PostgreSQL behind a plain TCP proxy) or `redis-es` (Redis and Elasticsearch 7).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tools.servers.conductor import ConductorServer, Say, say
from tools.servers.postgres import Postgres
from tools.servers.processes import Failed
from tools.servers.proxy import Proxy
from tools.servers.redis_es import ConductorOnRedis


class Conductors(Protocol):
    """One Conductor from its callers' point of view, with one server or several."""

    @property
    def url(self) -> str:
        """The base of its API."""

    @property
    def port(self) -> int:
        """Where it listens on the loopback interface."""

    def start(self, timeout: float = 300.0) -> None:
        """Starts whatever isn't running; returns once everything is healthy. Raises Failed with the
        reason otherwise."""

    def stop(self) -> None:
        """Stops everything, by force if necessary."""

    def kill(self) -> None:
        """Kills one server at once, like `kill -9`; of several, each in turn."""


class ConductorOnPostgres:
    """A server with everything in PostgreSQL, upstream's recommendation; several may share one."""

    def __init__(self, folder: Path, say: Say = say, servers: int = 1) -> None:
        """Nothing runs before `start`. Raises Failed if something required is missing."""
        self.postgres = Postgres()
        self.servers: list[ConductorServer] = []
        self._folder = folder
        self._say = say
        self._count = servers
        self._turn = 0
        self._proxy: Proxy | None = None

    @property
    def port(self) -> int:
        """The only server's port, or the port of the proxy in front of several."""
        return self._proxy.port if self._proxy else self.servers[0].port

    @property
    def url(self) -> str:
        """The base of its API."""
        return f"http://localhost:{self.port}/api"

    def start(self, timeout: float = 300.0) -> None:
        """Starts whatever isn't running."""
        if not self.servers:
            properties = _postgres_properties(self.postgres.start().new_database("conductor"))
            self.servers = [
                ConductorServer(
                    self._folder / f"server{number}", say=self._say, properties=properties
                )
                for number in range(self._count)
            ]
            if self._count > 1:
                self._proxy = Proxy(*(server.port for server in self.servers))
        for server in self.servers:  # one after the other: the first creates the tables
            if server.child is None:
                server.start(timeout)
        if self._proxy and not self._proxy.is_open:
            self._proxy.open()

    def stop(self) -> None:
        """Ends servers and PostgreSQL."""
        if self._proxy:
            self._proxy.close()
        for server in self.servers:
            server.stop()
        self.postgres.stop()

    def kill(self) -> None:
        """Kills the next server; PostgreSQL keeps running."""
        self.servers[self._turn % self._count].kill()
        self._turn += 1


def _postgres_properties(url: str) -> list[str]:
    parts = urlsplit(url)
    kinds = ("db", "queue", "indexing", "external-payload-storage", "workflow-execution-lock")
    return [
        *(f"--conductor.{kind}.type=postgres" for kind in kinds),
        "--conductor.elasticsearch.version=0",
        f"--spring.datasource.url=jdbc:postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}",
        f"--spring.datasource.username={parts.username or ''}",
        f"--spring.datasource.password={parts.password or ''}",
    ]


KINDS: dict[str, Callable[[Path, Say], Conductors]] = {
    "sqlite": lambda folder, say: ConductorServer(folder, say=say),
    "postgres": lambda folder, say: ConductorOnPostgres(folder, say),
    "cluster": lambda folder, say: ConductorOnPostgres(folder, say, servers=2),
    "redis-es": lambda folder, say: ConductorOnRedis(folder, say),
}


def chosen_kind() -> str:
    """What TEST_CONDUCTOR chooses. Raises Failed if there is no such kind."""
    kind = os.environ.get("TEST_CONDUCTOR") or "sqlite"
    if kind not in KINDS:
        raise Failed(f"TEST_CONDUCTOR={kind}: there are {', '.join(KINDS)}")
    return kind


def new_conductor(folder: Path, say: Say = say, kind: str | None = None) -> Conductors:
    """A Conductor of that kind, by default the chosen one. Nothing runs before `start`."""
    return KINDS[kind or chosen_kind()](folder, say)
