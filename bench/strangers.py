"""``python -m bench.strangers [NUMBER]``: so many hostile requests (100,000) to a relay, and what it answered."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import load
from bench.relay import DEFINITIONS, listening
from testkit.processes import bridge_environment, free_port, start_relay, stop_all_on_exit
from testkit.strangers import ANSWERS, attack

PEERS = 8
PATHS = ("/webhook/bench", "/webhook/nobody", "/webhook/", "/healthz", "/nothing", "*", "http://h/webhook/bench")


def main() -> int:
    """Exit code 0 if every answer was one of the HTTP table, and honest senders had theirs meanwhile."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    stop_all_on_exit()
    with tempfile.TemporaryDirectory(prefix="bridge-strangers-") as name:
        folder = Path(name)
        (folder / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
        port = free_port()
        environment = bridge_environment(
            bridge_webhooks=str(folder / "webhooks.yaml"),
            bridge_database=f"sqlite:///{folder / 'bridge.db'}",
            bridge_relay_metrics="off",
            port=str(port),
        )
        relay = start_relay(environment, folder / "relay.log")
        relay.wait_until(lambda: listening(port), timeout=30)
        began = time.monotonic()
        found: Counter[int] = Counter()
        with ProcessPoolExecutor(PEERS) as pool:
            for counted in [pool.submit(attack, port, number // PEERS, seed, PATHS) for seed in range(PEERS)]:
                found += counted.result()
                # Honest senders have their answer all the while.
                honest = load.run(port, "/webhook/bench", seconds=1, connections=2, warm_up=0)
                if honest.failures:
                    print(f"{honest.failures} honest deliveries failed")
                    return 1
        relay.stop()
        bugs = (folder / "relay.log").read_text(encoding="utf-8").count("Traceback")
    seconds = time.monotonic() - began
    print(f"{number} hostile requests in {seconds:.0f} s: {dict(sorted(found.items()))}, {bugs} tracebacks")
    return 0 if set(found) <= ANSWERS and not bugs else 1


if __name__ == "__main__":
    sys.exit(main())
