"""``python -m tools.bench [PART …]``: prints each part's figures beside their goals, and writes
build/bench.json."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from tools.bench import answers, conductor, figures, matching, relay, webhooks, workers
from tools.servers.conductor import say
from tools.servers.processes import ROOT, Failed, stop_all_on_exit

Measure = Callable[[Path, Callable[[str], None]], list[figures.Figure]]

PARTS: dict[str, Measure] = {
    "relay": relay.measure,
    "webhooks": webhooks.measure,
    "matching": matching.measure,
    "workers": workers.measure,
    "conductor": conductor.measure,
    "answers": answers.measure,
}
"""``conductor`` and ``answers`` need the real server."""


def main() -> int:
    """Exit code 0 if every goal was reached, 1 if not, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Ratios measured in one run; don't run anything beside it.",
        epilog=__doc__,
    )
    named = f"of {', '.join(PARTS)}; all by default"
    parser.add_argument("parts", nargs="*", metavar="PART", help=named)
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "build" / "bench.json",
        help="where the figures are written",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    # The worker's own steps would be logged between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stop_all_on_exit()
    found: list[figures.Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        for part in arguments.parts or PARTS:
            try:
                measured = PARTS[part](Path(name), say)
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
