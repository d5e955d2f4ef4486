"""Who may listen to which deliveries, from where on, and how much an answer has."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from admin.page.app import create_app
from store.delivery_records import RawDelivery
from store.records import NewEvent, new_event_id
from store.rules import eviction
from store.sql.raw_deliveries import LISTENED
from tests.support.sample import DEFINITIONS, Sample, make_sample

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"
URL = "/api/webhooks/github-deploys/deliveries"


@pytest.fixture
def public(tmp_path: Path) -> Sample:
    """A public bridge with one webhook that may be listened to."""
    sample = make_sample(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)
    text = DEFINITIONS.replace("platform: github\n", "platform: github\n    listen: true\n")
    (tmp_path / "webhooks.yaml").write_text(text, encoding="utf-8")
    return sample


@pytest.fixture
def client(public: Sample) -> FlaskClient:
    return create_app(public.settings).test_client()


def arrive(sample: Sample, body: bytes = b'{"a": 1}', minutes_ago: float = 0) -> str:
    """A delivery that is kept; the id of its event."""
    at = sample.store.now() - int(minutes_ago * 60_000)
    headers = {"x-hub-signature-256": "sha256=\xfc", "x-number": "1"}
    raw = RawDelivery("", "github-deploys", "accepted", at, query="x=1", headers=headers, body=body)
    event = NewEvent(new_event_id(), "github-deploys", at, "{}", {}, {}, at, raw=raw)
    sample.store.deliveries.append([event])
    return event.id


def ask(
    client: FlaskClient, code: int = 200, token: str = ADMIN, url: str = URL, **query: Any
) -> Any:
    answer = client.get(url, headers={"Authorization": f"Bearer {token}"}, query_string=query)
    assert answer.status_code == code, answer.text
    return answer.get_json()


def ids(answer: Any) -> list[str]:
    return [delivery["eventId"] for delivery in answer["deliveries"]]


def test_only_admins_may_listen(client: FlaskClient, public: Sample) -> None:
    arrive(public)
    assert client.get(URL).status_code == 401
    assert "read-only" in ask(client, 403, VIEWER)["message"]
    assert "read-only" in ask(client, 403, VIEWER, **{"from": "last"})["message"]


def test_only_a_webhook_that_says_so_can_be_listened_to(client: FlaskClient) -> None:
    assert "add listen: true" in ask(client, 409, url="/api/webhooks/orders/deliveries")["message"]
    assert (
        "no webhook nothing" in ask(client, 404, url="/api/webhooks/nothing/deliveries")["message"]
    )


def test_a_delivery_is_given_as_it_came(client: FlaskClient, public: Sample) -> None:
    event_id = arrive(public, b'\x00{"a": 1}\xff')
    answer = ask(client, **{"from": "last"})
    [delivery] = answer["deliveries"]
    assert base64.b64decode(delivery.pop("body")) == b'\x00{"a": 1}\xff'
    at = delivery.pop("receivedAt")
    assert at.endswith("Z")
    assert delivery == {
        "id": answer["next"],
        "eventId": event_id,
        "method": "POST",
        "query": "x=1",
        "headers": {"x-hub-signature-256": "sha256=\xfc", "x-number": "1"},
    }
    assert answer["webhook"] == "github-deploys"


def test_without_a_place_to_begin_only_what_comes_from_now_on_is_given(
    client: FlaskClient, public: Sample
) -> None:
    begin = ask(client)
    assert begin == {"webhook": "github-deploys", "next": 0, "missed": False, "deliveries": []}
    first = arrive(public)
    assert ids(ask(client, after=begin["next"])) == [first]
    begin = ask(client)
    assert begin["deliveries"] == []
    second = arrive(public)
    answer = ask(client, after=begin["next"])
    assert ids(answer) == [second]
    rest = ask(client, after=answer["next"])
    assert (rest["next"], rest["missed"], rest["deliveries"]) == (answer["next"], False, [])


def test_a_place_to_begin_is_the_newest_an_event_or_a_while_ago(
    client: FlaskClient, public: Sample
) -> None:
    events = [arrive(public, minutes_ago=ago) for ago in (50, 30, 10)]
    assert ids(ask(client, **{"from": "last"})) == events[2:]
    assert ids(ask(client, **{"from": events[1]})) == events[1:]
    assert ids(ask(client, **{"from": events[0][:-1]})) == events
    assert ids(ask(client, **{"from": "40m"})) == events[1:]
    assert ids(ask(client, **{"from": "2h"})) == events
    assert ids(ask(client, **{"from": "1m"})) == []
    assert "left an event 01935c2e" in ask(client, 404, **{"from": "01935c2e"})["message"]


@pytest.mark.parametrize("after", ["-1", "a", "1.5", "9" * 19, "٣"])
def test_what_is_no_number_is_refused(client: FlaskClient, after: str) -> None:
    ask(client, 400, after=after)
    ask(client, 400, since="2h")


def test_an_answer_has_a_bounded_number_of_bytes(
    client: FlaskClient, public: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "READ_AT_ONCE", 200)
    # And 39 bytes of headers and query.
    events = [arrive(public, b"x" * size) for size in (40, 60, 1, 500, 2)]
    found, after = [], 0
    for _ in range(4):
        answer = ask(client, after=after)
        found.append(ids(answer))
        after = answer["next"]
    assert found == [events[:2], events[2:3], events[3:4], events[4:]]


def test_what_is_no_longer_kept_is_said_and_only_that(client: FlaskClient, public: Sample) -> None:
    begin = ask(client)["next"]
    events = [arrive(public, minutes_ago=ago) for ago in (70, 30, 20, 10)]
    assert (ids(ask(client, after=begin)), ask(client, after=begin)["missed"]) == (
        events[1:],
        True,
    ), "one is too old"
    public.store.raw_deliveries.prune("github-deploys", {"accepted": replace(LISTENED, number=2)})
    answer = ask(client, after=begin)
    assert (ids(answer), answer["missed"]) == (events[2:], True)
    assert not ask(client, after=answer["deliveries"][0]["id"])["missed"]
    assert ask(client, **{"from": "40m"})["missed"]
    assert not ask(client, **{"from": "25m"})["missed"]
    assert not ask(client, **{"from": "last"})["missed"]
    public.store.raw_deliveries.prune("github-deploys", {"accepted": replace(LISTENED, age=60_000)})
    answer = ask(client)
    assert answer["deliveries"] == []
    assert not ask(client, after=answer["next"])["missed"], "who begins now has missed nothing"


def test_who_listens_goes_on_when_the_store_is_restored_to_lower_numbers(
    client: FlaskClient, public: Sample
) -> None:
    """PostgreSQL's numbers follow its transactions, which another server counts from lower on."""
    kept = [arrive(public), arrive(public)]
    begin = ask(client, after=10**15)
    assert (begin["deliveries"], begin["next"], begin["missed"]) == ([], 0, True)
    assert ids(ask(client, after=begin["next"])) == kept
