"""``python -m bench [PART …]``: prints each part's figures beside their goals, and writes build/bench.json."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from bench import answers, conductor, figures, held, ingest, matching, postgres, relay, webhooks, workers
from testkit.conductor import say
from testkit.processes import ROOT, Failed, stop_all_on_exit

Measure = Callable[[Path, Callable[[str], None]], list[figures.Figure]]

PARTS: dict[str, Measure] = {
    "relay": relay.measure,
    "webhooks": webhooks.measure,
    "matching": matching.measure,
    "postgres": postgres.measure,
    "workers": workers.measure,
    "held": held.measure,
    "conductor": conductor.measure,
    "answers": answers.measure,
}
"""What is measured by default; ``conductor`` and ``answers`` need the real server."""
ASKED: dict[str, Measure] = {"calls": conductor.measure_calls, "ingest": ingest.measure}
"""Measured only when it is asked for: the rate by BRIDGE_CALLS on the kind of Conductor that TEST_CONDUCTOR chooses;
and what a delivery takes."""


def main() -> int:
    """Exit code 0 if every goal was reached, 1 if not, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Ratios measured in one run; don't run anything beside it.", epilog=__doc__
    )
    named = f"of {', '.join(PARTS)}, all by default; or {', '.join(ASKED)}"
    parser.add_argument("parts", nargs="*", metavar="PART", help=named)
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", help="where the figures are written"
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="for workers and ingest: another checkout, measured in turn with this one",
    )
    parser.add_argument("--workers", type=int, default=workers.Effort.workers, help="for workers: how many")
    parser.add_argument("--rounds", type=int, default=workers.Effort.rounds, help="for workers and ingest: how many")
    parser.add_argument(
        "--senders", type=int, nargs="+", default=ingest.Effort.connections, help="for ingest: how many, in turn"
    )
    parser.add_argument("--events", type=int, default=held.Effort.events, help="for held: how many flow")
    arguments = parser.parse_args()
    effort = workers.Effort(workers=arguments.workers, rounds=arguments.rounds)
    deliveries = ingest.Effort(rounds=arguments.rounds, connections=arguments.senders)
    known: dict[str, Measure] = {
        **PARTS,
        **ASKED,
        "workers": partial(workers.measure, beside=arguments.beside, effort=effort),
        "ingest": partial(ingest.measure, beside=arguments.beside, effort=deliveries),
        "held": partial(held.measure, effort=held.Effort(events=arguments.events)),
    }
    if unknown := set(arguments.parts) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    # The worker's own steps would be logged between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stop_all_on_exit()
    found: list[figures.Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        for part in arguments.parts or PARTS:
            try:
                measured = known[part](Path(name), say)
            except Failed as error:
                print(f"{part}: {error}", file=sys.stderr)
                failed = True
                continue
            found += measured
            # After each part: what was measured isn't lost if a later one is interrupted.
            print(figures.table(measured), flush=True)
            figures.write(found, arguments.json)
    return 1 if failed or any(figure.reached is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
