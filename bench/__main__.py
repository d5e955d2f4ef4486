"""``python -m bench [PART …]``: measures, prints a table with each goal beside, and writes build/bench.json."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from bench import answers, conductor, figures, matching, postgres, relay, webhooks, workers
from testkit.conductor import say
from testkit.processes import ROOT, Failed, stop_all_on_exit

PARTS = ("relay", "webhooks", "matching", "postgres", "workers", "conductor", "answers")
"""What can be measured alone; ``conductor`` and ``answers`` need the real server."""
ASKED = ("calls",)
"""Measured only when it is asked for: the rate by BRIDGE_CALLS on the kind of Conductor that TEST_CONDUCTOR chooses."""


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
        "--beside", type=Path, metavar="FOLDER", help="for workers: another checkout, measured in turn with this one"
    )
    parser.add_argument("--workers", type=int, default=workers.Effort.workers, help="for workers: how many")
    parser.add_argument("--rounds", type=int, default=workers.Effort.rounds, help="for workers: how many")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, *ASKED}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS + ASKED)}")
    parts = arguments.parts or PARTS
    # The worker's own steps would be logged between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stop_all_on_exit()
    found: list[figures.Figure] = []
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        folder = Path(name)
        try:
            if "relay" in parts:
                say("Measuring: the relay\n")
                found += relay.measure(folder)
            if "webhooks" in parts:
                say("Measuring: many webhooks\n")
                found += webhooks.measure(folder)
            if "matching" in parts:
                say("Measuring: matching\n")
                found += matching.measure(folder)
            if "postgres" in parts:
                found += postgres.measure(folder, say)
            if "workers" in parts:
                effort = workers.Effort(workers=arguments.workers, rounds=arguments.rounds)
                found += workers.measure(folder, say, arguments.beside, effort)
            if "conductor" in parts:
                found += conductor.measure(folder, say)
            if "answers" in parts:
                found += answers.measure(folder, say)
            if "calls" in parts:
                found += conductor.measure_calls(folder, say)
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
    print(figures.table(found))
    figures.write(found, arguments.json)
    return 1 if any(figure.reached is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
