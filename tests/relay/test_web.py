"""The edge to HTTP: several requests' answers are made before any of them is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from tests.relay.bridge import MakeRelay, Relay

PLAIN = {"name": "plain", "headers": {"X-Api-Key": "0123456789abcdef"}}
OK = {"X-Api-Key": "0123456789abcdef"}


class Exchange:
    """One call of the application."""

    def __init__(self, relay: Relay, webhook: str, body: bytes, headers: dict[str, str]):
        builder = EnvironBuilder(
            f"/webhook/{webhook}", method="POST", data=body, headers={"Content-Type": "application/json", **headers}
        )
        self.status = ""
        self.answer: Any = relay.app(builder.get_environ(), self._start)

    def _start(self, status: str, headers: object, exc_info: object = None) -> Any:
        self.status = status

    def text(self) -> bytes:
        """The answer's body."""
        try:
            return b"".join(self.answer)
        finally:
            self.answer.close()


def test_what_came_together_is_committed_together_and_each_gets_its_own_answer(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"dedup": {"header": "X-Id"}})
    one, again, other = (Exchange(relay, "plain", b'{"n": 1}', OK | {"X-Id": id_}) for id_ in ("1", "1", "2"))
    wrong, broken = Exchange(relay, "plain", b"{}", {}), Exchange(relay, "plain", b"{", OK)
    assert relay.events() == []

    bodies = [json.loads(exchange.text()) for exchange in (again, one, other, wrong, broken)]

    first, second = (event.id for event in relay.events())
    assert bodies[:3] == [{"eventId": first, "duplicate": True}, {"eventId": first}, {"eventId": second}]
    statuses = [exchange.status[:3] for exchange in (one, again, other, wrong, broken)]
    assert statuses == ["200", "200", "200", "401", "400"]


def test_an_answer_that_nobody_asks_for_leaves_no_event_uncommitted(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    exchange = Exchange(relay, "plain", b'{"n": 1}', OK)
    exchange.answer.close()
    assert relay.payloads()[0]["n"] == 1


def test_a_store_that_fails_then_is_no_loss(make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = make_relay(PLAIN)
    both = [Exchange(relay, "plain", b"{}", OK) for _ in range(2)]

    def fails(group: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(relay.store, "_commit", fails)
        assert [json.loads(one.text())["error"] for one in both] == ["unavailable", "unavailable"]
    assert [one.status[:3] for one in both] == ["503", "503"]
    assert relay.events() == []


def test_one_that_may_have_to_fetch_a_key_does_nothing_before_it_is_asked(make_relay: MakeRelay) -> None:
    fetched = []

    def fetch(url: str, fresh: bool = False) -> bytes:
        fetched.append(url)
        return b"no certificate"

    relay = make_relay({"name": "topic", "platform": "aws-sns"}, fetch=fetch)
    message = {
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": "m",
        "Timestamp": "2025-10-09T08:53:20.000Z", "SignatureVersion": "2", "Signature": "AAAA",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
    }  # fmt: skip
    exchange = Exchange(relay, "topic", json.dumps(message).encode(), {})
    assert exchange.answer.may_wait
    assert fetched == []
    assert json.loads(exchange.text())["error"] == "unauthorized"
    assert len(fetched) == 1
