"""`make soak HOURS=2`: so many hours on each store, 50 events a second and a fault every half
minute; 0 if nothing was lost and nothing done twice."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from tools.servers.processes import Failed, stop_all_on_exit
from tools.soak.audit import Verdict, audit
from tools.soak.gauges import Gauges, table
from tools.soak.load import Account, Load
from tools.soak.stage import STORES, Stage, StoreKind

REST = 30.0
"""Seconds between faults at most."""
PATIENCE = 300.0
"""Seconds within which at least one more effect must come at the end."""

KEPT = Path("build/soak").absolute()
"""Where logs and store are kept after something was lost or done twice."""
SHOWN = 20
"""Events at most of which it is said what the bridge knows of them."""


def main() -> int:
    """Runs it on the chosen stores."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Hours of faults.")
    parser.add_argument("--hours", type=float, default=2.0, help="on each store; may be a fraction")
    parser.add_argument("--store", choices=STORES, action="append", help="both by default")
    parser.add_argument("--rate", type=float, default=50.0, help="events a second")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    stop_all_on_exit()
    try:
        verdicts = [soak(kind, given.hours * 3600, given.rate) for kind in given.store or STORES]
    except Failed as error:
        print(f"make soak failed: {error}", file=sys.stderr)
        return 2
    return int(any(verdict.lost or verdict.twice for verdict in verdicts))


def soak(kind: StoreKind, seconds: float, rate: float) -> Verdict:
    """Runs it on one store, and prints its tables. Raises Failed if this machine can't do it."""
    run = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="webhook-bridge-soak-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        stage = Stage(kind, seconds, run, Path(folder))
        try:
            return _play(stage, kind, seconds, rate, run)
        finally:
            stage.stop()


def _play(stage: Stage, kind: StoreKind, seconds: float, rate: float, run: str) -> Verdict:
    load = Load(stage.conductor, [host.url for host in stage.hosts], run, rate)
    load.register()
    print(f"\n{kind}: {seconds / 60:.0f} min, {rate:.0f} events a second")
    load.start()
    gauges = Gauges(stage.hosts[0].processes, stage.store_bytes)
    began = time.monotonic()
    try:
        struck = _strike(stage, began + seconds)
    finally:
        load.stop()
        lasted = time.monotonic() - began
        gauges.stop()
    print("counting every effect at Conductor")
    verdict = audit(stage.conductor, run, load.account, PATIENCE)
    print(_report(load.account, verdict, struck, lasted))
    print(table(gauges.samples, lasted))
    wrong = (*verdict.lost, *verdict.twice)
    for event_id in wrong[:SHOWN]:
        print(f"\n{event_id}: {stage.explain(event_id)}")
    if wrong:
        print(f"logs and store are kept in {KEPT / run}: {stage.keep(KEPT / run)}")
    return verdict


def _strike(stage: Stage, until: float) -> Counter[str]:
    """Rounds of all faults, in random order, each at least once; how often each was played."""
    faults = stage.faults()
    struck: Counter[str] = Counter()
    while not struck or time.monotonic() < until:
        for name in random.sample(list(faults), len(faults)):
            time.sleep(random.uniform(stage.moment / 4, min(REST, stage.moment)))
            print(f"{time.strftime('%X')} {name}")
            faults[name]()
            struck[name] += 1
    return struck


def _report(account: Account, verdict: Verdict, struck: Counter[str], lasted: float) -> str:
    groups = sum(map(len, account.groups.values()))
    return "\n".join(
        [
            f"accepted {account.accepted} in {lasted / 60:.1f} min ({account.accepted / lasted:.1f} a second); "
            f"{account.sent_again} deliveries were sent again",
            f"{len(account.resumed)} resume a workflow, {len(account.started)} start one, {groups} share "
            f"{len(account.groups)} keys that start one each",
            f"{len(verdict.lost)} lost, {len(verdict.twice)} twice; Conductor itself gave up {verdict.given_up} "
            f"workflows, and didn't start {account.not_begun} while it was away",
            "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(struck.items())),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
