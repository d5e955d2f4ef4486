"""The network between worker and Conductor is cut while calls are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.bridge import Bridge, started_by, unique
from tools.servers.backends import Conductors
from tools.servers.client import Conductor, set_variable, wait_for
from tools.servers.namespace import Namespace
from tools.servers.processes import Failed

WEBHOOKS = f"""
webhooks:
  - name: starts
    headers: {{X-Api-Key: "${{API_KEY}}"}}
    starts:
      - workflow: {unique("cut_off")}
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    try:
        namespace = Namespace(links=1)
    except Failed as reason:
        pytest.skip(str(reason))
    with namespace:
        yield namespace


@pytest.mark.slow(40)
@pytest.mark.server
def test_calls_that_a_cut_of_the_network_catches_are_made_once(
    new_bridge: Callable[..., Bridge],
    conductor_server: Conductors,
    conductor: Conductor,
    namespace: Namespace,
) -> None:
    """Without the reset the kernel sends a request again when the network is back, after the worker
    has found that it never arrived, and has made it anew."""
    name = conductor.register(unique("cut_off"), [set_variable()])
    url = f"http://{namespace.here[0]}:{conductor_server.port}/api"
    bridge = new_bridge(WEBHOOKS, conductor=url, bridge_call_timeout="5s")
    bridge.worker_within = namespace.within
    bridge.start_worker_alone()
    events: list[str] = []
    for is_killed in (False, False, True):
        events += [bridge.orders("starts", {}) for _ in range(60)]
        bridge.wait_for_event(events[-50], "delivered")
        namespace.set_route("down")
        wait_for(namespace.unsent, "a call is caught")
        if is_killed:
            assert bridge.worker is not None
            bridge.worker.kill()
        # Its connection would be closed by now, but the kernel would go on for another minute and a
        # half.
        wait_for(
            lambda: namespace.unsent() == 0, "nothing of the calls can arrive later", timeout=45
        )
        namespace.set_route("up")
    bridge.start_worker()
    for event in events:
        bridge.wait_for_event(event, "delivered")
    for event in events:  # one that Conductor is just writing may be left out of its answer
        found = wait_for(lambda id_=event: started_by(conductor, name, id_), f"{event} starts")  # type: ignore[misc]
        assert len(found) == 1, (found, bridge.targets(event))
