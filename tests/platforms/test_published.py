"""Signed examples that vendors publish, in documentation or their libraries' tests."""

from __future__ import annotations

import json

import pytest

from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import Credentials, Refused
from tests.platforms.more_judges import LIBRARIES


def accepts(platform: str, secret: str, headers: dict[str, str], body: bytes, url: str = "") -> bool:
    verifier = PLATFORMS[platform].verifier
    assert verifier is not None
    try:
        verifier.check(Credentials((secret,)))(Request("POST", url, "", headers, body, None, 0.0))
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


# https://circleci.com/docs/outbound-webhooks/#validate-webhooks
@pytest.mark.parametrize(
    ("body", "secret", "signature"),
    [
        ("hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
        ("lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
        (
            "an-important-request-payload",
            "hunter123",
            "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        ),
        ("foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
    ],
)
def test_circlecis_examples(body: str, secret: str, signature: str) -> None:
    headers = {"circleci-signature": f"v1={signature},v2=...,v3=..."}
    assert accepts("circleci", secret, headers, body.encode())
    assert not accepts("circleci", secret, headers, body.encode() + b" ")
    assert not accepts("circleci", "another", headers, body.encode())


# Signed by `signRequest` of Contentful's own library, @contentful/node-apps-toolkit 3.16.1.
@pytest.mark.parametrize(
    ("changed", "url", "expected"),
    [
        ({}, "https://y.example/webhook/hook", True),
        ({"x-not-signed": "1"}, "https://elsewhere.example/webhook/hook", True),
        ({}, "https://y.example/webhook/other", False),
        ({}, "https://y.example/webhook/hook?a=1", False),
        ({}, "https://y.example/webhook/hook?a?b", False),
        ({"x-contentful-topic": "ContentManagement.Entry.delete"}, "https://y.example/webhook/hook", False),
        ({"content-type": "application/json"}, "https://y.example/webhook/hook", False),
        ({"x-contentful-timestamp": "1760000000001"}, "https://y.example/webhook/hook", False),
        ({"x-contentful-signed-headers": "content-type"}, "https://y.example/webhook/hook", False),
    ],
)
def test_contentfuls_librarys_signature(changed: dict[str, str], url: str, expected: bool) -> None:
    headers = {
        "content-type": "application/vnd.contentful.management.v1+json",
        "x-contentful-topic": "ContentManagement.Entry.publish",
        "x-contentful-signature": "c06268e18d996af1f2fad90e9da730f7f9de95a966fd80162d3852993f4dec9e",
        "x-contentful-signed-headers": "content-type,x-contentful-signed-headers,x-contentful-timestamp,"
        "x-contentful-topic",
        "x-contentful-timestamp": "1760000000000",
    }
    body = '{"sys":{"id":"5KsDBWseXY6QegucYAoacS","type":"Entry"},"fields":{"title":{"en-US":"Hé ✓"}}}'
    key = "0123456789abcdef" * 4
    assert accepts("contentful", key, headers | changed, body.encode(), url) is expected
    assert not accepts("contentful", key, headers | changed, body.encode() + b" ", url)


@pytest.mark.parametrize(
    ("path", "signature"),
    [
        ("/webhook/hook?a=1&b=x%20y'(é)", "9911e949a8ebbf2e3b7579a7eb223e976126656e0c299ebb7780445fe4a7af62"),
        ("/we%20b/hook", "c581514fefd55a4b0215dc686a1c1ba8c943663fc680e07eb600f6170c6ea06a"),
    ],
)
def test_contentfuls_library_encodes_the_url_once_more(path: str, signature: str) -> None:
    headers = {
        "x-contentful-signature": signature,
        "x-contentful-signed-headers": "x-contentful-signed-headers,x-contentful-timestamp",
        "x-contentful-timestamp": "1760000000000",
    }
    url = f"https://y.example{path}".encode().decode("latin-1")
    assert accepts("contentful", "0123456789abcdef" * 4, headers, b"{}", url)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_vendors_library_is_installed(library: str) -> None:
    """Without it its judge is left out, silently."""
    pytest.importorskip(library, reason="make setup; paddle_billing needs Python 3.11")
