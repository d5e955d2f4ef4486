"""A public bridge and one on a laptop, as real processes: all arrives, in order, whatever is killed meanwhile."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Signer

from store.open import open_store
from store.records import Event
from store.sql.event_search import EventFilter
from testkit import PATIENCE
from testkit.processes import Child, bridge_environment, free_port, start_admin, start_relay

pytestmark = pytest.mark.long
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "the-token-of-the-public-bridge"


@dataclass
class Bridge:
    """One bridge: relay and, if it is public, admin page."""

    folder: Path
    definition: dict[str, Any]
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        webhook = {"name": "orders", "platform": "standard-webhooks", "secret": SECRET, "receivers": {"f": "any"}}
        (self.folder / "webhooks.yaml").write_text(json.dumps({"webhooks": [webhook | self.definition]}))

    @property
    def environment(self) -> dict[str, str]:
        return bridge_environment(
            bridge_webhooks=str(self.folder / "webhooks.yaml"),
            bridge_database=f"sqlite:///{self.folder / 'bridge.db'}",
            bridge_relay_metrics="off",
            bridge_admin_token=TOKEN,
            port=str(self.port),
            web_concurrency="2",
        )

    def relay(self) -> Child:
        return start_relay(self.environment, self.folder / "relay.log", self.folder)

    def admin(self) -> Child:
        return start_admin(self.environment, self.folder / "admin.log", self.admin_port, self.folder)

    def events(self) -> list[Event]:
        """The oldest first."""
        store = open_store(f"sqlite:///{self.folder / 'bridge.db'}")
        try:
            return store.queries.events(EventFilter(limit=1000))[::-1]
        finally:
            store.close()

    def numbers(self) -> list[int]:
        return [json.loads(event.payload)["n"] for event in self.events()]


def deliver(bridge: Bridge, number: int) -> None:
    """As the sender's own library signs it."""
    body, now = json.dumps({"n": number}), datetime.now(timezone.utc)
    headers = {
        "content-type": "application/json",
        "webhook-id": f"msg_{number}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(SECRET).sign(f"msg_{number}", now, body),
    }
    request = urllib.request.Request(f"http://127.0.0.1:{bridge.port}/webhook/orders", body.encode(), headers)
    assert urllib.request.urlopen(request, timeout=PATIENCE).status == 200


@dataclass
class Bridges:
    """Both, and what listens."""

    public: Bridge
    laptop: Bridge

    def listen(self, *arguments: str) -> Child:
        """The command, once it has begun or said why not."""
        listener = Child(
            "listen",
            [
                *(
                    str(Path(sys.executable).with_name("webhook-bridge")),
                    "listen",
                    f"http://127.0.0.1:{self.public.admin_port}",
                ),
                *("--forward", f"http://127.0.0.1:{self.laptop.port}/webhook/orders", *arguments),
            ],
            self.laptop.folder / "listen.log",
            {**self.laptop.environment, "BRIDGE_LISTEN_TOKEN": TOKEN},
            self.laptop.folder,
        )
        listener.wait_until(lambda: "Listening to" in listener.output())
        return listener


@pytest.fixture
def bridges(tmp_path: Path) -> Iterator[Bridges]:
    yield Bridges(Bridge(tmp_path / "public", {"listen": True}), Bridge(tmp_path / "laptop", {}))


def wait(child: Child, ready: Callable[[], bool]) -> None:
    child.wait_until(ready)


def test_deliveries_reach_the_laptop_in_order_whatever_is_killed_meanwhile(bridges: Bridges) -> None:
    public, laptop = bridges.public, bridges.laptop
    with ExitStack() as stack:

        def started(child: Child) -> Child:
            stack.callback(child.kill)
            return child

        started(public.relay())
        admin = started(public.admin())
        relay = started(laptop.relay())
        deliver(public, 0)
        listener = started(bridges.listen("--from", "last"))
        wait(listener, lambda: laptop.numbers() == [0])

        relay.kill()
        for number in range(1, 6):
            deliver(public, number)
        wait(listener, lambda: "The local bridge is down" in listener.output())
        relay = started(laptop.relay())
        wait(listener, lambda: laptop.numbers() == [*range(6)])

        admin.kill()
        for number in range(6, 11):
            deliver(public, number)
        wait(listener, lambda: "The public bridge is down" in listener.output())
        admin = started(public.admin())
        wait(listener, lambda: laptop.numbers() == [*range(11)])

        last = [line.split()[2] for line in listener.output().splitlines() if "->" in line][-1]
        listener.kill()
        for number in range(11, 16):
            deliver(public, number)
        listener = started(bridges.listen("--from", last))
        wait(listener, lambda: laptop.numbers() == [*range(16)])
        first = next(line for line in listener.output().splitlines() if last in line)
        assert "duplicate true" in first, "at least once: what was answered last comes again, and has no effect"

        listener.signal(2)
        assert listener.process.wait(PATIENCE) == 0
        assert "to go on after it: --from" in listener.output()
        sent = {event.delivery_id: event.payload for event in public.events()}
        assert {event.delivery_id: event.payload for event in laptop.events()} == sent
