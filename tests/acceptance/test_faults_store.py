"""The store in trouble, as seen from outside: full, read-only, or being copied, while everything
runs."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults.clients import Clients
from tests.support.bridge import Bridge, unique
from tools.servers import PATIENCE
from tools.servers.client import (
    Answer,
    Conductor,
    RequestFailed,
    http,
    outputs,
    set_variable,
    wait_for,
    wait_for_webhook,
)
from tools.servers.processes import children_of

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
    """A platform: it remembers each delivery's id, sends it again under that id, and knows what
    must come of it."""

    def __init__(self, bridge: Bridge, conductor: Conductor) -> None:
        conductor.register(
            unique("store_wait"), [wait_for_webhook("wait", {"$.to": "${workflow.input.key}"})]
        )
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

    def send(self, key: str, size: int = 0, once: bool = False) -> Answer:
        """Delivers the event for that key; the key is the delivery id too."""
        payload = {"to": key, "filler": "x" * size}
        answer = self.bridge.github("store_waits", payload, delivery=key, once=once)
        if answer.status == 200:
            self.accepted[key] = str(answer.json["eventId"])
        return answer

    def send_start(self) -> None:
        """Delivers an event that starts a workflow."""
        answer = self.bridge.github("store_starts", {"number": str(uuid.uuid4())})
        assert answer.status == 200, answer.text
        self.starts.append(str(answer.json["eventId"]))

    def audit(self) -> None:
        """Every accepted event had its effect, once, in Conductor."""
        for key, event_id in self.accepted.items():
            [output] = outputs(self.conductor.wait_for_status(self.waiting[key]), "wait")
            assert output["_webhook"]["eventId"] == event_id
        for event_id in self.starts:
            found = wait_for(lambda id_=event_id: self.started(id_), f"event {event_id} starts")  # type: ignore[misc]
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


def sound(database: Path) -> sqlite3.Connection:
    """A connection to the database, which SQLite finds sound, and in which each target has its
    event."""
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    orphans = "SELECT count(*) FROM targets WHERE event_id NOT IN (SELECT id FROM events)"
    assert connection.execute(orphans).fetchone() == (0,)
    return connection


@pytest.fixture
def bridge(new_bridge: Callable[..., Bridge]) -> Bridge:
    """A bridge of the test's own, not running yet."""
    return new_bridge(WEBHOOKS)


def move_to(bridge: Bridge, folder: Path) -> None:
    """Has the bridge keep its database in that folder."""
    bridge.database = folder / "bridge.db"
    bridge.environment["BRIDGE_DATABASE"] = f"sqlite:///{bridge.database}"


# --- full ---


def test_a_full_disk_is_answered_with_503_and_nothing_is_half_written(
    conductor: Conductor, bridge: Bridge, small_disk: Path
) -> None:
    move_to(bridge, small_disk)
    sender = Sender(bridge.start(), conductor)
    keys = [sender.begin() for _ in range(6)]
    assert sender.send(keys[0]).status == 200

    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    # What the log has room for from earlier is still accepted; then it is full.
    refused = wait_for(lambda: refused_of(sender, keys[1:]), "the disk is full")
    for _ in range(10):  # by both of the relay's processes
        assert_unavailable(sender.send(refused[0], size=200_000, once=True))
    assert http("GET", f"{bridge.url}/healthz").status == 200

    ballast.unlink()
    for key in refused:
        again = accepted_by(sender, key)
        assert "duplicate" not in again.json, "nothing of the rejected delivery was kept"
    wait_for(lambda: readiness(bridge) == 200, "the relay is ready")
    sender.audit()
    assert set(sender.accepted) >= {keys[0], *refused}
    sound(bridge.database).close()


def refused_of(sender: Sender, keys: list[str]) -> list[str]:
    """The keys whose deliveries are refused; empty when all are accepted. The payloads are large
    ones."""
    refused = []
    for key in keys:
        if key not in sender.accepted:
            answer = sender.send(key, size=200_000, once=True)
            if answer.status != 200:
                assert_unavailable(answer)
                refused.append(key)
    return refused


def accepted_by(sender: Sender, key: str) -> Answer:
    """The answer to the key's delivery, once it is accepted."""

    def accepted() -> Answer | None:
        answer = sender.send(key, size=200_000)
        return answer if answer.status == 200 else None

    answer = wait_for(accepted, "the delivery is accepted")
    assert answer is not None
    return answer


@pytest.mark.long  # tests/store/sqlite/test_connections.py fills a database too
def test_files_that_may_not_grow_are_answered_with_503(
    conductor: Conductor, bridge: Bridge
) -> None:
    """As a quota does it; a write fails with another error then than on a full disk."""
    sender = Sender(bridge.start(), conductor)
    key = sender.begin()
    sender.send_start()
    assert bridge.relay is not None
    log = Path(f"{bridge.database}-wal")
    processes = (bridge.relay.pid, *children_of(bridge.relay.pid))
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in processes}
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    assert_unavailable(sender.send(key, size=900_000, once=True))
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    again = sender.send(key, size=900_000)
    assert again.status == 200, again.text
    assert "duplicate" not in again.json
    sender.audit()
    sound(bridge.database).close()


