"""Plaid's tokens: what they prove, and what its API is asked with whose credentials."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from platforms import PLATFORMS
from platforms.guide import samples
from platforms.verifiers import KeysUnavailable
from tests.support.relay import NOW, Clock, MakeRelay, Relay
from tests.support.vendors import PLAID, PLAIDS_KEY_ID, PLAIDS_KEYS, plaid, plaids_key

BODY = samples("plaid")["transactions"].body
CREDENTIALS = "0123456789abcdef01234567:0123456789abcdef0123456789abcd"


class Api:
    """Plaid's API, which knows one secret."""

    def __init__(self, **changed: Any) -> None:
        self.content = plaids_key(**changed)
        self.asked: list[tuple[str, Any]] = []
        self.good = CREDENTIALS.split(":")[1]

    def __call__(self, url: str, *, read: Any, send: bytes, **_: Any) -> bytes:
        asked = json.loads(send)
        self.asked.append((url.partition("#")[0], asked))
        try:
            if asked["key_id"] != PLAIDS_KEY_ID or asked["secret"] != self.good:
                raise ValueError
            read(self.content)
        except ValueError:
            raise KeysUnavailable(url) from None
        return self.content


@pytest.fixture
def api() -> Api:
    return Api()


def relay_for(make_relay: MakeRelay, api: Api, secret: Any = CREDENTIALS) -> Relay:
    return make_relay({"name": "hook", "platform": "plaid", "secret": secret}, fetch=api)


def test_a_genuine_delivery_is_accepted_once(api: Api, make_relay: MakeRelay, clock: Clock) -> None:
    relay = relay_for(make_relay, api)
    headers = plaid(BODY)
    assert [relay.post("hook", BODY, headers).json.get("duplicate") for _ in range(2)] == [
        None,
        True,
    ]
    assert relay.post("hook", BODY, plaid(BODY, iat=int(NOW) - 1)).json.get("duplicate") is None
    assert relay.payloads()[0] == json.loads(BODY)
    client, secret = CREDENTIALS.split(":")
    assert api.asked[0] == (
        PLAIDS_KEYS,
        {"client_id": client, "secret": secret, "key_id": PLAIDS_KEY_ID},
    )
    assert "plaid-verification" not in relay.events()[0].headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Plaid-Verification": "x"},
        plaid(BODY + b" "),
        plaid(BODY, key=ec.generate_private_key(ec.SECP256R1())),
        plaid(BODY, iat=int(NOW) - 301),
        plaid(BODY, iat=int(NOW) + 301),
        plaid(BODY, iat=True),
        plaid(BODY, request_body_sha256=None),
        plaid(BODY, key_id=None),
        plaid(BODY, key_id="../../other?x#"),
        plaid(BODY, key=CREDENTIALS, algorithm="HS256"),
        plaid(BODY, key=None, algorithm="none"),
    ],
)
def test_any_other_token_is_refused(
    headers: dict[str, str], api: Api, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, api)
    assert relay.post("hook", BODY, headers).status_code == 401
    assert relay.events() == []


def test_a_token_without_a_time_is_refused(api: Api, make_relay: MakeRelay, clock: Clock) -> None:
    claims = jwt.decode(plaid(BODY)["Plaid-Verification"], options={"verify_signature": False})
    del claims["iat"]
    token = jwt.encode(claims, PLAID, "ES256", headers={"kid": PLAIDS_KEY_ID})
    assert (
        relay_for(make_relay, api).post("hook", BODY, {"Plaid-Verification": token}).status_code
        == 401
    )
    assert api.asked == []


def test_a_key_that_plaid_does_not_tell_may_be_a_new_one(
    api: Api, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, api)
    assert relay.post("hook", BODY, plaid(BODY, key_id="unknown")).status_code == 503
    api.good = "another"
    assert relay.post("hook", BODY, plaid(BODY)).status_code == 503


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"expired_at": 1560466151}, 401),
        ({"kid": "other"}, 503),
        ({"kty": "RSA"}, 503),
        ({"crv": "P-384"}, 503),
    ],
)
def test_an_expired_or_other_key_proves_nothing(
    changed: dict[str, Any], status: int, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = relay_for(make_relay, Api(**changed) if "kid" not in changed else Api(key_id="other"))
    assert relay.post("hook", BODY, plaid(BODY)).status_code == status


def test_either_secret_will_do_while_it_is_being_rotated(
    api: Api, make_relay: MakeRelay, clock: Clock
) -> None:
    old = "0123456789abcdef01234567:00000000000000000000"
    for secrets in ([old, CREDENTIALS], [CREDENTIALS, old], [f"sandbox:{old}", CREDENTIALS]):
        assert (
            relay_for(make_relay, api, secrets).post("hook", BODY, plaid(BODY)).status_code == 200
        )
    assert api.asked[-2][0] == PLAIDS_KEYS.replace("production", "sandbox")


@pytest.mark.parametrize(
    "secret", ["x", "client:", f"https://{CREDENTIALS}", f"development:{CREDENTIALS}", "a:b:c:d"]
)
def test_a_secret_in_another_form_is_an_error(secret: str) -> None:
    assert "CLIENT_ID:SECRET" in (PLATFORMS["plaid"].find_secret_problem(secret) or "")
