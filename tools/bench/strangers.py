"""``python -m tools.bench.strangers [NUMBER]``: what strangers cost others.

So many hostile requests (100,000), and what was answered. Then the relay's latencies while
strangers press it, beside those of the quiet relay in the same run.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tools.bench import load
from tools.bench.figures import Figure, median, spread, table
from tools.bench.hostile_requests import (
    ANSWERS,
    attack,
    healthz_latencies,
    send_endless_heads,
    trickle,
)
from tools.bench.relay import DEFINITIONS
from tools.servers.processes import bridge_environment, free_port, start_relay, stop_all_on_exit

PEERS = 8
PATHS = (
    "/webhook/bench",
    "/webhook/nobody",
    "/webhook/",
    "/healthz",
    "/nothing",
    "*",
    "http://h/webhook/bench",
)
PRESSURES: dict[str, tuple[Callable[..., None], int]] = {
    "1,000 connections that trickle": (trickle, 1000),
    "16 connections with heads of 1.5 MB": (send_endless_heads, 16),
}
ROUNDS = 3
SECONDS = 4.0
TO_SETTLE = 2.0
"""Seconds until a pressure is there, or over."""


def main() -> int:
    """Exit code 0 if every answer was one of the HTTP table, and honest senders had theirs
    meanwhile, in time."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    stop_all_on_exit()
    with tempfile.TemporaryDirectory(prefix="bridge-strangers-") as name:
        answers_are_right, figures = measure(Path(name), number)
    print(table(figures))
    in_time = all(figure.reached is not False for figure in figures)
    return 0 if answers_are_right and in_time else 1


def measure(
    folder: Path,
    number: int,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    to_settle: float = TO_SETTLE,
    warm_up: float = load.WARM_UP,
) -> tuple[bool, list[Figure]]:
    """Whether all answers to so many hostile requests are right; and what pressures cost others."""
    (folder / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
    port = free_port()
    environment = bridge_environment(
        bridge_webhooks=str(folder / "webhooks.yaml"),
        bridge_database=f"sqlite:///{folder / 'bridge.db'}",
        bridge_relay_metrics="off",
        port=str(port),
    )
    relay = start_relay(environment, folder / "relay.log")
    try:
        answers_are_right = send_hostile_requests(port, number, min(1.0, seconds))
        figures = measure_pressures(port, rounds, seconds, to_settle, warm_up)
    finally:
        relay.stop()
    bugs = (folder / "relay.log").read_text(encoding="utf-8").count("Traceback")
    return answers_are_right, [*figures, Figure("strangers", "tracebacks in the log", bugs, "<= 0")]


def send_hostile_requests(port: int, number: int, honest: float = 1.0) -> bool:
    """Whether all answers were of the table, and honest senders, who come for so many seconds at a
    time, had theirs."""
    began = time.monotonic()
    failures = 0
    with ProcessPoolExecutor(PEERS) as pool:
        attacks = [pool.submit(attack, port, number // PEERS, seed, PATHS) for seed in range(PEERS)]
        while not all(one.done() for one in attacks):
            failures += load.run(port, "/webhook/bench", honest, connections=2, warm_up=0).failures
        found = sum((one.result() for one in attacks), Counter[int]())
    seconds = time.monotonic() - began
    print(f"{number} hostile requests in {seconds:.0f} s: {dict(sorted(found.items()))}")
    print(f"{failures} honest deliveries failed")
    return set(found) <= ANSWERS and not failures


def measure_pressures(
    port: int, rounds: int, seconds: float, to_settle: float, warm_up: float
) -> list[Figure]:
    """Rounds of the quiet relay and of each pressure, in turn, so that a machine's drift hits all."""
    deliveries: dict[str, list[float]] = {}
    health: dict[str, list[float]] = {}
    failures = 0
    for _ in range(rounds):
        for name in ("quiet", *PRESSURES):
            with pressure(name, port, to_settle):
                honest = load.run(port, "/webhook/bench", seconds, connections=4, warm_up=warm_up)
                failures += honest.failures
                deliveries.setdefault(name, []).append(honest.p99)
                latencies = healthz_latencies(port, seconds)
                health.setdefault(name, []).append(latencies[int(len(latencies) * 0.99)])
    return [
        *_figures(deliveries, health),
        Figure("strangers", "honest answers other than 200", failures, "<= 0"),
    ]


@contextmanager
def pressure(name: str, port: int, to_settle: float) -> Iterator[None]:
    """Strangers of that kind, in a process of their own."""
    if name not in PRESSURES:
        yield
        return
    stop = multiprocessing.Event()
    send, number = PRESSURES[name]
    process = multiprocessing.Process(target=send, args=(port, number, stop), daemon=True)
    process.start()
    try:
        time.sleep(to_settle)
        yield
    finally:
        stop.set()
        process.join()
        time.sleep(to_settle)


def _figures(
    deliveries: dict[str, list[float]], health: dict[str, list[float]]
) -> Iterator[Figure]:
    for what, found in (("delivery's", deliveries), ("/healthz'", health)):
        quiet = median(found["quiet"])
        for name in PRESSURES:
            detail = f"{spread(found[name], ' ms')}, quiet {spread(found['quiet'], ' ms')}"
            ratio = median(found[name]) / quiet
            yield Figure(
                "strangers", f"{what} 99th percentile / quiet, {name}", ratio, "<= 2", detail
            )


if __name__ == "__main__":
    sys.exit(main())
