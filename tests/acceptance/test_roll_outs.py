"""Processes are replaced while others of them work, as in a roll-out, on one PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from store.open import open_store
from tests.acceptance.faults.clients import Clients
from tests.support.bridge import Bridge, accepted, unique
from tests.support.fleet import Fleet
from tools.servers import PATIENCE
from tools.servers.client import Conductor, RequestFailed, outputs, wait_for, wait_for_webhook

pytestmark = pytest.mark.long
WEBHOOKS = f"""
webhooks:
  - name: deploys
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers: {{{unique("roll_out")}: any}}
"""


@pytest.fixture
def hosts(conductor_url: str, postgres_url: str, tmp_path: Path) -> Iterator[list[Bridge]]:
    """Four, of which nothing runs yet."""
    fleet = Fleet(tmp_path, conductor_url, WEBHOOKS, *[postgres_url] * 4)
    yield fleet.hosts
    fleet.stop()


class Service:
    """Posts to the relays that it knows of, one after the other, as a Service of Kubernetes spreads
    connections."""

    def __init__(self, relays: list[Bridge]) -> None:
        self._relays = relays
        self._lock = threading.Condition()
        self._busy: list[Bridge] = []
        self._turn = 0
        self.accepted: list[str] = []
        self.failures: list[str] = []
        self._clients = Clients()

    def replace(self, old: Bridge, new: Bridge) -> None:
        """The old one gets nothing new; returns once what it was sent is answered."""
        with self._lock:
            self._relays.append(new)
            self._relays.remove(old)
            self._lock.wait_for(lambda: old not in self._busy, timeout=PATIENCE)

    def __enter__(self) -> Service:
        for _ in range(4):
            self._clients.start(self._post_all)
        return self

    def __exit__(self, *error: object) -> None:
        self._clients.stopped.set()
        self._clients.join(PATIENCE)

    def _post_all(self) -> None:
        while not self._clients.stopped.is_set():
            with self._lock:
                self._turn += 1
                relay = self._relays[self._turn % len(self._relays)]
                self._busy.append(relay)
            try:
                answer = relay.github("deploys", {"sent": uuid.uuid4().hex}, once=True)
                if answer.status == 200:
                    self.accepted.append(answer.json["eventId"])
                else:
                    self.failures.append(f"{answer.status}: {answer.text}")
            except RequestFailed as error:
                self.failures.append(str(error))
            finally:
                with self._lock:
                    self._busy.remove(relay)
                    self._lock.notify_all()
            self._clients.stopped.wait(0.05)  # the relays that start need the processor too


@pytest.mark.slow(25)
def test_a_rolling_update_loses_no_delivery(hosts: list[Bridge], postgres_url: str) -> None:
    """A new relay is ready before an old one goes, which takes deliveries until nobody sends it
    any: tests/deploy shows that the chart has Kubernetes do so."""
    old, new = hosts[:2], hosts[2:]
    for host in old:
        host.start_relay()
    with Service(old[:]) as service:
        for one, next_ in zip(old, new, strict=True):
            next_.start_relay()
            before = len(service.accepted)
            wait_for(
                lambda before=before: len(service.accepted) > before, "deliveries go on meanwhile"
            )  # type: ignore[misc]
            service.replace(one, next_)
            assert one.stop_relay() == 0
    assert service.failures == []
    assert service.accepted
    with closing(open_store(postgres_url, migrate=False)) as store:
        assert [
            event_id for event_id in service.accepted if store.queries.event(event_id) is None
        ] == []


def test_old_pods_go_on_beside_a_newer_schema_and_start_on_it_unless_a_step_excludes_them(
    hosts: list[Bridge], postgres_url: str, conductor: Conductor
) -> None:
    """The first new process migrates while the old ones work."""
    old, another, excluded = hosts[:3]
    old.start()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE webhook_bridge.events ADD COLUMN of_the_next_version TEXT")
        connection.execute("UPDATE webhook_bridge.store_schema SET number = number + 1")
    name = conductor.register(unique("roll_out"), [wait_for_webhook("wait", {"$.ref": "main"})])
    workflow_id = conductor.start(name)
    conductor.wait_for_task(workflow_id, "wait")
    another.start_relay()
    event_id = accepted(another.github("deploys", {"ref": "main"}))
    [output] = outputs(conductor.wait_for_status(workflow_id), "wait")
    assert output["_webhook"]["eventId"] == event_id
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE webhook_bridge.store_schema SET usable_from = number")
    worker = excluded.start_worker()
    wait_for(lambda: not worker.running, "a worker of the old version ends")
    assert "changed by a newer version of the bridge" in worker.output()
