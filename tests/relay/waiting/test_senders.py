"""Deliveries that wait for the end of a workflow: what is answered when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.target_keys import Respond
from relay.waiting.senders import Pending, Waiting, WaitingPlaces, response_to
from store.answers import TOO_LARGE, Answer
from store.delivery_records import AnswerWanted
from store.errors import StoreUnavailable
from tests.support.relay import MakeRelay, Relay
from tools.servers import PATIENCE, eventually

KEY = {"X-Api-Key": "0123456789abcdef"}
ASK = {
    "name": "ask",
    "headers": KEY,
    "dedup": {"header": "X-Id"},
    "respond": {"wait": "60s", "output": "$.reply"},
}


class Sender:
    """A delivery on a thread of its own."""

    def __init__(
        self,
        relay: Relay | FlaskClient,
        body: str = "{}",
        id_: str | None = None,
        headers: Mapping[str, str] = KEY,
    ):
        self._answers: list[TestResponse] = []
        client = relay.app.test_client() if isinstance(relay, Relay) else relay
        sent = {
            "Content-Type": "application/json",
            **headers,
            **({} if id_ is None else {"X-Id": id_}),
        }

        def send() -> None:
            self._answers.append(client.post("/webhook/ask", data=body, headers=sent))

        self._thread = threading.Thread(target=send)
        self._thread.start()

    @property
    def waits(self) -> bool:
        return not self._answers

    def answer(self) -> tuple[int, Any]:
        self._thread.join(PATIENCE)
        (found,) = self._answers
        return found.status_code, found.get_json() if found.is_json else found.get_data(
            as_text=True
        )


def open_events(relay: Relay) -> list[str]:
    return [one.event_id for one in relay.store.answers.open(0)]


def of_worker(
    relay: Relay, body: object = None, outcome: str = "COMPLETED", number: int = 1
) -> list[str]:
    """A worker answers so many events, once they are there; returns their ids."""
    eventually(lambda: len(open_events(relay)) == number)
    ids = open_events(relay)
    text = json.dumps(body) if outcome == "COMPLETED" else None
    relay.store.answers.record([Answer(id_, outcome, "w1", text) for id_ in ids])
    return ids


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("hi ü", "hi ü"),
        ("", ""),
        ({"a": [1, None]}, {"a": [1, None]}),
        (5, 5),
        (None, None),
        (False, False),
    ],
)
def test_the_sender_gets_what_the_workflow_answered(
    make_relay: MakeRelay, body: object, expected: object
) -> None:
    relay = make_relay(ASK)
    sender = Sender(relay)
    of_worker(relay, body)
    assert sender.answer() == (200, expected)


def test_a_delivery_that_is_sent_very_often_takes_few_places(make_relay: MakeRelay) -> None:
    relay = make_relay(ASK)
    senders = [Sender(relay, id_="1")]
    eventually(lambda: open_events(relay))
    senders += [Sender(relay, id_="1") for _ in range(30)]
    eventually(lambda: sum(sender.waits for sender in senders) == 20)
    other = Sender(relay, id_="2")
    of_worker(relay, "hi", number=2)
    assert other.answer() == (200, "hi")
    answers = [sender.answer() for sender in senders]
    assert answers.count((200, "hi")) == 20
    assert sum(status == 202 for status, _ in answers) == 11


def test_duplicates_get_the_same_answer_meanwhile_and_later(make_relay: MakeRelay) -> None:
    relay = make_relay(ASK)
    first = Sender(relay, id_="d1")
    eventually(lambda: relay.store.answers.open(0))
    before = watched_until(relay)
    second = Sender(relay, id_="d1")
    eventually(lambda: watched_until(relay) > before)
    of_worker(relay, "hi")
    assert first.answer() == second.answer() == Sender(relay, id_="d1").answer() == (200, "hi")
    assert len(relay.events()) == 1


def watched_until(relay: Relay) -> int:
    return relay.store.answers.open(0)[0].wait_until


def test_what_is_filtered_and_what_is_refused_does_not_wait(make_relay: MakeRelay) -> None:
    relay = make_relay(ASK | {"only": {"$.type": "question"}})
    filtered = relay.post("ask", "{}", KEY)
    assert (filtered.status_code, filtered.get_json()) == (200, {"filtered": True})
    assert relay.post("ask", "{", KEY).status_code == 400
    assert relay.post("ask", "{}").status_code == 401
    assert relay.events() == []


def test_status_and_media_type_are_the_definitions() -> None:
    respond = Respond.model_validate(
        {"wait": "1s", "output": "$.a", "status": 201, "content_type": "text/html"}
    )
    found = response_to("e1", Answer("e1", "COMPLETED", "w1", '"<b>"'), respond)
    assert (found.status, found.body, found.content_type) == (201, b"<b>", "text/html")
    plain = Respond.model_validate({"wait": "1s", "output": "$.a"})
    for body, expected, content_type in (
        ('"a \\ud800"', b"a ?", "text/plain; charset=utf-8"),
        ('"\\u0000"', b"\0", "text/plain; charset=utf-8"),
        ("[1]", b"[1]", "application/json"),
        ("null", b"null", "application/json"),
    ):
        found = response_to("e1", Answer("e1", "COMPLETED", "w1", body), plain)
        assert (found.status, found.body, found.content_type) == (200, expected, content_type)
        assert ("X-Content-Type-Options", "nosniff") in found.headers


def test_an_answer_that_is_too_large_is_said_to_be() -> None:
    found = response_to(
        "e1", Answer("e1", TOO_LARGE, "w1"), Respond.model_validate({"wait": "1s", "output": "$.a"})
    )
    assert found.status == 502
    fields = json.loads(found.body)
    assert (fields["error"], fields["eventId"], fields["workflowId"]) == (
        "answer_too_large",
        "e1",
        "w1",
    )


# --- when the store is away, the process stops, senders hang up, or too many wait


PENDING = Pending(
    "e1",
    "ask",
    Respond.model_validate({"wait": "60s", "output": "$.a"}),
    AnswerWanted("$.a", 2**60),
    float("inf"),
)


def waiting_for(waiting: Waiting, pending: Pending) -> Callable[[], Answer | None]:
    """One that waits on a thread of its own; returns what gives its answer."""
    found: list[Answer | None] = []
    thread = threading.Thread(target=lambda: found.append(waiting.wait(pending)))
    thread.start()

    def answer() -> Answer | None:
        thread.join(PATIENCE)
        return found[0]

    return answer


def pending(relay: Relay) -> Pending:
    """Of an event that was just accepted, with an hour to wait."""
    assert relay.post("ask", "{}", KEY).status_code == 202
    return replace(PENDING, event_id=relay.event().id, until=time.monotonic() + 3600)


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay(ASK | {"respond": {"wait": "1ms", "output": "$.reply"}})


def test_an_outage_of_the_store_meanwhile_only_takes_time(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pending(relay)
    away = threading.Event()
    tried = threading.Event()
    of_events = relay.store.answers.of_events

    def perhaps(ids: Any, **until: Any) -> Any:
        tried.set()
        if not away.is_set():
            raise StoreUnavailable("away")
        return of_events(ids, **until)

    monkeypatch.setattr(relay.store.answers, "of_events", perhaps)
    waiting = Waiting(relay.store.answers, relay.store.signals)
    answer = waiting_for(waiting, replace(one, is_duplicate=True))
    assert tried.wait(PATIENCE)
    relay.store.answers.record([Answer(one.event_id, "COMPLETED", "w1", "1")])
    away.set()
    found = answer()
    assert found is not None
    assert found.body == "1"
    waiting.stop()


def test_when_too_many_wait_others_are_told_at_once(relay: Relay) -> None:
    one = pending(relay)
    waiting = relay.background.waiting
    waiting.places.most = 5
    answers = [waiting_for(waiting, one) for _ in range(4)]
    eventually(lambda: waiting.waiters == 4)
    assert not waiting.has_room("ask")
    assert waiting.has_room("another")
    assert waiting.wait(one) is None
    full = relay.post("ask", "{}", KEY)
    assert full.status_code == 202
    assert relay.store.answers.waited(full.get_json()["eventId"]) is None, (
        "and no worker watches for it"
    )
    relay.store.answers.record([Answer(one.event_id, "COMPLETED", "w1", "1")])
    assert all(answer() is not None for answer in answers)
    assert waiting.has_room("ask")


def test_a_webhook_may_take_four_fifths_of_the_places_and_leaves_some_to_the_next() -> None:
    places = WaitingPlaces(100)
    taken: list[AbstractContextManager[None]] = []
    counts = {}
    for webhook in "abc":
        before = len(taken)
        while places.has_room(webhook):
            taken.append(places.one(webhook))
            taken[-1].__enter__()
        counts[webhook] = len(taken) - before
    assert counts == {"a": 80, "b": 16, "c": 4}
    for place in taken:
        place.__exit__(None, None, None)
    assert places.has_room("a")
