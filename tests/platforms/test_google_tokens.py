"""Google's own library and the bridge think the same of tokens that Google signs."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import google.auth._helpers
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2 import id_token

from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import Credentials, Refused
from tests.support.relay import NOW
from tests.support.vendors import CHATS_KEYS, GOOGLES_KEYS, KEY, pages

URL = "https://relay.example.com/webhook/hook"
PUSH = "push@project.iam.gserviceaccount.com"
OF_CHAT = {"iss": "chat@system.gserviceaccount.com", "aud": "1234567890"}
OF_PUBSUB = {
    "iss": "https://accounts.google.com",
    "aud": URL,
    "email": PUSH,
    "email_verified": True,
}
KINDS = [
    ("google-chat", OF_CHAT, CHATS_KEYS),
    ("google-pubsub", OF_PUBSUB, GOOGLES_KEYS),
]


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks its own helper for the time."""
    moment = datetime.fromtimestamp(NOW, timezone.utc).replace(tzinfo=None)
    monkeypatch.setattr(google.auth._helpers, "utcnow", lambda: moment)


def google_accepts(token: str, audience: str, keys: str) -> bool:
    """The verdict of google-auth, with the vendor's keys of the tests."""

    def request(url: str, method: str = "GET", **_: Any) -> Any:
        return SimpleNamespace(status=200, data=pages()(url))

    try:
        id_token.verify_token(
            token, request, audience=audience, certs_url=keys, clock_skew_in_seconds=10
        )
    except (TypeError, ValueError, google.auth.exceptions.GoogleAuthError):
        return False
    return True


def we_accept(token: str, platform: str, audience: str) -> bool:
    """The bridge's."""
    verifier = PLATFORMS[platform].verifier
    assert verifier is not None
    check = verifier.check(Credentials(audience=audience, service_account=PUSH, fetch=pages()))
    try:
        check(Request("POST", URL, "", {"authorization": f"Bearer {token}"}, b"{}", None, NOW))
    except Refused:
        return False
    return True


def token(claims: dict[str, Any], key: rsa.RSAPrivateKey = KEY, key_id: str = "k1") -> str:
    times = {"iat": int(NOW) - 60, "exp": int(NOW) + 3600}
    return jwt.encode(times | claims, key, "RS256", headers={"kid": key_id})


@pytest.mark.parametrize(("platform", "claims", "keys"), KINDS, ids=[kind[0] for kind in KINDS])
def test_googles_library_and_the_bridge_think_the_same(
    platform: str, claims: dict[str, Any], keys: str
) -> None:
    audience = str(claims["aud"])
    genuine = token(claims)
    assert google_accepts(genuine, audience, keys)
    assert we_accept(genuine, platform, audience)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    head, payload, signature = genuine.split(".")
    changed = json.dumps(claims | {"iat": int(NOW), "exp": int(NOW) + 7200}).encode()
    strangers = [
        token(claims, other),
        token(claims, key_id="k2"),
        token(claims | {"aud": "another"}),
        token(claims | {"exp": int(NOW) - 11}),
        token(claims | {"iat": int(NOW) + 11}),
        token(claims | {"exp": "soon"}),
        token(claims | {"exp": None}),
        token(claims | {"iat": 1e400}),
        f"{head}.{jwt.utils.base64url_encode(changed).decode()}.{signature}",
        f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{head}.{payload}.",
        jwt.encode(
            claims | {"iat": int(NOW), "exp": int(NOW) + 60},
            "a-shared-key-0123456789-0123456789",
            "HS256",
        ),
    ]
    for number, given in enumerate(strangers):
        assert (google_accepts(given, audience, keys), we_accept(given, platform, audience)) == (
            False,
            False,
        ), number
