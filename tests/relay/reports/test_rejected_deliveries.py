"""Rejected deliveries of webhooks with `keep_rejected`: what is kept of them, and how little a
flood costs."""

from __future__ import annotations

from typing import Any

import pytest

from relay.reports import raw_deliveries
from store.delivery_records import RawDelivery
from store.errors import StoreUnavailable
from tests.support.relay import MakeRelay, Relay
from tools.demo import signing

SECRET = "0123456789abcdef-wrong"
HUB: dict[str, Any] = {"name": "hub", "platform": "github", "secret": SECRET, "keep_rejected": 100}
BODY = b'{"ref": "main"}'


def post(relay: Relay, body: bytes = BODY, remote: str = "127.0.0.1", **headers: str) -> None:
    given = signing.github("another secret", body, "d-1") | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    assert relay.post("hub", body, given, environ_base={"REMOTE_ADDR": remote}).status_code == 401


def kept(relay: Relay) -> list[RawDelivery]:
    relay.background.outcomes.flush()
    relay.background.keeper.prune()
    return relay.store.raw_deliveries.next_rejected("hub", 0, limit=1000)


def test_a_refused_delivery_is_kept_as_it_came(make_relay: MakeRelay) -> None:
    relay = make_relay(HUB, bridge_public_url="https://hooks.example.com")
    given = signing.github("another secret", BODY, "d-1")
    before = relay.store.now()
    relay.client.post("/api/webhook/hub?a=%00b", data=BODY, headers=given)
    (one,) = kept(relay)
    assert (one.webhook, one.status, one.method, one.body, one.query) == (
        "hub",
        401,
        "POST",
        BODY,
        "a=%00b",
    )
    assert (one.path, one.url) == ("/api/webhook/", "http://localhost/api/webhook/hub")
    assert before <= one.at <= relay.store.now()
    assert one.headers["x-hub-signature-256"] == given["X-Hub-Signature-256"]
    assert one.headers["x-github-event"] == "push"
    (rejection,) = relay.rejections()
    assert rejection.kept_id == one.id
    assert rejection.reason == one.reason


def test_without_the_key_nothing_is_kept(make_relay: MakeRelay) -> None:
    relay = make_relay({name: value for name, value in HUB.items() if name != "keep_rejected"})
    post(relay)
    assert kept(relay) == []
    assert [one.kept_id for one in relay.rejections()] == [None]


def test_what_is_refused_before_its_body_is_read_or_for_its_form_is_not_kept(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(HUB | {"allow_ips": ["192.0.2.0/24"], "max_body": "1KB"})
    assert relay.post("hub", BODY).status_code == 403
    allowed = {"REMOTE_ADDR": "192.0.2.1"}
    assert relay.post("hub", bytes(2000), environ_base=allowed).status_code == 413
    signed = signing.github(SECRET, b"{", "d-1")
    assert relay.post("hub", b"{", signed, environ_base=allowed).status_code == 400
    assert relay.client.put("/webhook/hub", data=BODY, environ_base=allowed).status_code == 405
    assert kept(relay) == []


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "X-Api-Key",
        "X-Auth-Token",
        "X_Access_Key",
        "Api-Password",
    ],
)
def test_a_header_that_may_hold_a_secret_is_not_kept(name: str, make_relay: MakeRelay) -> None:
    relay = make_relay(HUB)
    post(relay, **{name: "nearly-the-token"})
    (one,) = kept(relay)
    assert "nearly-the-token" not in repr(one)


@pytest.mark.parametrize(("header", "number"), [("X-Dedup-Key", 1), ("Authorization", 0)])
def test_the_header_that_tells_deliveries_apart_is_kept_or_else_nothing(
    header: str, number: int, make_relay: MakeRelay
) -> None:
    relay = make_relay(HUB | {"dedup": {"header": header}})
    post(relay, **{header: "number-1"})
    found = kept(relay)
    assert len(found) == number
    assert all(one.headers[header.lower()] == "number-1" for one in found)


@pytest.mark.parametrize(
    "place", ["header", "query", "quoted query", "body", "escaped body", "form", "lower form"]
)
def test_a_delivery_with_the_secret_itself_is_not_kept(place: str, make_relay: MakeRelay) -> None:
    secret = "whsec_/0123456789abcdef"
    relay = make_relay(HUB | {"secret": ["another-0123456789", secret]})
    query = {"query": f"?s={secret}", "quoted query": "?s=whsec_%2F0123456789abcdef"}.get(place, "")
    headers = {"X-Hub": f"my {secret}"} if place == "header" else {}
    given = secret.removeprefix("whsec_")
    bodies = {
        "body": given,
        "escaped body": given.replace("/", "\\/"),
        "form": given.replace("/", "%2F"),
    }
    bodies["lower form"] = given.replace("/", "%2f")
    body = f'{{"a": "{bodies[place]}"}}' if place in bodies else BODY
    assert relay.client.post(f"/webhook/hub{query}", data=body, headers=headers).status_code == 401
    assert kept(relay) == []
    assert len(relay.rejections()) == 1


def test_a_challenge_that_is_refused_is_not_kept_as_it_may_carry_a_token(
    make_relay: MakeRelay,
) -> None:
    facebook = HUB | {
        "name": "hub",
        "platform": "facebook",
        "verify_token": "0123456789abcdef-token",
    }
    relay = make_relay(facebook)
    query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=0123456789abcdef-tokem"
    assert relay.client.get(f"/webhook/hub?{query}").status_code in (401, 403)
    assert kept(relay) == []


def test_a_flood_is_kept_in_small_part_and_leaves_room_for_others(make_relay: MakeRelay) -> None:
    relay = make_relay(HUB)
    for number in range(50):
        post(relay, b'{"flood": %d}' % number, "198.51.100.1")
    post(relay, BODY, "192.0.2.1")
    found = kept(relay)
    assert len(found) == raw_deliveries.A_SENDER + 1
    assert found[-1].body == BODY


def test_many_senders_are_bounded_together(make_relay: MakeRelay) -> None:
    relay = make_relay(HUB)
    for number in range(2 * raw_deliveries.A_WEBHOOK):
        post(relay, BODY, f"192.0.2.{number}")
    assert len(kept(relay)) == raw_deliveries.A_WEBHOOK


def test_large_ones_are_listed_without_their_bytes(make_relay: MakeRelay) -> None:
    relay = make_relay(HUB)
    post(relay, bytes(raw_deliveries.LARGEST + 1))
    third = bytes(raw_deliveries.UNWRITTEN // 3)
    for number in range(4):
        post(relay, third, f"192.0.2.{number}")
    assert len(kept(relay)) == 2
    assert len(relay.rejections()) == 5


def test_no_more_are_kept_than_the_definition_says(make_relay: MakeRelay) -> None:
    relay = make_relay(HUB | {"keep_rejected": 2})
    for number in range(4):
        post(relay, b'{"n": %d}' % number)
    assert [one.body for one in kept(relay)] == [b'{"n": 2}', b'{"n": 3}']


def test_what_the_store_cannot_take_is_dropped_and_the_reasons_are_kept(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(HUB)

    def fails(*_: object) -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(relay.store.raw_deliveries, "keep", fails)
        post(relay)
        assert len(relay.rejections()) == 1
    assert kept(relay) == []
    post(relay)
    assert len(kept(relay)) == 1
