"""`signature`: schemes of vendors that we have no platform for, and what has only one reading."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.relay import NOW, Clock, MakeRelay, Relay

SECRET = "0123456789abcdef-secret"
URL = "https://hooks.example.com/in/hook"
AT = int(NOW)
BODY = b'{"id": 1}'


def by_openssl(
    message: bytes, key: bytes = SECRET.encode(), algorithm: str = "sha256", encoding: str = "hex"
) -> str:
    """The signature as openssl makes it."""
    command = [
        "openssl",
        "dgst",
        f"-{algorithm}",
        "-mac",
        "HMAC",
        "-macopt",
        f"hexkey:{key.hex()}",
        "-binary",
    ]
    made = subprocess.run(command, input=message, capture_output=True, check=True).stdout
    return made.hex() if encoding == "hex" else base64.b64encode(made).decode()


def signature(message: bytes) -> str:
    return hmac.digest(SECRET.encode(), message, "sha256").hex()


def relay_for(
    make_relay: MakeRelay, webhook: Mapping[str, Any] | None = None, **scheme: Any
) -> Relay:
    """A relay with a webhook of that scheme, which its sender calls at `URL`."""
    given = {"secret": SECRET, "header": "X-Signature"} | scheme
    return make_relay({"name": "hook", "public_url": URL, "signature": given, **(webhook or {})})


HEX_KEY = "00112233445566778899aabbccddeeff"
VENDORS: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "as Stripe": (
        {"header": "Stripe-Signature", "format": "t={timestamp},v1={signature}", "signed": "{timestamp}.{body}"},
        "",
        {"Stripe-Signature": f"t={AT},v1={'0' * 64},v1={by_openssl(b'%d.' % AT + BODY)},v0=abc"},
    ),
    "as Paddle": (
        {"header": "Paddle-Signature", "format": "ts={timestamp};h1={signature}", "signed": "{timestamp}:{body}"},
        "",
        {"Paddle-Signature": f"ts={AT};h1={by_openssl(b'%d:' % AT + BODY)}"},
    ),
    "as PagerDuty": (
        {"prefix": "v1="},
        "",
        {"X-Signature": f"v1={'0' * 64}, v1={by_openssl(BODY)}"},
    ),
    "as Svix": (
        {
            "header": "webhook-signature", "prefix": "v1,", "encoding": "base64", "key_encoding": "base64",
            "secret": base64.b64encode(bytes.fromhex(HEX_KEY)).decode(),
            "signed": "{header:webhook-id}.{timestamp}.{body}", "timestamp_header": "webhook-timestamp",
        },
        "",
        {
            "webhook-id": "msg_1", "webhook-timestamp": str(AT),
            "webhook-signature": "v1a,xyz v1,"
            + by_openssl(b"msg_1.%d." % AT + BODY, bytes.fromhex(HEX_KEY), encoding="base64"),
        },
    ),
    "as Square, which signs URL and body": (
        {"encoding": "base64", "signed": "{url}{body}"},
        "",
        {"X-Signature": by_openssl(URL.encode() + BODY, encoding="base64")},
    ),
    "as HubSpot": (
        {"encoding": "base64", "signed": "{method}{url}{body}{timestamp}", "timestamp_header": "X-Time"},
        "",
        {
            "X-Time": f"{AT}000",
            "X-Signature": by_openssl(b"POST" + URL.encode() + BODY + b"%d000" % AT, encoding="base64"),
        },
    ),
    "as Twilio, which signs the URL with its query": (
        {"algorithm": "sha1", "encoding": "base64", "signed": "{url}\n{body}"},
        "b=2&a=%2F",
        {"X-Signature": by_openssl(URL.encode() + b"?b=2&a=%2F\n" + BODY, algorithm="sha1", encoding="base64")},
    ),
    "as AWS, a canonical request and a key in hex": (
        {
            "key_encoding": "hex", "secret": HEX_KEY, "timestamp_header": "X-Date",
            "format": "HMAC-SHA256 Credential=me, Signature={signature}",
            "signed": "{method}\n{path}\n{query}\n{header:Host}\n{timestamp}\n{body}",
        },
        "a=1",
        {
            "Host": "relay.internal", "X-Date": "2025-10-09T08:53:20Z",
            "X-Signature": "HMAC-SHA256 Credential=me, Signature=" + by_openssl(
                b"POST\n/in/hook\na=1\nrelay.internal\n2025-10-09T08:53:20Z\n" + BODY, bytes.fromhex(HEX_KEY)
            ),
        },
    ),
    "as Shopify's apps: SHA-512 in upper case": (
        {"algorithm": "sha512"},
        "",
        {"X-Signature": by_openssl(BODY, algorithm="sha512").upper()},
    ),
    "time and signature without names": (
        {"format": "{timestamp}:{signature}", "signed": "{timestamp}{body}"},
        "",
        {"X-Signature": f"{AT}:{by_openssl(b'%d' % AT + BODY)}"},
    ),
    "in quotation marks": (
        {"format": 'Signature keyId="1",ts="{timestamp}", sig="{signature}"', "signed": "{timestamp} {body}"},
        "",
        {"X-Signature": f'Signature keyId="1",ts="{AT}", sig="{by_openssl(b"%d " % AT + BODY)}"'},
    ),
}  # fmt: skip
"""Scheme, query and headers of vendors' deliveries."""


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_vendors_schemes_can_be_written_and_what_they_sign_counts_once(
    vendor: str, make_relay: MakeRelay, clock: Clock
) -> None:
    scheme, query, headers = VENDORS[vendor]
    relay = relay_for(make_relay, **scheme)
    for _ in range(2):
        assert relay.post(f"hook?{query}", BODY, headers).status_code == 200, relay.rejections()
    merged = {"a": "/", "b": "2"} if "Twilio" in vendor else {"a": "1"} if "AWS" in vendor else {}
    assert relay.payloads() == [{"id": 1, **merged}], (
        "a query that is signed is a part of the payload"
    )
    assert relay.post("hook?forged=1", BODY, headers).status_code in (
        {200, 401} if not query else {401}
    )
    assert relay.post(f"hook?{query}", BODY + b" ", headers).status_code == 401
    clock.now += 301
    fresh = relay.post(f"hook?{query}", BODY, headers).status_code
    assert fresh == (401 if "timestamp" in str(scheme) else 200)
    assert len(relay.events()) == 1


