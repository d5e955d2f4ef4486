"""Whatever a stranger sends to whichever platform: an answer of the contract's table, and never
acceptance."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from platforms import PLATFORMS
from platforms.base import MB
from tests.platforms.judged import records
from tests.support.examples import at_most, examples
from tests.support.relay import MakeRelay, Relay
from tests.support.vendors import TELNYXS_KEY

SECRETS = {
    "sendgrid": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw"
    "+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    "discord": "5531371f0a84ab922bbee7ab94dbb8edc062557dd267358144b135f03b28f799",
    "standard-webhooks": "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "microsoft-teams": base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "airtable": base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "adyen": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "paypal": "9XL90610J3647323C",
    "plaid": "0123456789abcdef01234567:0123456789abcdef0123456789abcd",
    "telnyx": TELNYXS_KEY,
}
"""Secrets that their platform can use, where it can't use any text."""
_WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS |= dict.fromkeys(("clerk", "mcp-events", "openai", "replicate", "resend"), _WHSEC)
SECRETS |= {"supabase": f"v1,{_WHSEC}"}
INSTEAD: dict[str, dict[str, Any]] = {
    "salesforce": {"headers": {"X-Api-Key": "0123456789abcdef-key"}},
    "google-pubsub": {"audience": "a", "service_account": "push@example.com"},
    "google-chat": {"audience": "1234567890"},
    "aws-sns": {},
}
"""Settings instead of a secret, of vendors that have none."""
CANNOT = {*INSTEAD.keys() - {"salesforce"}, "discord", "paypal", "plaid", "sendgrid", "telnyx"}
"""Platforms that the bridge can't sign for: only they have the private key."""


def proof_of(name: str) -> dict[str, Any]:
    """The settings that prove the platform's deliveries."""
    return INSTEAD.get(name, {"secret": SECRETS.get(name, "0123456789abcdef-secret")})


ALLOWED = {400, 401, 403, 404, 405, 413, 415}


def definition(name: str) -> dict[str, Any]:
    """A webhook of the platform that only its sender may post to."""
    webhook: dict[str, Any] = {"name": name, "platform": name, "max_body": "2KB"}
    if name == "custom":
        return webhook | {
            "headers": {"X-Api-Key": "0123456789abcdef-key"},
            "signature": {
                "secret": "0123456789abcdef-sig",
                "header": "X-Signature",
                "signed": "{timestamp}.{body}",
                "timestamp_header": "X-Timestamp",
            },
        }
    return webhook | proof_of(name)


def fetch(url: str, **_: Any) -> bytes:
    """Whatever is asked for is no key."""
    return b'{"k1": "no certificate"}'


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """One relay with a webhook of every platform."""
    yield MakeRelay(tmp_path_factory)(
        *map(definition, PLATFORMS),
        {
            "name": "more",
            "platform": "gitlab",
            "secret": ["0123456789abcdef-token", SECRETS["standard-webhooks"]],
        },
        {
            "name": "public",
            "platform": "standard-webhooks",
            "secret": "whpk_avjUbEzb1B1bjEYsxO+7G+hX3FMIkmToR2PexBR9b/w=",
        },
        fetch=fetch,
    )


HEADERS = sorted(
    {name for record in records() for name in record.sent.headers}
    | {
        name
        for platform in PLATFORMS.values()
        for name in (*platform.id_headers, *platform.secret_headers)
    }
    | {
        "Authorization",
        "X-Api-Key",
        "X-Forwarded-For",
        "X-Timestamp",
        "X-Twilio-Webhooks-Signature-Settings",
    }
    | {
        "Plaid-Verification",
        "X-Dropbox-Signature",
        "x-twitter-webhooks-signature",
        "aeg-event-type",
    }
    | {"X-Grafana-Alerting-Signature", "X-Grafana-Alerting-Timestamp"}
)
"""What platforms send."""
KEYS = [
    *(
        "type",
        "event",
        "payload",
        "plainToken",
        "challenge",
        "value",
        "clientState",
        "signature",
        "timestamp",
        "token",
    ),
    *(
        "webhookTimestamp",
        "entry",
        "messaging",
        "message",
        "mid",
        "data",
        "events",
        "uuid",
        "id",
        "Type",
        "MessageId",
    ),
    *(
        "Message",
        "TopicArn",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
        "SubscribeURL",
        "Token",
    ),
    *(
        "x_events",
        "notificationItems",
        "NotificationRequestItem",
        "additionalData",
        "encrypt",
        "hmacSignature",
    ),
]
"""What platforms look for in bodies."""
TIMES = st.sampled_from(
    [
        "1760000000",
        "0",
        "-1",
        "9" * 400,
        "1e9",
        "NaN",
        "²",
        "2025-10-09T08:53:20Z",
        "Thu, 09 Oct 2025 08:53:20 GMT",
    ]
)
PREFIXES = [
    "",
    "sha256=",
    "v0=",
    "v1,",
    "v1=a,v1=",
    "t=1760000000,v1=",
    "t=,v1=",
    "Bearer ",
    "ts=1760000000;h1=",
]
SIGNATURES = st.builds(
    lambda prefix, value: prefix + value,
    st.sampled_from(PREFIXES),
    st.one_of(
        st.binary(max_size=64).map(lambda raw: base64.b64encode(raw).decode()),
        st.binary(max_size=64).map(bytes.hex),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80),
        st.sampled_from(
            [
                "A" * 8000,
                "=" * 100,
                ",".join(["v1=00"] * 2000),
                " ".join(["v1,AA=="] * 1000),
                ".....",
            ]
        ),
        st.just("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.e30."),
    ),
)
VALUES = st.one_of(
    TIMES,
    SIGNATURES,
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
)
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | TIMES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8)
    ),
    max_leaves=20,
).map(json.dumps)
ODD_BODIES = [
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"[" * 1500,
        b"{" * 1500,
        b'"\\ud800"',
        b"1" * 2000,
        b"&" * 2000,
        b"x" * 3000,
    ),
    *(
        b'{"a":NaN}',
        b"payload=%7B",
        b"mandrill_events=%7B",
        b"a=%FF&a=%00",
        b"--b\r\n\r\n",
        "{}".encode("utf-16"),
    ),
    b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": {"hmacSignature": "x"}}}]}',
    b'{"notificationItems": [{"NotificationRequestItem": {"success": []}}, 1]}',
]
BODIES = st.one_of(
    st.binary(max_size=300),
    JSON_TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(ODD_BODIES),
)
MEDIA_TYPES = [
    *(
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/plain",
    ),
    "text/xml",
    *(
        "text/plain; charset=utf-16",
        "application/octet-stream",
        "",
        "application/json; charset=utf-16",
        "x",
        ";;;",
    ),
]
TYPES = st.sampled_from(MEDIA_TYPES)
QUERIES = st.one_of(
    st.just(""),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60
    ),
    st.sampled_from(
        [
            "bodySHA256=x",
            "a&" * 500,
            "hub.mode=subscribe&hub.verify_token=x&hub.challenge=1",
            "%00=%FF",
        ]
    ),
)


