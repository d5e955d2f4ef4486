"""HMACs in headers, in the shapes that platforms give them."""

from __future__ import annotations

import base64
import hmac

import pytest

from platforms.http import Request
from platforms.verifiers import CannotSign, Credentials, Draft, Hmac, Refused, Timestamp, Verifier

NOW = 1_760_000_000.0


def request(
    headers: dict[str, str], body: bytes = b"{}", url: str = "https://x/y", now: float = NOW
) -> Request:
    return Request(
        "POST", url, "", {name.lower(): value for name, value in headers.items()}, body, None, now
    )


def refusal(verifier: Verifier, credentials: Credentials, given: Request) -> str | None:
    """Why it is refused; None if it isn't."""
    try:
        verifier.check(credentials)(given)
    except Refused as refused:
        return refused.reason
    return None


def mac(message: bytes, key: bytes = b"key", algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, message, algorithm)


TERMS = Credentials(("key",), 300)


def test_reasons_tell_what_is_wrong() -> None:
    verifier = Hmac(
        "X-Sig", prefix="v1=", signed="{timestamp}:{body}", timestamp=Timestamp("X-Time")
    )
    good = {"X-Sig": "v1=" + mac(b"1760000000:{}").hex(), "X-Time": "1760000000"}
    assert refusal(verifier, TERMS, request(good)) is None
    for changed, reason in (
        ({"X-Sig": "v2=00"}, "the signature has another form"),
        ({"X-Sig": "v1=00"}, "the signature does not match"),
        ({"X-Sig": "v1=é\u2713"}, "the signature does not match"),
        ({"X-Time": "1760000001"}, "the signature does not match"),
    ):
        assert refusal(verifier, TERMS, request(good | changed)) == reason
    assert refusal(verifier, TERMS, request({"X-Time": "1"})) == "the header x-sig is missing"
    assert refusal(verifier, TERMS, request({"X-Sig": "v1=00"})) == "the header x-time is missing"
    old = request(good, now=NOW + 301)
    assert refusal(verifier, TERMS, old) == "the timestamp is 301 s old; the tolerance is 300 s"
    early = request(good, now=NOW - 400)
    assert refusal(verifier, TERMS, early) == "the timestamp is 400 s ahead; the tolerance is 300 s"


def test_several_secrets_and_several_signatures() -> None:
    verifier = Hmac("X-Sig", prefix="v1=", separator=",")
    credentials = Credentials(("old", "new"))
    for key in (b"old", b"new"):
        assert (
            refusal(
                verifier, credentials, request({"X-Sig": f"v1=00, v0=1,v1={mac(b'{}', key).hex()}"})
            )
            is None
        )
    assert refusal(verifier, credentials, request({"X-Sig": f"v1={mac(b'{}').hex()}"})) is not None
    assert (
        refusal(verifier, credentials, request({"X-Sig": ",".join(["v1=00"] * 51)}))
        == "too many signatures"
    )


def test_a_key_in_base64_and_one_that_is_none() -> None:
    key = b"\x00\xff" * 16
    verifier = Hmac("X-Sig", encoding="base64", key_encoding="base64")
    signed = request({"X-Sig": base64.b64encode(mac(b"{}", key)).decode()})
    assert refusal(verifier, Credentials((base64.b64encode(key).decode(),)), signed) is None
    assert (
        refusal(verifier, Credentials(("not base64!",)), signed)
        == "the webhook's secret is not a key"
    )


def test_without_secrets_nothing_is_accepted() -> None:
    empty = request({"X-Sig": mac(b"{}", b"").hex()})
    assert refusal(Hmac("X-Sig"), Credentials(), empty) is not None
    with pytest.raises(CannotSign):
        Hmac("X-Sig").sign(Draft("POST", "https://x", {}, b"", NOW), Credentials())


@pytest.mark.parametrize(
    "signed", ["{body}", "a{body}b", "{method}{url}{body}{timestamp}", "{timestamp}.{body}"]
)
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("unit", ["s", "ms", "rfc3339", "http", "any"])
def test_what_it_signs_it_accepts(signed: str, encoding: str, unit: str) -> None:
    verifier = Hmac(
        "X-Sig", encoding=encoding, prefix="p=", signed=signed, timestamp=Timestamp("X-Time", unit)  # type: ignore[arg-type]
    )  # fmt: skip
    draft = verifier.sign(Draft("POST", "https://x/y", {}, b"\xff\x00", NOW), TERMS)
    assert refusal(verifier, TERMS, request(draft.headers, draft.body)) is None
    assert refusal(verifier, TERMS, request(draft.headers, b"")) is not None
