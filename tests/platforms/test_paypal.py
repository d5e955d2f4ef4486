"""PayPal: transmissions that PayPal's key signs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.certificates import issued_to
from tests.support.relay import Clock, MakeRelay, Relay
from tests.support.vendors import KEY, PAYPALS_CERTIFICATE, PAYPALS_WEBHOOK, Pages, pages, paypal

BODY = b'{"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED"}'


@pytest.fixture
def vendor() -> Pages:
    return pages()


@pytest.fixture
def relay(make_relay: MakeRelay, vendor: Pages, clock: Clock) -> Relay:
    return make_relay(
        {"name": "hook", "platform": "paypal", "secret": PAYPALS_WEBHOOK}, fetch=vendor
    )


def test_a_transmission_is_an_event_once(relay: Relay) -> None:
    for duplicate in (None, True):
        assert relay.post("hook", BODY, paypal(BODY)).get_json().get("duplicate") is duplicate
    assert relay.payloads() == [json.loads(BODY)]
    assert relay.event().delivery_id == "d938e770-8046-11e6-8103-6b62a8a99ac4"
    assert "paypal-transmission-sig" not in relay.event().headers


def test_another_body_with_the_same_checksum_is_a_duplicate(relay: Relay) -> None:
    """Anyone can make one, with any id in it; the transmission counts once all the same."""
    one, other = b'{"id": "plumless"}', b'{"id": "buckeroo"}'
    assert paypal(one) == paypal(other)
    assert relay.post("hook", one, paypal(one)).status_code == 200
    assert relay.post("hook", other, paypal(one)).get_json()["duplicate"] is True
    assert relay.payloads() == [json.loads(one)]


@pytest.mark.parametrize(
    "url",
    [
        *(PAYPALS_CERTIFICATE.replace("//", new) for new in ("//evil.example@", "//evil.example/")),
        *(
            PAYPALS_CERTIFICATE.replace(".com/", new)
            for new in (".com.evil.example/", ".com:8443/")
        ),
        *(
            PAYPALS_CERTIFICATE.replace(*parts)
            for parts in (("https:", "http:"), ("/certs/", "/certs/../"))
        ),
        *(PAYPALS_CERTIFICATE + more for more in ("?x", "#x", "/x")),
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(
    url: str, relay: Relay, vendor: Pages
) -> None:
    assert relay.post("hook", BODY, paypal(BODY) | {"PayPal-Cert-Url": url}).status_code == 401
    assert vendor.visited == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"to": "evil.example"}, "the certificate is not one of PayPal"),
        ({"to": "paypal.com.evil.example"}, "the certificate is not one of PayPal"),
        (
            {"to": "messageverificationcerts.paypal.com", "until": 2025},
            "the certificate is not valid now",
        ),
        (
            {"to": "messageverificationcerts.paypal.com", "since": 2026},
            "the certificate is not valid now",
        ),
    ],
)
def test_a_certificate_of_others_is_refused(
    how: dict[str, Any], reason: str, relay: Relay, vendor: Pages
) -> None:
    vendor.pages[PAYPALS_CERTIFICATE] = issued_to(KEY.public_key(), **how)
    assert relay.post("hook", BODY, paypal(BODY)).status_code == 401
    assert relay.rejections()[0].reason == reason


def test_paypal_is_asked_to_try_again_when_its_certificate_cannot_be_had(
    relay: Relay, vendor: Pages
) -> None:
    kept, vendor.pages = vendor.pages, {}
    response = relay.post("hook", BODY, paypal(BODY))
    assert (response.status_code, bool(response.headers["Retry-After"])) == (503, True)
    vendor.pages = {PAYPALS_CERTIFICATE: b"no certificate"}
    assert relay.post("hook", BODY, paypal(BODY)).status_code == 401
    vendor.pages = kept
    assert relay.post("hook", BODY, paypal(BODY)).status_code == 200


@pytest.mark.parametrize(
    ("at", "limit", "status"),
    [
        ("2025-10-05T08:53:20Z", {}, 200),  # sent again for three days, and one in reserve
        ("2025-10-05T08:53:19Z", {}, 401),
        ("2025-10-13T08:53:20Z", {}, 200),
        ("2025-10-13T08:53:21Z", {}, 401),
        ("2025-10-07T08:53:20Z", {"tolerance": "1h"}, 401),
    ],
)
def test_a_transmission_may_be_four_days_old_unless_the_definition_says_less(
    at: str, limit: dict[str, str], status: int, make_relay: MakeRelay, vendor: Pages, clock: Clock
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "paypal", "secret": PAYPALS_WEBHOOK} | limit, fetch=vendor
    )
    assert relay.post("hook", BODY, paypal(BODY, at=at)).status_code == status