@examples
@settings(max_examples=at_most(400))
@given(
    name=st.sampled_from([*sorted(PLATFORMS), "more", "public", "nobody"]),
    method=st.sampled_from(
        ["POST"] * 6 + ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FOO"]
    ),
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=10),
    content_type=TYPES,
    body=BODIES,
    query=QUERIES,
)
def test_a_stranger_gets_an_answer_of_the_table_and_is_never_accepted(
    relay: Relay,
    name: str,
    method: str,
    headers: list[tuple[str, str]],
    content_type: str,
    body: bytes,
    query: str,
) -> None:
    # These are challenges that nobody signs: whoever asks is answered.
    assume(not (name == "microsoft-graph" and "validationToken" in query))
    assume(not (method == "GET" and name in ("twitter", "dropbox", "okta") and query))
    assume(
        not (method == "HEAD" and name in PLATFORMS and "HEAD" in PLATFORMS[name].challenge_methods)
    )
    assume(not (name == "monday" and b'"challenge"' in body))
    environ: dict[str, Any] = {"CONTENT_TYPE": content_type, "QUERY_STRING": query}
    for header, value in headers:
        key = "HTTP_" + header.upper().replace("-", "_")
        if header != "Content-Type":
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    response = relay.client.open(
        f"/webhook/{name}", method=method, data=body, environ_overrides=environ
    )
    assert response.status_code in ALLOWED, (
        response.status_code,
        response.data,
        relay.rejections()[:1],
    )
    if response.status_code == 401 and name in PLATFORMS and PLATFORMS[name].empty_refusals:
        assert response.data == b""
    elif method != "HEAD":
        assert set(response.get_json()) == {"error", "message"}
    assert relay.events() == []
    relay.background.outcomes.flush()


@pytest.mark.parametrize(
    "name", sorted(name for name, platform in PLATFORMS.items() if platform.max_body > MB)
)
def test_a_large_body_is_refused_before_it_is_parsed(name: str, make_relay: MakeRelay) -> None:
    """Of any other platform's strangers it isn't even read."""
    relay = make_relay({"name": "hook", "platform": name} | proof_of(name))
    headers = {header: "00" for header in HEADERS if header != "Authorization"}
    assert relay.post("hook", b"[" * (MB + 1), headers).status_code == 401, relay.rejections()


@examples
@settings(max_examples=at_most(150))
@given(
    body=BODIES, content_type=TYPES, query=QUERIES, method=st.sampled_from(["POST", "GET", "PUT"])
)
def test_a_sender_that_may_send_anything_never_meets_a_500(
    open_relay: Relay, body: bytes, content_type: str, query: str, method: str
) -> None:
    """What comes behind verification is held to the table as well: every platform's ids, answers
    and challenges."""
    for name in PLATFORMS:
        environ = {"CONTENT_TYPE": content_type, "QUERY_STRING": query}
        response = open_relay.client.open(
            f"/webhook/{name}", method=method, data=body, environ_overrides=environ
        )
        assert response.status_code in ALLOWED | {200, 204}, (name, response.data)


@pytest.fixture(scope="module")
def open_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A webhook of every platform that verifies nothing."""
    yield MakeRelay(tmp_path_factory)(
        *(
            {"name": name, "platform": name, "verifier": "none", "split": True, "max_body": "2KB"}
            | INSTEAD.get(name, {})
            for name in PLATFORMS
        )
    )
