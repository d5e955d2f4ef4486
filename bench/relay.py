"""The relay's rate beside a bare handler's: both under gunicorn, in turn, so that a machine's drift hits both."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bench import load
from bench.figures import Figure, median, spread
from bench.processor import LONGEST_WAIT, wait_until_idle
from testkit.processes import Child, bridge_environment, free_port, start_relay

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
    """Rounds of bare, relay and, where it is installed, Debian's `webhook` (Go; verifies, stores nothing); before each
    the machine may take `longest_wait` seconds to become idle."""
    say("Measuring: the relay\n")
    definitions = folder / "webhooks.yaml"
    definitions.write_text(DEFINITIONS, encoding="utf-8")
    environment = bridge_environment(
        bridge_webhooks=str(definitions),
        bridge_database=f"sqlite:///{folder / 'bridge.db'}",
        bridge_relay_metrics="off",
        port=str(free_port()),
    )
    ports = {"relay": (int(environment["PORT"]), "/webhook/bench")}
    loads: dict[str, list[load.Load]] = {}
    left: dict[str, list[float]] = {}
    with running_bare(folder) as bare, running_webhook(folder) as go:
        ports["bare"] = (bare, "/webhook/bench")
        if go:
            ports["webhook"] = (go, "/hooks/bench")
        relay = start_relay(environment, folder / "relay.log")
        try:
            wait_until_idle(longest_wait)
            for _ in range(rounds):
                for name, (port, path) in ports.items():
                    loads.setdefault(name, []).append(load.run(port, path, seconds, warm_up=warm_up))
                    # Debian's `webhook` runs `true` for seconds.
                    left.setdefault(name, []).append(wait_until_idle(longest_wait))
        finally:
            relay.stop()
    return list(_figures(loads, left, seconds + warm_up))


def _figures(loads: dict[str, list[load.Load]], left: dict[str, list[float]], lasted: float) -> Iterator[Figure]:
    """Each load `lasted` so many seconds, and its work went on for those that are `left` after its last answer."""

    def ratios(field: str, other: str) -> list[float]:
        return [
            getattr(ours, field) / getattr(theirs, field)
            for ours, theirs in zip(loads["relay"], loads[other], strict=True)
        ]

    rates = spread([one.rate for one in loads["relay"]], "/s")
    yield Figure("relay", "rate / bare handler's", median(ratios("rate", "bare")), ">= 0.85", rates)
    tails = spread([one.p99 for one in loads["relay"]], " ms")
    yield Figure("relay", "99th percentile / bare handler's", median(ratios("p99", "bare")), "<= 1.5", tails)
    failures = sum(one.failures for one in loads["relay"])
    yield Figure("relay", "answers other than 200", failures, "<= 0")
    if "webhook" in loads:
        yield Figure(
            "relay",
            "rate / Debian's webhook (runs `true`, no storage)",
            median(ratios("rate", "webhook")),
            ">= 1",
            spread([one.rate for one in loads["webhook"]], "/s"),
        )
        # It answers first and acts afterwards. Under a load that lasts its actions would take their share of the time.
        done = {
            name: [one.rate * lasted / (lasted + more) for one, more in zip(loads[name], left[name], strict=True)]
            for name in ("relay", "webhook")
        }
        yield Figure(
            "relay",
            "the same, until its commands have run",
            median([ours / theirs for ours, theirs in zip(done["relay"], done["webhook"], strict=True)]),
            ">= 1",
            spread(done["webhook"], "/s"),
        )


@contextmanager
def running_bare(folder: Path) -> Iterator[int]:
    """The bare handler's port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "2", "--threads", "8", "--keep-alive", "15"]
    child = Child(
        "the bare handler",
        [*command, "-b", f"127.0.0.1:{port}", "bench.bare:create_app()"],
        folder / "bare.log",
        bridge_environment(),
    )
    try:
        child.wait_until(lambda: listening(port))
        yield port
    finally:
        child.stop()


@contextmanager
def running_webhook(folder: Path) -> Iterator[int | None]:
    """The port of adnanh/webhook with the same rule; None where it isn't installed."""
    program = shutil.which("webhook")
    if program is None:
        yield None
        return
    rule = {
        "match": {
            "type": "payload-hmac-sha256",
            "secret": load.SECRET,
            "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
        }
    }
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps([{"id": "bench", "execute-command": shutil.which("true"), "trigger-rule": rule}]))
    port = free_port()
    child = Child(
        "webhook",
        [program, "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)],
        folder / "webhook.log",
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
