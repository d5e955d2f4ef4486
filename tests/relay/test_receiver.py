"""The HTTP contract: which request gets which answer, and what is noted of it."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest

from store.errors import StoreUnavailable
from store.records import Committed
from store.sqlite.deliveries import SqliteDeliveries
from tests.support.receiving import GITHUB, KEY, OK, PLAIN, error_of, signed
from tests.support.relay import NOW, Clock, MakeRelay


def test_an_accepted_delivery_is_committed_before_its_answer(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(PLAIN | {"hold": "10s"})
    response = relay.post("plain", '{"a": 1}', OK | {"X-Other": "b"}, query_string="q=1")
    event = relay.event()
    assert (response.status_code, response.get_json()) == (200, {"eventId": event.id})
    assert (event.webhook, event.received_at, event.hold_until) == (
        "plain",
        NOW * 1000,
        NOW * 1000 + 10_000,
    )
    assert json.loads(event.payload) == {"a": 1, "q": "1"}
    assert event.query == {"q": "1"}
    assert event.headers["x-other"] == "b"
    assert event.headers["content-type"] == "application/json"
    assert event.status == "pending"


def test_an_event_keeps_who_sent_it_and_how_it_was_verified(make_relay: MakeRelay) -> None:
    both = GITHUB | {"name": "both", "headers": {"X-Api-Key": KEY}}
    nothing = {"name": "nothing", "verifier": "none"}
    relay = make_relay(PLAIN, GITHUB, both, nothing)
    found = {}
    for name, headers in (
        ("plain", OK),
        ("push", signed(b"{}")),
        ("both", OK | signed(b"{}")),
        ("nothing", {}),
    ):
        event_id = relay.post(name, "{}", headers).get_json()["eventId"]
        origins = relay.store.acknowledgements.origins(event_id)
        assert origins is not None
        assert origins.remote == "127.0.0.1"
        found[name] = origins.proof
    assert found == {
        "plain": "the header X-Api-Key",
        "push": "the signature in X-Hub-Signature-256",
        "both": "the header X-Api-Key and the signature in X-Hub-Signature-256",
        "nothing": None,
    }


def test_a_delivery_id_that_comes_again_is_a_duplicate(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB, GITHUB | {"name": "other"})
    headers = signed(b"{}") | {"X-GitHub-Delivery": "d-1"}
    first = relay.post("push", "{}", headers).get_json()["eventId"]
    for _ in range(2):
        response = relay.post("push", "{}", headers)
        assert (response.status_code, response.get_json()) == (
            200,
            {"eventId": first, "duplicate": True},
        )
    # Ids are the webhook's own.
    assert relay.post("other", "{}", headers).get_json()["eventId"] != first
    assert len(relay.events()) == 2


def test_a_webhook_may_have_another_id_in_its_url(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"id": "7f3kq"})
    assert relay.post("7f3kq", "{}", OK).status_code == 200
    assert relay.post("plain", "{}", OK).status_code == 404
    assert relay.event().webhook == "plain"


def test_conductors_documented_route_is_the_same_webhook(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"challenge": "token"})
    answered = relay.client.post(
        "/api/webhook/plain", data="{}", headers=OK, content_type="application/json"
    )
    assert answered.get_json() == {"eventId": relay.event().id}
    assert relay.client.get("/api/webhook/plain?token=abc").text == "abc"
    assert error_of(relay.client.post("/api/webhook/nobody")) == "not_found"
    assert error_of(relay.client.post("/api/webhook")) == "not_found"


def test_a_signed_url_is_the_one_of_the_route_that_was_called(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "square", "platform": "square", "secret": "key"},
        bridge_public_url="https://x.example",
    )

    def post(path: str, signed: str, body: bytes) -> int:
        digest = hmac.new(b"key", f"https://x.example{signed}".encode() + body, "sha256").digest()
        headers = {"X-Square-HmacSha256-Signature": base64.b64encode(digest).decode()}
        return relay.client.post(
            path, data=body, headers=headers, content_type="application/json"
        ).status_code

    for number, path in enumerate(("/webhook/square", "/api/webhook/square")):
        assert post(path, path, b'{"event_id": "%d"}' % number) == 200
    assert post("/api/webhook/square", "/webhook/square", b'{"event_id": "2"}') == 401
    assert post("/webhook/square", "/api/webhook/square", b'{"event_id": "3"}') == 401


def test_an_unknown_id_is_not_found(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    for method in ("POST", "GET", "PUT"):
        assert error_of(relay.client.open("/webhook/nobody", method=method)) == "not_found"
    assert error_of(relay.client.post("/webhook/plain/more")) == "not_found"
    unknown = [
        f"no webhook has the URL /webhook/{name}"
        for name in ("plain", "nobody", "nobody", "nobody")
    ]
    assert [(one.webhook, one.reason) for one in relay.rejections()] == [
        ("", reason) for reason in unknown
    ]
    assert relay.store.queries.delivery_counts(0)[""] == {"unknown": 4}


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_another_method_is_not_allowed(method: str, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", "{}", OK, method=method)
    assert (response.status_code, error_of(response), response.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "POST",
    )
    response = relay.client.open("/healthz", method=method)
    assert response.status_code == (200 if method == "GET" else 405)
    assert [one.reason for one in relay.rejections()] == [f"the method {method}; use POST"], (
        "what is counted is listed"
    )
    assert relay.store.queries.delivery_counts(0)["plain"] == {"rejected": 1}


def test_what_is_not_proven_is_unauthorized_and_told_nothing(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    answers = {
        relay.post("plain", body, headers).data
        for body, headers in (("{}", {}), ("{", {"X-Api-Key": "x"}))
    }
    assert answers == {
        b'{"error": "unauthorized", "message": "the delivery could not be verified"}'
    }
    assert [rejection.reason for rejection in relay.rejections()] == [
        "the header x-api-key has another value",
        "the header x-api-key is missing",
    ]
    assert relay.verified() == set()


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("192.0.2.7", 200),
        ("::ffff:192.0.2.7", 200),
        ("192.0.3.7", 403),
        ("2001:db8::1", 200),
        ("2001:db9::1", 403),
        ("", 403),
        ("nonsense", 403),
    ],
)
def test_only_allowed_addresses_may_post(remote: str, status: int, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"allow_ips": ["192.0.2.0/24", "2001:db8::/32"]})
    response = relay.post("plain", "{}", OK, environ_base={"REMOTE_ADDR": remote})
    assert response.status_code == status
    if status == 403:
        assert error_of(response) == "forbidden"
        (rejection,) = relay.rejections()
        assert (rejection.status, rejection.reason) == (403, "the address is not in allow_ips")


def test_a_store_that_cannot_be_written_is_no_loss(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(PLAIN)

    def fails(*_: object) -> None:
        raise StoreUnavailable("database or disk is full")

    monkeypatch.setattr(relay.store.deliveries, "append", fails)
    response = relay.post("plain", "{}", OK)
    assert (response.status_code, error_of(response)) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert relay.post("plain", "{}", OK).status_code == 200


def test_a_bug_of_ours_is_no_loss_and_no_500(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(PLAIN)

    def fails(*_: object) -> list[Committed]:
        raise ZeroDivisionError

    monkeypatch.setattr(relay.store.deliveries, "append", fails)
    assert relay.post("plain", "{}", OK).status_code == 503
    relay = make_relay(PLAIN)
    monkeypatch.setattr(SqliteDeliveries, "check_writable", fails)
    assert relay.another_process().get("/readyz").status_code == 503


def test_headers_that_carry_secrets_are_left_out(make_relay: MakeRelay) -> None:
    own = {"secret": "third-0123456789", "header": "X-Own"}
    relay = make_relay(GITHUB | {"headers": {"X-Api-Key": KEY}, "signature": own})
    body = b"{}"
    secret = {
        "Authorization": "Bearer x",
        "Proxy-Authorization": "Basic x",
        "Cookie": "a=b",
        "X-Other-Signature": "x",
        "X-SIGNATURE-ED25519": "x",
        "X-Own": hmac.new(b"third-0123456789", body, "sha256").hexdigest(),
    }
    response = relay.post(
        "push", body, signed(body) | OK | secret | {"X-Kept": "é".encode().decode("latin-1")}
    )
    assert response.status_code == 200
    headers = relay.event().headers
    assert headers["x-kept"] == "é"
    assert not {name.lower() for name in (*secret, *OK, *signed(body))} & set(headers)


def test_dedup_by_header_and_by_path(make_relay: MakeRelay) -> None:
    relay = make_relay(
        PLAIN | {"name": "header", "dedup": {"header": "X-Id"}},
        PLAIN | {"name": "path", "dedup": {"path": "$.a.id"}},
    )
    for name, body, more in (
        ("header", "{}", {"X-Id": "1"}),
        ("path", '{"a": {"id": 1}}', {}),
        ("path", '{"a": {"id": {"b": "\\ud800"}}}', {}),
        ("path", '{"a": {"id": "' + "x" * 5000 + '"}}', {}),
    ):
        assert "duplicate" not in relay.post(name, body, OK | more).get_json()
        assert relay.post(name, body, OK | more).get_json()["duplicate"] is True
    assert all(len(event.delivery_id or "") < 300 for event in relay.events())
    for name, body in (("header", "{}"), ("path", "{}"), ("path", '{"a": {"id": null}}')):
        assert "duplicate" not in relay.post(name, body, OK).get_json()


def test_split_makes_an_event_of_each_element(make_relay: MakeRelay) -> None:
    relay = make_relay(
        PLAIN | {"split": True, "dedup": {"path": "$.id"}}, PLAIN | {"name": "whole"}
    )
    first = relay.post("plain", '[{"id": 1}, {"id": 2}, "x"]', OK).get_json()
    assert list(first) == ["eventIds"]
    assert [event.id for event in relay.events()] == first["eventIds"]
    assert relay.payloads() == [{"id": 1}, {"id": 2}, {"request": "x"}]
    again = relay.post("plain", '[{"id": 2}, {"id": 3}]', OK).get_json()
    assert again["eventIds"][0] == first["eventIds"][1]
    assert "duplicate" not in again
    assert relay.post("plain", '[{"id": 2}]', OK).get_json() == {
        "eventIds": [first["eventIds"][1]],
        "duplicate": True,
    }
    assert relay.post("plain", "[]", OK).get_json() == {"eventIds": []}
    assert len(relay.post("plain", '{"id": 9}', OK).get_json()["eventIds"]) == 1
    assert relay.post("plain", json.dumps([0] * 10_001), OK).status_code == 400
    assert relay.post("whole", "[1, 2]", OK).status_code == 200
    assert relay.payloads()[-1] == {"request": [1, 2]}
    relay.background.outcomes.flush()
    assert relay.store.queries.delivery_counts(0)["plain"] == {
        "accepted": 5,
        "duplicate": 2,
        "rejected": 1,
    }


def test_an_id_in_a_header_is_the_whole_deliverys(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"split": True, "dedup": {"header": "X-Id"}})
    first = relay.post("plain", "[1, 2]", OK | {"X-Id": "a"}).get_json()
    assert relay.post("plain", "[1, 2]", OK | {"X-Id": "a"}).get_json() == first | {
        "duplicate": True
    }


TWILIO = {
    "name": "sms",
    "platform": "twilio",
    "secret": "twilio-secret-0123456789",
    "public_url": "https://h/webhook/sms",
}


def test_twilio_may_deliver_by_get(make_relay: MakeRelay) -> None:
    relay = make_relay(TWILIO)
    query = "MessageSid=SM1&SmsStatus=received&Body=a%20b&Body=c"

    def get(signed_url: str, query: str = query) -> Any:
        signature = base64.b64encode(
            hmac.digest(b"twilio-secret-0123456789", signed_url.encode(), "sha1")
        ).decode()
        return relay.client.get(
            "/webhook/sms", query_string=query, headers={"X-Twilio-Signature": signature}
        )

    response = get(f"https://h/webhook/sms?{query}")
    assert (response.status_code, response.data) == (200, b"<Response/>")
    assert relay.payloads() == [
        {"MessageSid": "SM1", "SmsStatus": "received", "Body": ["a b", "c"]}
    ]
    assert get(f"https://h/webhook/sms?{query}").status_code == 200  # a duplicate
    assert get("https://h/webhook/sms").status_code == 401
    assert get(f"https://h/webhook/sms?{query}", query + "&Body=d").status_code == 401
    assert len(relay.events()) == 1


def test_the_pages_beside(make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = make_relay(PLAIN)
    for path in ("/healthz", "/readyz"):
        response = relay.client.get(path)
        assert (response.status_code, response.mimetype) == (200, "application/json")

    def fails(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(SqliteDeliveries, "check_writable", fails)
    other = relay.another_process()
    assert other.get("/healthz").status_code == 200
    assert (other.get("/readyz").status_code, error_of(other.get("/readyz"))) == (
        503,
        "unavailable",
    )
