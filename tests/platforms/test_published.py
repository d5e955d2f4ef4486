"""Signed examples that vendors publish, in documentation or their libraries' tests."""

from __future__ import annotations

import json

import pytest

from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import Credentials, Refused
from tests.platforms.more_judges import LIBRARIES


def accepts(platform: str, secret: str, headers: dict[str, str], body: bytes) -> bool:
    verifier = PLATFORMS[platform].verifier
    assert verifier is not None
    try:
        verifier.check(Credentials((secret,)))(Request("POST", "", "", headers, body, None, 0.0))
    except Refused:
        return False
    return True


# https://developer.box.com/guides/webhooks/v2/signatures-v2
@pytest.mark.parametrize(("key", "expected"), [("SamplePrimaryKey", True), ("SampleSecondaryKey", True), ("x", False)])
def test_boxs_example(key: str, expected: bool) -> None:
    body = (
        b'{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED",'
        b'"source":{"id":"1234567890","type":"file","name":"Test.txt"}}'
    )
    headers = {
        "box-delivery-timestamp": "2020-01-01T00:00:00-07:00",
        "box-signature-primary": "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI=",
        "box-signature-secondary": "v+1CD1Jdo3muIcbpv5lxxgPglOqMfsNHPV899xWYydo=",
    }
    assert accepts("box", key, headers, body) is expected
    assert not accepts("box", key, headers, body + b" ")


# https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
@pytest.mark.parametrize(("changed", "expected"), [({}, True), ({"success": "false"}, False), ({"reason": "x"}, True)])
def test_adyens_example(changed: dict[str, str], expected: bool) -> None:
    item = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    }
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item | changed}]}).encode()
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    assert accepts("adyen", key, {}, body) is expected


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_vendors_library_is_installed(library: str) -> None:
    """Without it its judge is left out, silently."""
    pytest.importorskip(library, reason="make setup; paddle_billing needs Python 3.11")
