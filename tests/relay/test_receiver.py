"""The HTTP contract: which request gets which answer, and what is noted of it."""

from __future__ import annotations

import base64
import hmac
import io
import json
from typing import Any

import pytest

from store.errors import StoreUnavailable
from store.records import Committed
from store.sqlite.deliveries import SqliteDeliveries
from tests.relay.bridge import NOW, Clock, MakeRelay

KEY = "0123456789abcdef-key"
OK = {"X-Api-Key": KEY}
PLAIN = {"name": "plain", "headers": {"X-Api-Key": KEY}}
GITHUB = {"name": "push", "platform": "github", "secret": "github-secret-0123456789"}


def signed(body: bytes, secret: str = "github-secret-0123456789") -> dict[str, str]:
    """GitHub's headers for the body."""
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}


def error_of(response: Any) -> str:
    """The code of an error, which has a code, a text and nothing else."""
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert set(body) == {"error", "message"}
    assert isinstance(body["message"], str)
    return str(body["error"])


# --- accepted, duplicate, challenge ---


def test_an_accepted_delivery_is_committed_before_its_answer(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(PLAIN | {"hold": "10s"})
    response = relay.post("plain", '{"a": 1}', OK | {"X-Other": "b"}, query_string="q=1")
    event = relay.event()
    assert (response.status_code, response.get_json()) == (200, {"eventId": event.id})
    assert (event.webhook, event.received_at, event.hold_until) == ("plain", NOW * 1000, NOW * 1000 + 10_000)
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
    for name, headers in (("plain", OK), ("push", signed(b"{}")), ("both", OK | signed(b"{}")), ("nothing", {})):
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
        assert (response.status_code, response.get_json()) == (200, {"eventId": first, "duplicate": True})
    assert relay.post("other", "{}", headers).get_json()["eventId"] != first  # ids are the webhook's own
    assert len(relay.events()) == 2


def test_without_a_delivery_id_nothing_is_a_duplicate(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    ids = {relay.post("plain", "{}", OK).get_json()["eventId"] for _ in range(3)}
    assert len(ids) == 3


def test_a_webhook_may_have_another_id_in_its_url(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"id": "7f3kq"})
    assert relay.post("7f3kq", "{}", OK).status_code == 200
    assert relay.post("plain", "{}", OK).status_code == 404
    assert relay.event().webhook == "plain"


def test_conductors_documented_route_is_the_same_webhook(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"challenge": "token"})
    answered = relay.client.post("/api/webhook/plain", data="{}", headers=OK, content_type="application/json")
    assert answered.get_json() == {"eventId": relay.event().id}
    assert relay.client.get("/api/webhook/plain?token=abc").text == "abc"
    assert error_of(relay.client.post("/api/webhook/nobody")) == "not_found"
    assert error_of(relay.client.post("/api/webhook")) == "not_found"


def test_a_signed_url_is_the_one_of_the_route_that_was_called(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "square", "platform": "square", "secret": "key"}, bridge_public_url="https://x.example")

    def post(path: str, signed: str, body: bytes) -> int:
        digest = hmac.new(b"key", f"https://x.example{signed}".encode() + body, "sha256").digest()
        headers = {"X-Square-HmacSha256-Signature": base64.b64encode(digest).decode()}
        return relay.client.post(path, data=body, headers=headers, content_type="application/json").status_code

    for number, path in enumerate(("/webhook/square", "/api/webhook/square")):
        assert post(path, path, b'{"event_id": "%d"}' % number) == 200
    assert post("/api/webhook/square", "/webhook/square", b'{"event_id": "2"}') == 401
    assert post("/webhook/square", "/api/webhook/square", b'{"event_id": "3"}') == 401


# --- the table of errors ---


