"""Genuine deliveries of every platform: the signed examples of `vectors.json`, what its own library
signs, and its sample events, signed by the bridge."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.base import Platform
from platforms.guide import samples
from platforms.verifiers import CannotSign, Draft
from relay.verify.verification import verifiers_of
from tests.platforms.test_judges import JUDGES
from tests.platforms.test_properties import SECRETS, proof_of
from tests.relay.verify.test_vectors import NO_TIME, VECTORS, definition, fetch_for, platform_of
from tests.support.relay import NOW
from tests.support.vendors import HEADERS, pages

_URL = "https://relay.example.com/hooks/genuine"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_SIGNATURE = {"secret": "0123456789abcdef-sig", "header": "X-Signature"}
_TIMED = {"signed": "{timestamp}.{body}", "timestamp_header": "X-Timestamp"}
_URL_BESIDE = {"signed": "{url}{body}"}
_LINES = {
    "signed": "{method}\n{path}\n{query}\n{header:X-Id}\n{timestamp}\n{body}",
    "format": "t={timestamp},v1={signature}",
    "key_encoding": "hex",
    "secret": "00112233445566778899aabbccddeeff",
}
_BESIDE = {"signed": "{timestamp}{body}", "timestamp_header": "X-Timestamp"}
_NEEDED: dict[str, dict[str, Any]] = {
    "aws-sns": {"headers": {"X-Amz-Sns-Topic-Arn": "arn:aws:sns:us-west-2:123456789012:MyTopic"}},
}
_SEVERAL: dict[str, list[dict[str, Any]]] = {
    "custom": [
        {"headers": {"X-Api-Key": "0123456789abcdef-key"}},
        {"signature": _SIGNATURE},
        {"signature": _SIGNATURE | _TIMED},
        {"signature": _SIGNATURE | _BESIDE, "dedup": {"path": "$.id"}},
        {"signature": _SIGNATURE | _URL_BESIDE},
        {"signature": _SIGNATURE | _LINES},
        {"signature": _SIGNATURE | _LINES, "dedup": {"header": "X-Id"}},
        {"signature": _SIGNATURE, "headers": {"X-Api-Key": "0123456789abcdef-key"}},
    ],
    "cloudevents": [
        {"secret": "0123456789abcdef-key"},
        {"secret": "0123456789abcdef-key", "signature": _SIGNATURE},
    ],
    "github": [
        {"secret": "0123456789abcdef-key"},
        {"secret": "0123456789abcdef-key", "signature": _SIGNATURE},
    ],
    "gitlab": [{"secret": "0123456789abcdef-token"}, {"secret": SECRETS["standard-webhooks"]}],
}
"""Ways of proving, where a platform has more than one."""
_BODIES: dict[str, list[tuple[bytes, dict[str, str]]]] = {
    "github": [
        (b"payload=%7B%22zen%22%3A+%22x%22%7D", _FORM),
        (b'{"client_payload": {}, "branch": "main"}', {}),
    ],
    "sentry": [(b'{"action": "resolved", "data": {"issue": {"id": "1"}}}', {})],
    "gitea": [(b'{"action": "edited", "page": "Home"}', {})],
    "shopify": [(b'{"inventory_item_id": 1, "location_id": 2}', {})],
    "webex": [(b'{"resource": "memberships", "event": "created"}', {})],
    "woocommerce": [(b'{"id": 1}', {"X-WC-Webhook-Topic": "order.deleted"})],
    "salesforce": [
        (
            samples("salesforce")["opportunity"].body.replace(
                b'<SessionId xsi:nil="true"/>', b"<SessionId>00D5g000004Wuvp!AQ4AQFdA</SessionId>"
            ),
            {"Content-Type": "text/xml"},
        )
    ],
    "slack": [
        (b"payload=%7B%22type%22%3A%22block_actions%22%7D", _FORM),
        (b"command=%2Fx&text=a+b", _FORM),
    ],
    "twilio": [
        (b"MessageSid=SM1&MessageStatus=sent&Body=a+b", _FORM),
        (b'{"a": 1}', {}),
        (b"", _FORM),
    ],
    "mailgun": [(b"recipient=a%40b&subject=x", _FORM)],
    "zendesk": [
        (b"<ticket><id>1</id></ticket>", {"Content-Type": "application/xml"}),
        (b"ticket=1&state=open", _FORM),
        (b'{"type": "zen:event-type:user.created", "id": "e-1"}', {}),
    ],
    "cloudevents": [
        (
            b'{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order"}',
            {"Content-Type": "application/cloudevents+json"},
        )
    ],
    "custom": [
        (b"id=1&state=open", _FORM),
        (b"plain text", {"Content-Type": "text/plain"}),
        (b"12", {}),
    ],
}
"""Further bodies, where a platform sends other forms than its samples have."""


def is_alike(platform: Platform) -> bool:
    """Whether nothing tells its deliveries apart."""
    return not platform.id_headers and platform.may_come_again({})


@dataclass(frozen=True)
class Genuine:
    """A delivery as its platform sends it, and the webhook that takes it."""

    name: str
    webhook: dict[str, Any]
    url: str
    method: str
    headers: dict[str, str]
    body: bytes
    now: float
    fetch: Callable[..., bytes] = field(repr=False)

    @property
    def platform(self) -> str:
        """The platform's name."""
        return str(self.webhook["platform"])

    def __str__(self) -> str:
        return self.name


