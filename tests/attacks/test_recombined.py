"""What somebody who has captured deliveries, or any other signature of the platform, could make of
them."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest

from tests.attacks.test_known_breaks import FORM, SECRET, mac, text
from tests.support.relay import MakeRelay

KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
URL = "https://h.example/sms"


def item(reference: str, merchant: str = "1") -> dict[str, Any]:
    """An item of Adyen, signed."""
    signed = f"{reference}::m:{merchant}:1130:EUR:AUTHORISATION:true".encode()
    signature = base64.b64encode(hmac.digest(bytes.fromhex(KEY), signed, "sha256")).decode()
    found = {
        "pspReference": reference, "merchantAccountCode": "m", "merchantReference": merchant, "success": "true",
        "amount": {"value": 1130, "currency": "EUR"}, "eventCode": "AUTHORISATION",
        "additionalData": {"hmacSignature": signature},
    }  # fmt: skip
    return {"NotificationRequestItem": found}


def test_adyens_items_that_came_one_by_one_cannot_be_put_together(make_relay: MakeRelay) -> None:
    """Each is signed by itself, so each combination would be a delivery with an id of its own."""
    relay = make_relay(
        {"name": "hook", "platform": "adyen", "secret": KEY, "split": "$.notificationItems"}
    )

    def post(*items: dict[str, Any]) -> int:
        return relay.post("hook", json.dumps({"notificationItems": items})).status_code

    first, second = item("a"), item("b")
    assert [post(first), post(second)] == [200, 200]
    assert {post(first, second), post(second, first), post(first, first)} == {401}
    assert len(relay.events()) == 2


def test_a_field_of_adyens_cannot_lend_a_part_to_another(make_relay: MakeRelay) -> None:
    """All are signed with colons between them, so that a reference `1:2` could be an amount of
    `2:1130` as well."""
    relay = make_relay({"name": "hook", "platform": "adyen", "secret": KEY})
    genuine = item("a", "1:2")
    lent = {"merchantReference": "1", "amount": {"value": "2:1130", "currency": "EUR"}}
    forged = {"NotificationRequestItem": genuine["NotificationRequestItem"] | lent}
    for one, status in ((forged, 401), (genuine, 200)):
        assert relay.post("hook", json.dumps({"notificationItems": [one]})).status_code == status


@pytest.mark.parametrize(
    "dedup", [None, {"path": "$.MessageSid"}, {"header": "I-Twilio-Idempotency-Token"}]
)
def test_twilios_fields_cut_elsewhere_are_one_delivery_whatever_dedup_says(
    dedup: dict[str, str] | None, make_relay: MakeRelay
) -> None:
    webhook = {"name": "hook", "platform": "twilio", "secret": SECRET, "public_url": URL}
    relay = make_relay(webhook | ({"dedup": dedup} if dedup else {}))
    headers = FORM | {
        "X-Twilio-Signature": text(mac(f"{URL}BodyhelloMessageSidSM1".encode(), "sha1"))
    }
    for body in ("Body=hello&MessageSid=SM1", "Bodyhel=loMessageSidSM1", "BodyhelloMessageSid=SM1"):
        assert (
            relay.post("hook", body, headers | {"I-Twilio-Idempotency-Token": body}).status_code
            == 200
        )
    assert relay.payloads() == [{"Body": "hello", "MessageSid": "SM1"}]


@pytest.mark.parametrize(
    ("platform", "headers"),
    [
        ("sentry", {"Sentry-App-Signature": mac(b"").hex()}),
        ("github", {"X-Hub-Signature-256": "sha256=" + mac(b"").hex()}),
        ("shopify", {"X-Shopify-Hmac-Sha256": text(mac(b""))}),
        ("linear", {"Linear-Signature": mac(b"").hex()}),
    ],
)
def test_the_signature_of_nothing_proves_nothing(
    platform: str, headers: dict[str, str], make_relay: MakeRelay
) -> None:
    """Sentry sends it with each request for the options of a field, and it is always the same."""
    relay = make_relay({"name": "hook", "platform": platform, "secret": SECRET})
    query = "action=created&id=forged"
    assert (
        relay.post("hook", b"", headers | {"Request-ID": "1"}, query_string=query).status_code
        == 401
    )
    assert (
        relay.post("hook", b"", {**headers, "Content-Type": ""}, query_string=query).status_code
        == 401
    )
    assert relay.events() == []


@pytest.mark.parametrize(
    "form",
    [{"prefix": "sha256="}, {"prefix": "HMAC v1="}, {"format": "t={timestamp},v1={signature}"}],
)
@pytest.mark.parametrize("between", [" ", ",", ", ", " v1=", ",t=", ",v", "v1=,"])
def test_a_header_of_separators_is_read_in_one_pass(
    form: dict[str, str], between: str, make_relay: MakeRelay
) -> None:
    """To look for a prefix behind each of them took a minute, and the worker's life."""
    relay = make_relay(
        {
            "name": "hook",
            "platform": "custom",
            "signature": {"secret": SECRET, "header": "X-Signature", **form}
            | ({"signed": "{timestamp}{body}"} if "format" in form else {}),
        }
    )
    separators = between * (48_000 // len(between))
    for value in (f"x{separators}x", f"sha256={separators}x", f"HMAC {separators}x"):
        assert relay.post("hook", b"{}", {"X-Signature": value}).status_code == 401