# --- read-only ---


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system of its own that goes read-only at an error, as most do."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 1024**2)
    for command in (
        ["mkfs.ext4", "-q", str(image)],
        ["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as error:
            pytest.skip(f"no ext4 file system can be made here: {error}")
        if done.returncode != 0:
            pytest.skip(f"no ext4 file system can be made here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def device_of(folder: Path) -> str:
    """The name of the block device that is mounted there."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next(Path(device).name for device, where, *_ in mounts if where == str(folder))


@pytest.mark.long  # the next test has a read-only file system too
def test_a_file_system_that_goes_read_only_is_answered_with_503_until_it_is_mounted_anew(
    conductor: Conductor, bridge: Bridge, failing_disk: Path
) -> None:
    trigger = Path(f"/sys/fs/ext4/{device_of(failing_disk)}/trigger_fs_error")
    if not trigger.exists():
        pytest.skip("this kernel makes no file system fail on demand")
    move_to(bridge, failing_disk)
    sender = Sender(bridge.start(), conductor)
    accepted, refused = sender.begin(), sender.begin()
    assert sender.send(accepted).status == 200
    sender.audit()
    trigger.write_text("as a broken disk would")
    wait_for(lambda: refuses(bridge), "the file system is read-only")
    assert_unavailable(sender.send(refused, once=True))
    wait_for(lambda: readiness(bridge) == 503, "the relay says that it isn't ready")
    assert http("GET", f"{bridge.url}/healthz").status == 200
    assert bridge.worker is not None
    assert bridge.worker.running

    # An administrator repairs and mounts it, and starts what used it again.
    bridge.worker.kill()
    assert bridge.relay is not None
    bridge.relay.kill()
    image = failing_disk.parent / "image"
    unmount = ["umount", str(failing_disk)]
    wait_for(
        lambda: subprocess.run(unmount, capture_output=True).returncode == 0,
        "what was killed is gone",
    )
    # What such a device still writes would undo the repair.
    attached = [
        "losetup",
        "--associated",
        str(image),
    ]
    wait_for(
        lambda: not subprocess.run(attached, capture_output=True, check=True).stdout,
        "its device is gone",
    )
    repaired = subprocess.run(["fsck.ext4", "-fy", str(image)], capture_output=True, text=True)
    assert repaired.returncode in (0, 1), repaired.stdout
    subprocess.run(["mount", "-o", "loop", str(image), str(failing_disk)], check=True)
    bridge.start()
    assert sender.send(refused).status == 200
    sender.audit()
    sound(bridge.database).close()


def test_a_relay_process_that_begins_on_a_read_only_file_system_recovers_with_it(
    conductor: Conductor, bridge: Bridge, small_disk: Path
) -> None:
    """What it opened read-only must not stay so."""
    move_to(bridge, small_disk)
    sender = Sender(bridge.start(), conductor)
    key = sender.begin()
    assert bridge.relay is not None
    # A second mount over the first: who has files open there can write on, who opens them now
    # can't.
    subprocess.run(["mount", "--bind", str(small_disk), str(small_disk)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(small_disk)], check=True)
        for pid in children_of(bridge.relay.pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: refuses(bridge), "the new relay processes can't write")
        wait_for(lambda: readiness(bridge) == 503, "the relay says that it isn't ready")
    finally:
        subprocess.run(["umount", "--lazy", str(small_disk)], check=True)
    accepted_by(sender, key)
    wait_for(lambda: readiness(bridge) == 200, "the relay is ready")
    sender.audit()


def refuses(bridge: Bridge) -> bool:
    """Whether the relay refuses a delivery with 503, and not for being started just now."""
    try:
        answer = bridge.github("store_starts", {"number": str(uuid.uuid4())}, once=True)
    except RequestFailed:
        return False
    if answer.status != 200:
        assert_unavailable(answer)
    return answer.status != 200


# --- copied ---


@pytest.mark.long
def test_a_backup_that_is_taken_while_running_is_consistent_and_complete(
    conductor: Conductor, bridge: Bridge, tmp_path: Path
) -> None:
    sender = Sender(bridge.start(), conductor)
    clients = Clients()

    def send() -> None:
        while not clients.stopped.is_set():
            sender.send_start()

    for _ in range(2):
        clients.start(send)
    try:
        wait_for(lambda: len(sender.starts) > 25, "some events were accepted")
        before = sender.starts[:]
        target = tmp_path / "backup.db"
        bridge.cli("backup", str(target))
        assert "exists already" in bridge.cli("backup", str(target), code=1, all_output=True)
        connection = sound(target)
        kept = {row[0] for row in connection.execute("SELECT id FROM events")}
        connection.close()
        assert kept >= set(before), "what was accepted before the backup is in it"
        assert [path for path in tmp_path.iterdir() if "backup" in path.name] == [target]
    finally:
        clients.stopped.set()
        clients.join(PATIENCE)
    sender.audit()


def test_a_restored_backup_starts_nothing_again_that_was_started_after_it(
    conductor: Conductor, bridge: Bridge, tmp_path: Path
) -> None:
    sender = Sender(bridge, conductor)
    bridge.start_relay()
    for _ in range(5):
        sender.send_start()
    backup = tmp_path / "backup.db"
    bridge.cli("backup", str(backup))  # holds the events as undecided
    bridge.start_worker()
    sender.audit()
    bridge.stop()

    for suffix in ("-wal", "-shm"):
        Path(f"{bridge.database}{suffix}").unlink(missing_ok=True)
    backup.replace(bridge.database)
    bridge._store = None
    bridge.start_worker()
    for event_id in sender.starts:
        bridge.wait_for_event(event_id, "delivered")
    sender.audit()