def deliveries_of(platform: str, folder: Path) -> Iterator[Genuine]:
    """Every genuine delivery of the platform; at least one, or the test that asks for it fails."""
    for vector in VECTORS["vectors"]:
        if (
            platform_of(vector) == platform
            and vector["expected"] == "valid"
            and vector["id"] != NO_TIME
        ):
            webhook = definition(vector, with_tolerance=True)
            body = base64.b64decode(vector["body_base64"])
            yield Genuine(
                vector["id"], webhook, vector["url"], vector["method"], vector["headers"], body, vector["now"],
                fetch_for(vector),
            )  # fmt: skip
    for make in JUDGES:
        judge = make()
        if judge.platform == platform:
            signed = judge.sign()
            webhook = {
                "name": "hook",
                "platform": platform,
                "secret": judge.secret,
                "public_url": signed.url,
            }
            headers = signed.headers | {"Content-Type": judge.content_type}
            yield Genuine(
                f"{platform}/{make.__name__}",
                webhook,
                signed.url,
                "POST",
                headers,
                signed.body,
                NOW,
                _no_keys,
            )
    if platform in HEADERS:
        for name, body, headers in _bodies(platform):
            webhook = {"name": "hook", "platform": platform} | proof_of(platform)
            yield Genuine(
                f"{platform}/{name}",
                webhook,
                _URL,
                "POST",
                headers | HEADERS[platform](body),
                body,
                NOW,
                pages(),
            )
    for number, proof in enumerate(
        _SEVERAL.get(platform, [_NEEDED.get(platform, proof_of(platform))])
    ):
        webhook = {"name": "hook", "platform": platform, "public_url": _URL} | proof
        for name, body, given in _bodies(platform):
            headers = given | ({"X-Id": "id-1"} if "{header:X-Id}" in str(proof) else {})
            if (
                platform == "cloudevents"
                and "signature" in proof
                and "cloudevents" not in headers["Content-Type"]
            ):
                continue  # its attributes are in headers, which no signature of the body covers
            try:
                draft = _signed(webhook, body, headers, folder)
            except CannotSign:
                continue
            yield Genuine(
                f"{platform}/{name}-{number}",
                webhook,
                draft.url,
                "POST",
                draft.headers,
                draft.body,
                NOW,
                _no_keys,
            )


def _bodies(platform: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    for name, sample in samples(platform).items():
        yield name, sample.body, {"Content-Type": sample.content_type} | dict(sample.headers)
    for number, (raw, headers) in enumerate(_BODIES.get(platform, [])):
        yield str(number), raw, {"Content-Type": "application/json"} | headers


def _signed(webhook: dict[str, Any], body: bytes, headers: dict[str, str], folder: Path) -> Draft:
    file = folder / "one.yaml"
    file.write_text(
        json.dumps({"webhooks": [{"receivers": {"flow": "any"}} | webhook]}), encoding="utf-8"
    )
    (read,) = load_definitions(file, PLATFORMS, {}).webhooks
    draft = Draft("POST", _URL, headers, body, NOW)
    for verifier, credentials in verifiers_of(read, PLATFORMS[read.platform]):
        draft = verifier.sign(draft, credentials)
    return draft


def _no_keys(url: str, **_: Any) -> bytes:
    return b""
