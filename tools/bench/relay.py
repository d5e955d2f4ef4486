"""The relay's rate beside a bare handler's: both under gunicorn, in turn, so that a machine's drift
hits both."""

from __future__ import annotations

import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tools.bench import load
from tools.bench.figures import Figure, median, spread
from tools.bench.processor import LONGEST_WAIT, wait_until_idle
from tools.servers.processes import Child, bridge_environment, free_port, start_relay

ROUNDS = 5
SECONDS = 4.0

DEFINITIONS = f"""webhooks:
  - name: bench
    platform: github
    secret: {load.SECRET}
    receivers: {{nothing: any}}
"""


def measure(
    folder: Path,
    say: Callable[[str], None],
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    warm_up: float = load.WARM_UP,
    longest_wait: float = LONGEST_WAIT,
) -> list[Figure]:
    """Rounds of bare and relay; before each the machine may take `longest_wait` seconds to become
    idle."""
    say("Measuring: the relay\n")
    definitions = folder / "webhooks.yaml"
    definitions.write_text(DEFINITIONS, encoding="utf-8")
    database = folder / "bridge.db"
    environment = bridge_environment(
        bridge_webhooks=str(definitions),
        bridge_database=f"sqlite:///{database}",
        bridge_relay_metrics="off",
        port=str(free_port()),
    )
    ports = {"relay": (int(environment["PORT"]), "/webhook/bench")}
    loads: dict[str, list[load.Load]] = {}
    with running_bare(folder) as bare:
        ports["bare"] = (bare, "/webhook/bench")
        relay = start_relay(environment, folder / "relay.log")
        try:
            for _ in range(rounds):
                for name, (port, path) in ports.items():
                    wait_until_idle(longest_wait)
                    loads.setdefault(name, []).append(
                        load.run(port, path, seconds, warm_up=warm_up)
                    )
        finally:
            relay.stop()
    with closing(sqlite3.connect(database)) as connection:
        [(stored,)] = connection.execute("SELECT count(*) FROM events").fetchall()
    return list(_figures(loads, stored))


def _figures(loads: dict[str, list[load.Load]], stored: int) -> Iterator[Figure]:
    """`stored`: events in the relay's store."""

    def ratios(field: str) -> list[float]:
        return [
            getattr(ours, field) / getattr(theirs, field)
            for ours, theirs in zip(loads["relay"], loads["bare"], strict=True)
        ]

    rates = spread([one.rate for one in loads["relay"]], "/s")
    yield Figure("relay", "rate / bare handler's", median(ratios("rate")), ">= 0.6", rates)
    tails = spread([one.p99 for one in loads["relay"]], " ms")
    yield Figure(
        "relay", "99th percentile / bare handler's", median(ratios("p99")), "<= 1.2", tails
    )
    failures = sum(one.failures for one in loads["relay"])
    yield Figure("relay", "answers other than 200", failures, "<= 0")
    # A delivery in flight when its round ends may be stored without an answer.
    unstored = max(0, sum(one.answers for one in loads["relay"]) - stored)
    yield Figure("relay", "answers without an event in the store", unstored, "<= 0")


@contextmanager
def running_bare(folder: Path) -> Iterator[int]:
    """The bare handler's port."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-k",
        "gthread",
        "-w",
        "2",
        "--threads",
        "8",
        "--keep-alive",
        "15",
    ]
    child = Child(
        "the bare handler",
        [*command, "-b", f"127.0.0.1:{port}", "tools.bench.bare:create_app()"],
        folder / "bare.log",
        bridge_environment(),
    )
    try:
        child.wait_until(lambda: listening(port))
        yield port
    finally:
        child.stop()


def listening(port: int) -> bool:
    """Whether somebody listens on the port of this machine."""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False
