"""Redis and a single-node Elasticsearch 7: the backends of a Conductor that is set up for high
throughput."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.servers.conductor import ConductorServer, Say, say
from tools.servers.java import java_version
from tools.servers.processes import Child, Failed, free_port, status_of

_SOURCE = Path(__file__).with_name("elasticsearch")
_JAVA = range(11, 22)
"""Versions of Java that Elasticsearch 7.17 runs on: it still needs the security manager."""


class ConductorOnRedis:
    """A server with its state in Redis and its index in Elasticsearch."""

    def __init__(self, folder: Path, say: Say = say) -> None:
        """Fetches what it needs. Nothing runs before `start`. Raises Failed when something can't be
        had."""
        redis = shutil.which("redis-server")
        if redis is None:
            raise Failed(
                "there is no redis-server: install it (Debian: apt-get install redis-server)"
            )
        self._folder = folder
        self._redis_command, self._redis_port = redis, free_port()
        self._elastic_port, self._node_port = free_port(), free_port()
        self._java = _find_java()
        self._libraries = _find_libraries(folder, say)
        self._services: list[Child] = []
        self.server = ConductorServer(folder / "server", say=say, properties=self._properties())

    @property
    def port(self) -> int:
        """Where Conductor listens on the loopback interface."""
        return self.server.port

    @property
    def url(self) -> str:
        """The base of its API."""
        return self.server.url

    def start(self, timeout: float = 300.0) -> None:
        """Starts what doesn't run."""
        if not self._services:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._services = [self._start_redis(), self._start_elastic(timeout)]
        if self.server.child is None:
            self.server.start(timeout)

    def stop(self) -> None:
        """Ends all three."""
        self.server.stop()
        while self._services:
            self._services.pop().stop()

    def kill(self) -> None:
        """Kills Conductor; the other two keep running."""
        self.server.kill()

    def _start_redis(self) -> Child:
        options = [
            "--port",
            str(self._redis_port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        return Child(
            "Redis",
            [self._redis_command, *options],
            self._folder / "redis.log",
            folder=self._folder,
        )

    def _start_elastic(self, timeout: float) -> Child:
        home = self._folder / "elasticsearch"
        home.mkdir(exist_ok=True)
        ports = [str(self._elastic_port), str(self._node_port)]
        source = str(_SOURCE / "SingleNode.java")
        command = [self._java, "-Xmx512m", "-cp", f"{self._libraries}/*", source, str(home), *ports]
        child = Child(
            "Elasticsearch", command, self._folder / "elasticsearch.log", folder=self._folder
        )
        child.wait_until(
            lambda: status_of(f"http://127.0.0.1:{self._elastic_port}") == 200, timeout
        )
        return child

    def _properties(self) -> list[str]:
        return [
            "--conductor.db.type=redis_standalone",
            "--conductor.queue.type=redis_standalone",
            f"--conductor.redis.hosts=127.0.0.1:{self._redis_port}:us-east-1c",
            "--conductor.workflow-execution-lock.type=redis",
            f"--conductor.redis-lock.serverAddress=redis://127.0.0.1:{self._redis_port}",
            "--conductor.indexing.type=elasticsearch",
            f"--conductor.elasticsearch.url=http://127.0.0.1:{self._elastic_port}",
            "--conductor.elasticsearch.version=7",
            "--conductor.elasticsearch.clusterHealthColor=yellow",
            "--conductor.elasticsearch.indexReplicasCount=0",
        ]


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    for java in (str(Path(home) / "bin" / "java") if home else None, shutil.which("java")):
        if java is not None and java_version(java) in _JAVA:
            return java
    raise Failed(
        f"Elasticsearch 7 needs Java {_JAVA.start} to {_JAVA.stop - 1} on the PATH (Maven's own will do)"
    )


def _find_libraries(folder: Path, say: Say) -> Path:
    """Elasticsearch's jars, fetched through Maven into the folder."""
    maven = shutil.which("mvn")
    if maven is None:
        raise Failed("there is no Maven (`mvn`) to fetch Elasticsearch: install it")
    say("Fetching Elasticsearch 7 through Maven\n")
    libraries = folder.absolute() / "libraries"
    command = [maven, "-B", "-q", "-f", str(_SOURCE / "pom.xml"), "dependency:copy-dependencies"]
    made = subprocess.run(
        [*command, f"-DoutputDirectory={libraries}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if made.returncode != 0:
        raise Failed(
            f"Maven couldn't fetch Elasticsearch:\n{made.stdout[-2000:]}{made.stderr[-2000:]}"
        )
    return libraries
