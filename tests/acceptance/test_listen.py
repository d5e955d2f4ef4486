"""A public bridge and one on a laptop, as real processes: all arrives, in order, whatever is killed
meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.bridge import Bridge, accepted
from tools.servers import PATIENCE
from tools.servers.processes import Child, free_port, start_admin

pytestmark = pytest.mark.long
TOKEN = "the-token-of-the-public-bridge"
NOWHERE = "http://127.0.0.1:1/api"
WEBHOOK = "webhooks: [{name: orders, platform: github, secret: '${GITHUB_SECRET}', receivers: {f: any}MORE}]\n"


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Bridge]:
    definitions = WEBHOOK.replace("MORE", ", listen: true")
    bridge = Bridge(tmp_path / "public", NOWHERE, definitions, bridge_admin_token=TOKEN)
    yield bridge
    bridge.stop()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Bridge]:
    bridge = Bridge(
        tmp_path / "laptop", NOWHERE, WEBHOOK.replace("MORE", ""), bridge_listen_token=TOKEN
    )
    yield bridge
    bridge.stop()


def sent_to(bridge: Bridge) -> dict[str | None, str]:
    """Delivery id → payload, in the order of arrival."""
    return {event.delivery_id: event.payload for event in reversed(bridge.events("orders"))}


def test_deliveries_reach_the_laptop_in_order_whatever_is_killed_meanwhile(
    public: Bridge, laptop: Bridge
) -> None:
    port = free_port()

    def deliver(*numbers: int) -> None:
        for number in numbers:
            payload = {"n": number}
            accepted(public.github("orders", payload))

    def started(child: Child) -> Child:
        stack.callback(child.kill)
        return child

    def admin_page() -> Child:
        return started(
            start_admin(public.environment, public.folder / "admin.log", port, public.folder)
        )

    def listen(since: str) -> Child:
        """The command, once it has begun or said why not."""
        program = str(Path(sys.executable).with_name("webhook-bridge"))
        forward = ("--forward", f"{laptop.url}/webhook/orders", "--from", since)
        command = [program, "listen", f"http://127.0.0.1:{port}", *forward]
        child = started(
            Child(
                "listen", command, laptop.folder / "listen.log", laptop.environment, laptop.folder
            )
        )
        child.wait_until(lambda: "Listening to" in child.output())
        return child

    def has_all(number: int) -> bool:
        return [json.loads(payload)["n"] for payload in sent_to(laptop).values()] == [
            *range(number)
        ]

    with ExitStack() as stack:
        public.start_relay()
        admin, relay = admin_page(), laptop.start_relay()
        deliver(0)
        listener = listen("last")
        listener.wait_until(lambda: has_all(1))

        relay.kill()
        deliver(*range(1, 6))
        listener.wait_until(lambda: "The local bridge is down" in listener.output())
        laptop.start_relay()
        listener.wait_until(lambda: has_all(6))

        admin.kill()
        deliver(*range(6, 11))
        listener.wait_until(lambda: "The public bridge is down" in listener.output())
        admin_page()
        listener.wait_until(lambda: has_all(11))

        last = [line.split()[2] for line in listener.output().splitlines() if "  POST  " in line][
            -1
        ]
        listener.kill()
        deliver(*range(11, 16))
        listener = listen(last)
        listener.wait_until(lambda: has_all(16))
        first = next(line for line in listener.output().splitlines() if last in line)
        assert "duplicate true" in first, (
            "at least once: what was answered last comes again, and has no effect"
        )

        listener.signal(2)
        assert listener.process.wait(PATIENCE) == 0
        assert "to go on after it: --from" in listener.output()
        assert sent_to(laptop) == sent_to(public)
