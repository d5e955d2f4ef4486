"""The store in trouble, as seen from outside: locked, full, read-only, or being copied, while everything runs."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.client import Answer, Conductor, http, outputs, set_variable, wait_for, wait_for_webhook
from demo.processes import Child
from tests.acceptance.bridge import Bridge, unique

WEBHOOKS = f"""
webhooks:
  - name: store_waits
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers: {{{unique("store_wait")}: any}}
  - name: store_starts
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts: [{{workflow: {unique("store_started")}}}]
"""
ROOM = 8 * 1024**2
"""Bytes of the small disk."""


# --- what the tests do with a bridge ---


class Sender:
    """A platform: it remembers each delivery's id, sends it again under that id, and knows what must come of it."""

    def __init__(self, bridge: Bridge, conductor: Conductor) -> None:
        conductor.register(unique("store_wait"), [wait_for_webhook("wait", {"$.to": "${workflow.input.key}"})])
        conductor.register(unique("store_started"), [set_variable()])
        self.bridge = bridge
        self.conductor = conductor
        self.waiting: dict[str, str] = {}
        self.accepted: dict[str, str] = {}
        """key → event id."""
        self.starts: list[str] = []

    def begin(self) -> str:
        """A key that a workflow waits for."""
        key = uuid.uuid4().hex
        self.waiting[key] = self.conductor.start(unique("store_wait"), key=key)
        self.conductor.wait_for_task(self.waiting[key], "wait")
        return key

    def send(self, key: str, size: int = 0) -> Answer:
        """Delivers the event for that key; the key is the delivery id too."""
        answer = self.bridge.github("store_waits", {"to": key, "filler": "x" * size}, delivery=key)
        if answer.status == 200:
            self.accepted[key] = str(answer.json["eventId"])
        return answer

    def send_start(self) -> None:
        """Delivers an event that starts a workflow."""
        answer = self.bridge.github("store_starts", {}, delivery=str(uuid.uuid4()))
        assert answer.status == 200, answer.text
        self.starts.append(str(answer.json["eventId"]))

    def audit(self) -> None:
        """Every accepted event had its effect, once, in Conductor."""
        for key, event_id in self.accepted.items():
            [output] = outputs(self.conductor.wait_for_status(self.waiting[key], timeout=60), "wait")
            assert output["_webhook"]["eventId"] == event_id
        for event_id in self.starts:
            found = wait_for(lambda id_=event_id: self.started(id_), f"event {event_id} starts", 60)  # type: ignore[misc]
            assert len(found) == 1

    def started(self, event_id: str) -> list[str]:
        """The workflows that the event started."""
        found = self.conductor.started_by(unique("store_started"), event_id)
        return [workflow["workflowId"] for workflow in found]


def assert_unavailable(answer: Answer) -> None:
    """The sender is asked to try again."""
    assert answer.status == 503, answer.text
    assert answer.json["error"] == "unavailable"
    assert int(answer.headers["retry-after"]) > 0


def readiness(bridge: Bridge) -> int:
    """What the relay says of itself."""
    return http("GET", f"{bridge.url}/readyz").status


def processes_of(child: Child) -> list[int]:
    """The ids of a process and of its children."""
    listing = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    return [child.pid, *map(int, listing.read_text().split())]


def sound(database: Path) -> sqlite3.Connection:
    """A connection to the database, which SQLite finds sound, and in which each target has its event."""
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    orphans = "SELECT count(*) FROM targets WHERE event_id NOT IN (SELECT id FROM events)"
    assert connection.execute(orphans).fetchone() == (0,)
    return connection


@pytest.fixture
def bridge(new_bridge: Callable[..., Bridge]) -> Bridge:
    """A bridge of the test's own, not running yet."""
    return new_bridge(WEBHOOKS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little room."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mount.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    # Lazily: what still has files open there must not keep it.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def move_to(bridge: Bridge, folder: Path) -> None:
    """Has the bridge keep its database in that folder."""
    bridge.database = folder / "bridge.db"
    bridge.environment["BRIDGE_DATABASE"] = f"sqlite:///{bridge.database}"


# --- locked ---


def test_a_locked_database_is_answered_with_503_and_everything_goes_on_when_it_is_free(
    conductor: Conductor, bridge: Bridge
) -> None:
    sender = Sender(bridge.start(), conductor)
    before, during = sender.begin(), sender.begin()
    other = sqlite3.connect(bridge.database, isolation_level=None)
    assert sender.send(before).status == 200
    other.execute("BEGIN IMMEDIATE")
    assert_unavailable(sender.send(during))
    assert readiness(bridge) == 503
    assert http("GET", f"{bridge.url}/healthz").status == 200
    # Longer than a worker keeps the lease without a sign of life: it has to begin anew.
    assert_unavailable(sender.send(during))
    other.execute("ROLLBACK")
    other.close()

    again = sender.send(during)
    assert again.status == 200, again.text
    assert "duplicate" not in again.json, "nothing of the refused delivery was kept"
    assert readiness(bridge) == 200
    sender.audit()
