"""What real programs sent to a relay, byte for byte: tests/platforms/captured, one JSON file for
each program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from platforms import PLATFORMS
from tests.support.relay import Clock, MakeRelay

FOLDER = Path(__file__).with_name("captured")


@dataclass(frozen=True)
class Captured:
    """A request as a program sent it."""

    platform: str
    sender: str
    """The program, its version, and how it was told to send."""
    secret: str
    at: float
    """When, in Unix seconds."""
    method: str
    headers: dict[str, str]
    body: str
    answer: str | None = None
    """The body of the answer that the program took, of a challenge."""


def captured() -> Iterator[Captured]:
    """Everything that was captured."""
    for file in sorted(FOLDER.glob("*.json")):
        written: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for request in written.pop("requests"):
            yield Captured(**written, **request)


CAPTURED = list(captured())


@pytest.mark.parametrize("sent", CAPTURED, ids=lambda sent: f"{sent.platform}-{sent.body[:20]}")
def test_what_a_real_program_sends_is_taken_and_what_is_changed_of_it_is_not(
    sent: Captured, make_relay: MakeRelay, clock: Clock
) -> None:
    clock.now = sent.at
    relay = make_relay(
        {"name": "hook", "platform": sent.platform, "secret": sent.secret},
        {
            "name": "other",
            "platform": sent.platform,
            "secret": sent.secret.swapcase().replace("WHSEC", "whsec"),
        },
    )
    answer = relay.post("hook", sent.body, sent.headers, method=sent.method)
    assert answer.status_code == 200, relay.rejections()
    if sent.answer is not None:
        assert (answer.text, relay.events()) == (sent.answer, [])
    else:
        payload = json.loads(relay.event().payload)
        assert {name: payload[name] for name in json.loads(sent.body)} == json.loads(sent.body)
    assert relay.post("other", sent.body, sent.headers, method=sent.method).status_code == 401
    verifier = PLATFORMS[sent.platform].verifier
    assert verifier is not None
    if "body" in verifier.covers:
        assert (
            relay.post("hook", sent.body + " ", sent.headers, method=sent.method).status_code == 401
        )
