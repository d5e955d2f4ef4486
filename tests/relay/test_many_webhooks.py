"""What a delivery costs doesn't depend on the number of webhooks."""

from __future__ import annotations

import hmac
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from werkzeug.test import EnvironBuilder

from tests.relay.bridge import MakeRelay, Relay

SECRET = "a-secret-of-github-0123456789"


@contextmanager
def counted_bytecodes() -> Iterator[list[int]]:
    """A list whose only item is the number of Python's bytecodes that this thread executes meanwhile."""
    count = [0]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count[0] += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def cost_of_a_delivery(relay: Relay) -> int:
    """Bytecodes of an accepted delivery, and of counting it in the store."""
    found = []
    for number in range(5):  # the first ones fill caches
        body = json.dumps({"number": number, "ref": "refs/heads/main"}).encode()
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
        headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
        environ = EnvironBuilder("/webhook/pushes", method="POST", data=body, headers=headers).get_environ()
        with counted_bytecodes() as count:
            answer = b"".join(relay.app.wsgi_app(environ, lambda *_: None))
            relay.background.outcomes.flush()
        assert "eventId" in json.loads(answer)
        found.append(count[0])
    return min(found)


def test_a_delivery_takes_as_many_steps_among_hundreds_of_webhooks_as_alone(make_relay: MakeRelay) -> None:
    one = {"name": "pushes", "platform": "github", "secret": SECRET}
    others = [
        {"name": f"other-{number}", "headers": {"X-Key": f"a-key-of-one-{number:09}"}, "only": {f"$.a{number}": 1}}
        for number in range(300)
    ]
    among = cost_of_a_delivery(make_relay(*others[:150], one, *others[150:]))
    # What else goes on in the process adds a few steps to either, but less than one for each webhook would.
    assert abs(among - cost_of_a_delivery(make_relay(one))) < len(others) / 2