def test_a_query_that_is_not_signed_stays_out_of_the_payload(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, signed="{method} {path}\n{body}")
    headers = {"X-Signature": signature(b"POST /in/hook\n" + BODY)}
    assert relay.post("hook?id=forged&b=1", BODY, headers).status_code == 200
    assert relay.payloads() == [{"id": 1}]


# --- one reading ---


def test_a_signed_header_must_be_there_and_twice_is_once_with_both_values(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, signed="{header:X-Id}\n{body}")
    assert relay.post("hook", BODY, {"X-Signature": signature(b"\n" + BODY)}).status_code == 401
    assert relay.rejections()[0].reason == "the header x-id is missing"
    for name in ("X-Id", "x-ID"):
        both = [("X-Signature", signature(b"1\n" + BODY)), ("X-Id", "1"), (name, "2")]
        assert relay.client.post("/webhook/hook", data=BODY, headers=both).status_code == 401
    assert (
        relay.post("hook", BODY, {"X-Signature": signature(b"1\n" + BODY), "X-Id": "1"}).status_code
        == 200
    )


def test_a_signed_id_identifies_the_delivery_alone(make_relay: MakeRelay, clock: Clock) -> None:
    """An unsigned one counts with the body, so that nobody can claim another's."""
    relay = relay_for(make_relay, {"dedup": {"header": "X-Id"}}, signed="{header:x-id}\n{body}")
    for body, name in ((b'{"try": 1}', "a"), (b'{"try": 2}', "a"), (b'{"try": 2}', "b")):
        sent = {"X-Id": name, "X-Signature": signature(name.encode() + b"\n" + body)}
        assert relay.post("hook", body, sent).status_code == 200
    assert [event.delivery_id for event in relay.events()] == ["a", "b"]