def test_an_unknown_id_is_not_found(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    for method in ("POST", "GET", "PUT"):
        assert error_of(relay.client.open("/webhook/nobody", method=method)) == "not_found"
    assert error_of(relay.client.post("/webhook/plain/more")) == "not_found"
    assert relay.rejections() == []
    assert relay.store.queries.delivery_counts(0)[""] == {"unknown": 4}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/webhook",
        "/webhook/",
        "/webhook/a/b",
        "/api",
        "/api/webhook/",
        "/api/webhook/a/b",
        "/metrics",
        "/favicon.ico",
    ],
)
def test_other_paths_are_not_found(path: str, make_relay: MakeRelay) -> None:
    response = make_relay(PLAIN).client.post(path)
    assert (response.status_code, error_of(response)) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_not_allowed(method: str, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", "{}", OK, method=method)
    assert (response.status_code, error_of(response), response.headers["Allow"]) == (405, "method_not_allowed", "POST")
    response = relay.client.open("/healthz", method=method)
    assert response.status_code == (200 if method == "GET" else 405)
    assert relay.rejections() == []


@pytest.mark.parametrize("body", ["", "{", '{"a": NaN}', '{"a": 1e999}', "[" * 101 + "]" * 101])
def test_a_malformed_body_is_a_bad_request(body: str, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", body, OK)
    assert (response.status_code, error_of(response)) == (400, "malformed_body")
    (rejection,) = relay.rejections()
    assert (rejection.webhook, rejection.status, rejection.remote) == ("plain", 400, "127.0.0.1")
    assert relay.events() == []


def test_what_is_not_proven_is_unauthorized_and_told_nothing(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    answers = {relay.post("plain", body, headers).data for body, headers in (("{}", {}), ("{", {"X-Api-Key": "x"}))}
    assert answers == {b'{"error": "unauthorized", "message": "the delivery could not be verified"}'}
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
        assert (rejection.status, rejection.reason) == (403, "the address is not among allow_ips")


@pytest.mark.parametrize(
    ("hops", "forwarded", "status"),
    [
        (0, "192.0.2.7", 403),
        (1, "192.0.2.7", 200),
        (1, "192.0.2.7, 198.51.100.1", 403),  # the sender wrote the first one himself
        (2, "192.0.2.7, 198.51.100.1", 200),
        (1, "192.0.2.7:4711", 200),
        (1, "[2001:db8::1]:4711", 403),
    ],
)
def test_as_many_proxies_are_believed_as_are_trusted(
    hops: int, forwarded: str, status: int, make_relay: MakeRelay
) -> None:
    relay = make_relay(PLAIN | {"allow_ips": ["192.0.2.7"]}, bridge_trusted_proxies=hops)
    response = relay.post("plain", "{}", OK | {"X-Forwarded-For": forwarded})
    assert response.status_code == status


@pytest.mark.parametrize("limit", ["10", "1KB", None])
def test_a_body_that_is_too_large_is_refused(limit: str | None, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | ({"max_body": limit} if limit else {}))
    largest = {"10": 10, "1KB": 1024, None: 1024 * 1024}[limit]
    assert relay.post("plain", '"' + "x" * (largest - 2) + '"', OK).status_code == 200
    response = relay.post("plain", '"' + "x" * (largest - 1) + '"', OK)
    assert (response.status_code, error_of(response)) == (413, "body_too_large")
    [told] = relay.rejections()
    assert (told.status, told.reason) == (413, f"the body is larger than {largest} bytes (max_body)")


def test_github_may_send_25_megabytes_where_conductor_takes_them(make_relay: MakeRelay) -> None:
    half = b'"' + b"x" * (25 * 1024 * 1024 // 2 - 4) + b'"'
    body = b"[" + half + b"," + half + b"]"
    body += b" " * (25 * 1024 * 1024 - len(body))
    for more, statuses in (({"bridge_conductor_payload": "30MB"}, (200, 413)), ({}, (413, 413))):
        relay = make_relay(GITHUB, **more)
        assert tuple(relay.post("push", sent, signed(sent)).status_code for sent in (body, body + b" ")) == statuses


def test_what_would_be_too_large_for_conductor_is_refused(make_relay: MakeRelay) -> None:
    """Its own `_webhook` counts, and of a split delivery each element."""
    relay = make_relay(
        PLAIN | {"name": "whole", "max_body": "5MB"},
        PLAIN | {"name": "bare", "max_body": "5MB", "metadata": False},
        PLAIN | {"name": "split", "max_body": "5MB", "split": True},
        bridge_conductor_payload="1MB",
    )
    limit = 1024 * 1024
    body = '{"a":"' + "x" * (limit - 8) + '"}'
    assert relay.post("bare", body, OK).status_code == 200
    assert relay.post("bare", body + " ", OK).status_code == 413  # max_body is no larger
    for sent in (body, '{"a":"' + "x" * (limit - 108) + '"}', '{"a":"' + "\u00e9" * (limit // 2 - 50) + '"}'):
        response = relay.post("whole", sent, OK)
        assert (response.status_code, error_of(response)) == (413, "body_too_large")
    assert "Conductor" in response.get_json()["message"]
    assert relay.post("whole", '{"a":"' + "x" * (limit - 1000) + '"}', OK).status_code == 200
    element = '{"a":"' + "x" * (limit - 1000) + '"}'
    assert relay.post("split", f"[{element},{element},{element}]", OK).status_code == 200
    assert relay.post("split", f"[1,{body}]", OK).status_code == 413
    assert len(relay.events()) == 5
    assert [(told.webhook, told.status) for told in relay.rejections()].count(("whole", 413)) == 3
    assert "Conductor" in relay.rejections()[0].reason


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        ('{"a": "b\\u0000"}', "application/json", "NUL"),
        ('{"a\\u0000": 1}', "application/json", "NUL"),
        ('[[{"a": ["\\u0000"]}]]', "application/json", "NUL"),
        ("a=%00", "application/x-www-form-urlencoded", "NUL"),
        ("a\0", "text/plain", "NUL"),
        ('{"' + "n" * 50_001 + '": 1}', "application/json", "name"),
        ('[{"a": {"' + "n" * 50_001 + '": 1}}]', "application/json", "name"),
    ],
)
def test_what_some_conductor_can_never_store_is_malformed(
    body: str, content_type: str, word: str, make_relay: MakeRelay
) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", body, OK | {"Content-Type": content_type})
    assert (response.status_code, error_of(response)) == (400, "malformed_body")
    assert word in response.get_json()["message"]
    assert word in relay.rejections()[0].reason
    assert relay.events() == []


def test_a_text_of_more_than_20_million_characters_is_malformed(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"max_body": "40MB"}, bridge_conductor_payload="50MB")
    assert relay.post("plain", '"' + "x" * 20_000_000 + '"', OK).status_code == 200
    response = relay.post("plain", '"' + "x" * 20_000_001 + '"', OK)
    assert (response.status_code, error_of(response)) == (400, "malformed_body")


def test_what_only_looks_like_a_nul_or_is_just_short_enough_is_stored(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    for body in ('{"a": "\\\\u0000"}', '{"' + "n" * 50_000 + '": 1}'):
        assert relay.post("plain", body, OK).status_code == 200
    assert relay.post("plain", "{}", OK, query_string="a=%00").status_code == 400


class Endless:
    """A body without a length; counts what is read of it."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def read(self, size: int = -1) -> bytes:
        self.read_so_far += size
        return b"x" * size


def test_a_chunked_body_is_measured_while_it_is_read(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    body = Endless()
    response = relay.client.post(
        "/webhook/plain", headers=OK, environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True}
    )
    assert (response.status_code, error_of(response)) == (413, "body_too_large")
    assert body.read_so_far < 2 * 1024 * 1024
    chunked = relay.client.post(
        "/webhook/plain",
        headers=OK | {"Content-Type": "application/json"},
        environ_overrides={"wsgi.input": io.BytesIO(b"{}"), "wsgi.input_terminated": True},
    )
    assert chunked.status_code == 200


class Broken:
    """A body whose sender goes away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize(
    ("body", "length"), [(io.BytesIO(b"{}"), "3"), (Broken(), "2"), (io.BytesIO(b"{}"), "-2"), (io.BytesIO(), "x")]
)
def test_a_body_that_breaks_off_is_a_bad_request(body: Any, length: str, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    response = relay.client.post(
        "/webhook/plain", headers=OK, environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": length}
    )
    assert (response.status_code, error_of(response)) == (400, "malformed_body")


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "text/plain; charset=rot13"])
def test_a_media_type_that_is_not_read_is_unsupported(content_type: str, make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    response = relay.post("plain", "{}", OK | {"Content-Type": content_type})
    assert (response.status_code, error_of(response)) == (415, "unsupported_media_type")
    [told] = relay.rejections()
    assert (told.status, told.reason.partition(": ")[2]) == (415, content_type)


def test_a_store_that_cannot_be_written_is_no_loss(make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = make_relay(PLAIN)

    def fails(*_: object) -> None:
        raise StoreUnavailable("database or disk is full")

    monkeypatch.setattr(relay.store.deliveries, "append", fails)
    response = relay.post("plain", "{}", OK)
    assert (response.status_code, error_of(response)) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert relay.post("plain", "{}", OK).status_code == 200


def test_a_bug_of_ours_is_no_loss_and_no_500(make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = make_relay(PLAIN)

    def fails(*_: object) -> list[Committed]:
        raise ZeroDivisionError

    monkeypatch.setattr(relay.store.deliveries, "append", fails)
    assert relay.post("plain", "{}", OK).status_code == 503
    relay = make_relay(PLAIN)
    monkeypatch.setattr(SqliteDeliveries, "check_writable", fails)
    assert relay.another_process().get("/readyz").status_code == 503


def test_deliveries_are_counted_by_what_became_of_them(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB)
    headers = signed(b"{}") | {"X-GitHub-Delivery": "d-1"}
    for given in (headers, headers, {}):
        relay.post("push", "{}", given)
    relay.post("push", "{", signed(b"{"))
    relay.background.outcomes.flush()
    assert relay.store.queries.delivery_counts(0)["push"] == {"accepted": 1, "duplicate": 1, "rejected": 2}


# --- verified or not ---


def test_the_first_valid_delivery_verifies(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(PLAIN)
    relay.post("plain", "{}", {})
    assert relay.verified() == set()
    relay.post("plain", "{}", OK)
    clock.now += 10
    relay.post("plain", "{}", OK)
    assert relay.store.verifications.all()["plain"][1] == NOW * 1000


CHALLENGE = '{"type": "url_verification", "challenge": "c"}'


def test_without_a_secret_nothing_counts_before_the_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    for body in ("{}", "{", '{"type": "url_verification"}', '{"type": "url_verification", "challenge": 1}'):
        assert relay.post("slack", body).status_code == 401
    assert relay.rejections()[0].reason == "not verified yet: the challenge has not come"
    response = relay.post("slack", CHALLENGE)
    assert (response.status_code, response.get_json()) == (200, {"challenge": "c"})
    assert relay.verified() == {"slack"}
    assert relay.post("slack", "{}").status_code == 200
    assert relay.post("slack", "{").status_code == 400
    assert relay.post("slack", CHALLENGE).status_code == 200
    assert relay.payloads() == [{}]


def test_another_process_may_have_answered_the_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    other = relay.another_process()
    assert relay.post("slack", "{}").status_code == 401
    assert other.post("/webhook/slack", data=CHALLENGE, content_type="application/json").status_code == 200
    assert relay.post("slack", "{}").status_code == 200


def test_with_a_secret_every_delivery_is_checked_and_a_challenge_too(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack", "secret": "slack-secret-0123456789"})
    assert relay.post("slack", CHALLENGE).status_code == 401
    assert relay.post("slack", "{}").status_code == 401
    assert relay.verified() == set()


def test_headers_stand_in_for_a_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack", "headers": {"X-Api-Key": KEY}})
    assert relay.post("slack", CHALLENGE).status_code == 401
    assert relay.post("slack", "{}", OK).status_code == 200
    assert relay.post("slack", CHALLENGE, OK).get_json() == {"challenge": "c"}


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Api-Key": "another-key-0123456789"}},
        {"headers": {"X-Api-Key": KEY, "X-More": "another-key-0123456789"}},
        {"signature": {"secret": "another-key-0123456789", "header": "X-Signature"}},
    ],
)
def test_another_verifier_or_secret_makes_it_unverified_again(change: dict[str, Any], make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    relay.post("plain", "{}", OK)
    before = relay.store.verifications.all()["plain"][0]
    relay.define([PLAIN | {"receivers": {"other": "any"}, "hold": "1m"}])
    relay.background.reload_now()
    relay.post("plain", "{}", OK)
    assert relay.store.verifications.all()["plain"][0] == before
    relay.define([PLAIN | change])
    relay.background.reload_now()
    relay.post("plain", "{}", OK)  # not all that is asked for now
    assert relay.store.verifications.all()["plain"][0] == before  # which is no longer the verifier's fingerprint
    key = change.get("headers", {}).get("X-Api-Key", KEY)
    body = b"{}"
    signature = hmac.new(b"another-key-0123456789", body, "sha256").hexdigest()
    more = {"X-More": "another-key-0123456789", "X-Signature": signature}
    assert relay.post("plain", body, {"X-Api-Key": key} | more).status_code == 200
    assert relay.store.verifications.all()["plain"][0] != before


def test_several_kinds_of_verification_must_all_pass(make_relay: MakeRelay) -> None:
    relay = make_relay(
        GITHUB | {"headers": {"X-Api-Key": KEY}, "signature": {"secret": "third-0123456789", "header": "X-Own"}}
    )
    body = b"{}"
    own = {"X-Own": hmac.new(b"third-0123456789", body, "sha256").hexdigest()}
    everything = signed(body) | OK | own
    for name in everything:
        partial = {key: value for key, value in everything.items() if key != name}
        assert relay.post("push", body, partial).status_code == 401
        assert relay.post("push", body, everything | {name: "wrong"}).status_code == 401
    assert relay.post("push", body, everything).status_code == 200


def test_each_secret_of_a_list_is_good(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB | {"secret": ["old-secret-0123456789", "new-secret-0123456789"]})
    for secret, status in (("old-secret-0123456789", 200), ("new-secret-0123456789", 200), ("other", 401)):
        assert relay.post("push", "{}", signed(b"{}", secret)).status_code == status


def test_no_verifier_accepts_anything_that_says_so(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "open", "verifier": "none"},
        GITHUB | {"name": "github", "verifier": "none"},
        {"name": "slack", "platform": "slack", "verifier": "none"},
    )
    for name in ("open", "github", "slack"):
        assert relay.post(name, "{}").status_code == 200
    assert relay.post("slack", CHALLENGE).get_json() == {"challenge": "c"}
    assert relay.verified() == {"open", "github", "slack"}


# --- what is kept ---


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
    response = relay.post("push", body, signed(body) | OK | secret | {"X-Kept": "é".encode().decode("latin-1")})
    assert response.status_code == 200
    headers = relay.event().headers
    assert headers["x-kept"] == "é"
    assert not {name.lower() for name in (*secret, *OK, *signed(body))} & set(headers)


def test_dedup_by_header_and_by_path(make_relay: MakeRelay) -> None:
    relay = make_relay(
        PLAIN | {"name": "header", "dedup": {"header": "X-Id"}}, PLAIN | {"name": "path", "dedup": {"path": "$.a.id"}}
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
    relay = make_relay(PLAIN | {"split": True, "dedup": {"path": "$.id"}}, PLAIN | {"name": "whole"})
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
    assert relay.store.queries.delivery_counts(0)["plain"] == {"accepted": 5, "duplicate": 2, "rejected": 1}


def test_an_id_in_a_header_is_the_whole_deliverys(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN | {"split": True, "dedup": {"header": "X-Id"}})
    first = relay.post("plain", "[1, 2]", OK | {"X-Id": "a"}).get_json()
    assert relay.post("plain", "[1, 2]", OK | {"X-Id": "a"}).get_json() == first | {"duplicate": True}


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
        signature = base64.b64encode(hmac.digest(b"twilio-secret-0123456789", signed_url.encode(), "sha1")).decode()
        return relay.client.get("/webhook/sms", query_string=query, headers={"X-Twilio-Signature": signature})

    response = get(f"https://h/webhook/sms?{query}")
    assert (response.status_code, response.data) == (200, b"<Response/>")
    assert relay.payloads() == [{"MessageSid": "SM1", "SmsStatus": "received", "Body": ["a b", "c"]}]
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
    assert (other.get("/readyz").status_code, error_of(other.get("/readyz"))) == (503, "unavailable")