def test_the_url_is_signed_as_it_is_called_percent_encoding_and_all(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, signed="{url}\n{body}")
    called = signature(f"{URL}?a=%2f\n".encode() + BODY)
    for query, status in (("a=%2F", 401), ("a=/", 401), ("a=%2f", 200)):
        assert relay.post(f"hook?{query}", BODY, {"X-Signature": called}).status_code == status, (
            query
        )


def test_without_a_public_url_the_host_can_be_no_path(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(
        {
            "name": "hook",
            "signature": {"secret": SECRET, "header": "X-S", "signed": "{url}\n{body}"},
        }
    )
    for host, status in (("relay:8000", 200), ("relay/webhook/hook\nx", 401), ("a b", 401)):
        sent = {"X-S": signature(f"http://{host}/webhook/hook\n".encode() + BODY)}
        assert (
            relay.post("hook", BODY, sent, environ_overrides={"HTTP_HOST": host}).status_code
            == status
        )


@pytest.mark.parametrize(
    "called",
    [
        "/webhook/hook#a",
        "/webhook/hook#a?b",
        "http://|a|/webhook/hook",
        "HTTP://h|a/webhook/hook?b#c?d",
        "/webhook/hook",
    ],
)
@pytest.mark.parametrize("signed", ["{url}\n{body}", "{body}|{path}"])
def test_what_a_request_has_around_its_path_is_no_part_of_the_url(
    signed: str, called: str, make_relay: MakeRelay, clock: Clock
) -> None:
    """Neither the host of an absolute request nor a fragment decides which webhook is called, so
    they could hold bytes of the body."""
    relay = make_relay(
        {"name": "hook", "signature": {"secret": SECRET, "header": "X-S", "signed": signed}}
    )
    query = called.partition("#")[0].partition("?")[2]
    url = "http://relay/webhook/hook" + (f"?{query}" if query else "")
    message = f"{url}\n{BODY.decode()}" if "url" in signed else f"{BODY.decode()}|/webhook/hook"
    environ = {"HTTP_HOST": "relay", "RAW_URI": called, "QUERY_STRING": query}
    sent = {"X-S": signature(message.encode())}
    assert relay.post("hook", BODY, sent, environ_overrides=environ).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "", "t=1", "v1=x", f"t={AT}", f"t={AT},t={AT},v1={{}}", f"t={AT - 1},v1={{}}", f"v1={{}},t={AT},t=1",
        f"{AT},{{}}",
        f"t={AT}" + ",v1=0" * 60 + ",v1={}",
        f"t={AT}.0,v1={{}}", f"t= {AT},v1={{}}", f"T={AT},V1={{}}", "\xff", "," * 9000,
    ],
)  # fmt: skip
def test_a_header_in_another_form_is_refused(
    value: str, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(
        make_relay, format="t={timestamp},v1={signature}", signed="{timestamp}.{body}"
    )
    good = signature(b"%d." % AT + BODY)
    assert relay.post("hook", BODY, {"X-Signature": value.replace("{}", good)}).status_code == 401
    for known in (f"t={AT},v1={good}", f"v1={good}, t={AT}", f"t={AT} v1=0 v1={good}"):
        assert relay.post("hook", BODY, {"X-Signature": known}).status_code == 200


def test_any_key_that_is_being_rotated_signs(make_relay: MakeRelay, clock: Clock) -> None:
    relay = relay_for(make_relay, secret=["fedcba9876543210-old", SECRET], prefix="sha256=")
    assert relay.post("hook", BODY, {"X-Signature": f"sha256={signature(BODY)}"}).status_code == 200
    other = hashlib.sha256(BODY).hexdigest()
    assert relay.post("hook", BODY, {"X-Signature": f"sha256={other}"}).status_code == 401


# --- challenges ---


def test_a_challenge_may_be_answered_as_json(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay({"name": "hook", "challenge": {"name": "token", "answer": "json"}})
    asked = [relay.client.get("/webhook/hook?token=a%3Cb"), relay.post("hook", b'{"token": "a<b"}')]
    assert [(one.data, one.mimetype) for one in asked] == [
        (b'{"token": "a<b"}', "application/json")
    ] * 2
    assert relay.client.head("/webhook/hook?token=1").status_code == 405
    assert relay.verified() == {"hook"}
