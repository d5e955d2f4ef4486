"""Bearer tokens of an issuer with discovery: which prove a delivery, and when its keys are
fetched."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ruamel.yaml import YAML

from relay.verify.vendor_keys import CACHED_FOR, FAILED_FOR, FRESH_FOR, HttpsDownload, KeyCaches
from tests.relay.issuer import CONFIGURATION, KEYS, PRIVATE, Issuer, public_jwk, serving
from tests.support.clock import Clock as StandingClock
from tests.support.relay import NOW, Clock, MakeRelay, Relay
from tools.servers.npm import npm_package

BODY = b'{"order": 1}'
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as found:
        yield found


@pytest.fixture
def ticking() -> StandingClock:
    return StandingClock(1000.0)


@pytest.fixture
def relay(issuer: Issuer, ticking: StandingClock, make_relay: MakeRelay, clock: Clock) -> Relay:
    return relay_for({"issuer": issuer.url, "audience": "hooks"}, ticking, make_relay)


def relay_for(
    asked: dict[str, Any], ticking: StandingClock, make_relay: MakeRelay, **more: Any
) -> Relay:
    """A relay that really fetches."""
    keys = KeyCaches(HttpsDownload(), ticking)
    return make_relay({"name": "orders", "jwt": asked, **more}, fetch=keys.of("orders"))


@pytest.mark.parametrize("algorithm", sorted(PRIVATE))
def test_a_genuine_token_is_accepted_and_its_claims_are_kept_but_not_itself(
    algorithm: str, issuer: Issuer, relay: Relay
) -> None:
    token = issuer.token(algorithm, roles=["a", "b"])
    response = relay.post("orders", BODY, {"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, relay.rejections()
    event = relay.event()
    assert event.document()["_webhook"]["claims"]["roles"] == ["a", "b"]
    assert not any(part in event.text() for part in token.split("."))
    assert "authorization" not in event.headers
    assert issuer.asked == {CONFIGURATION: 1, KEYS: 1}


# https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
def test_the_recipe_for_a_bot_in_teams_takes_its_tokens_and_no_others(
    issuer: Issuer, ticking: StandingClock, make_relay: MakeRelay, clock: Clock
) -> None:
    readme = Path(__file__).parents[3] / "platforms" / "microsoft_teams" / "README.md"
    asked = YAML(typ="safe").load(readme.read_text("utf-8").split("```yaml")[2].split("```")[0])[
        "webhooks"
    ][0]["jwt"]
    issuer.publish(public_jwk("RS256", PRIVATE["RS256"], "k1", use="sig", endorsements=["msteams"]))
    relay = relay_for(asked | {"jwks": issuer.url + KEYS}, ticking, make_relay)
    service = "https://smba.trafficmanager.net/emea/"
    good = {
        "iss": "https://api.botframework.com",
        "aud": asked["audience"],
        "nbf": int(NOW),
        "serviceurl": service,
    }

    def post(**claims: Any) -> int:
        token = issuer.token(**(good | {"scope": None} | claims))
        return relay.post(
            "orders", b'{"type": "message", "id": "1"}', {"Authorization": f"Bearer {token}"}
        ).status_code

    assert [post(aud="another-bot"), post(iss=issuer.url), post(exp=int(NOW) - 301)] == [
        401,
        401,
        401,
    ]
    assert post(exp=int(NOW) - 299) == 200, relay.rejections()
    assert relay.event().document()["_webhook"]["claims"]["serviceurl"] == service


def changed(token: str, **header: Any) -> str:
    """The token with another header, and its old signature."""
    first, claims, signature = token.split(".")
    old = json.loads(base64.urlsafe_b64decode(first + "=="))
    new = base64.urlsafe_b64encode(json.dumps(old | header).encode()).rstrip(b"=").decode()
    return f"{new}.{claims}.{signature}"


def signed(issuer: Issuer, end: bytes) -> str:
    """A token with this `exp`, which PyJWT wouldn't write."""
    claims = b'{"iss": "%b", "aud": "hooks", "exp": %b}' % (issuer.url.encode(), end)
    return jwt.api_jws.PyJWS().encode(claims, PRIVATE["RS256"], "RS256", headers={"kid": "k1"})


def wrong_tokens(issuer: Issuer) -> dict[str, str]:
    good = issuer.token()
    public = PRIVATE["RS256"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared = base64.urlsafe_b64encode(pem).decode()
    unsigned = jwt.encode(
        {"iss": issuer.url, "aud": "hooks", "exp": NOW + 99}, None, "none", headers={"kid": "k1"}
    )
    key = jwt.PyJWK({"kty": "oct", "k": shared.rstrip("="), "alg": "HS256"}).key
    by_public = (
        jwt.api_jws.PyJWS()
        .get_algorithm_by_name("HS256")
        .sign(good.rpartition(".")[0].encode(), key)
    )
    head, claims, signature = good.split(".")
    return {
        "another issuer": issuer.token(iss="https://evil.example"),
        "issuer with a slash": issuer.token(iss=issuer.url + "/"),
        "no issuer": issuer.token(iss=None),
        "another audience": issuer.token(aud="other"),
        "other audiences": issuer.token(aud=["other", "hooks2"]),
        "no audience": issuer.token(aud=None),
        "expired": issuer.token(exp=int(NOW) - 61),
        "no end": issuer.token(exp=None),
        "an end in words": signed(issuer, b'"soon"'),
        "an end that is true": signed(issuer, b"true"),
        "an endless end": signed(issuer, b"1e999"),
        "not yet valid": issuer.token(nbf=int(NOW) + 61),
        "made in the future": issuer.token(iat=int(NOW) + 61),
        "a stranger's key": issuer.token(key=STRANGER),
        "none": unsigned,
        "HS256 with the public key": changed(good, alg="HS256").rpartition(".")[0]
        + "." + base64.urlsafe_b64encode(by_public).rstrip(b"=").decode(),
        "RS256 as PS256": changed(good, alg="PS256"),
        "RS256 as ES256": changed(good, alg="ES256"),
        "ES256 with another curve": issuer.token("ES256", ec.generate_private_key(ec.SECP256R1())),
        "critical extension": changed(good, crit=["exp"], exp=1),
        "key in the token": changed(good, jwk=public_jwk("RS256", STRANGER)),
        "other claims": f"{head}.{base64.urlsafe_b64encode(b'{}').decode().rstrip('=')}.{signature}",
        "other signature": f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
        "no signature": f"{head}.{claims}.",
        "claims no object": jwt.api_jws.PyJWS().encode(b"[]", PRIVATE["RS256"], "RS256", headers={"kid": "k1"}),
        "not JSON": jwt.api_jws.PyJWS().encode(b"\xff", PRIVATE["RS256"], "RS256", headers={"kid": "k1"}),
        "too long": issuer.token(text="x" * 20000),
        "two parts": f"{head}.{claims}",
        "empty": "",
        "words": "not a token",
    }  # fmt: skip


def test_every_wrong_token_is_refused(issuer: Issuer, relay: Relay) -> None:
    for what, token in wrong_tokens(issuer).items():
        assert (
            relay.post("orders", BODY, {"Authorization": f"Bearer {token}"}).status_code == 401
        ), what
    for headers in (
        {},
        {"Authorization": f"Basic {issuer.token()}"},
        {"Authorization": issuer.token()},
    ):
        assert relay.post("orders", BODY, headers).status_code == 401
    assert relay.events() == []
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200
    assert (
        relay.post("orders", BODY, issuer.bearer(exp=int(NOW) - 59, nbf=int(NOW) + 59)).status_code
        == 200
    )
    assert relay.post("orders", BODY, issuer.bearer(aud=["x", "hooks"])).status_code == 200


def test_claims_must_be_as_expected(
    issuer: Issuer, ticking: StandingClock, make_relay: MakeRelay, clock: Clock
) -> None:
    asked = {
        "issuer": issuer.url,
        "claims": {"$.scope": {"$regex": r"\borders\b"}, "$.roles[*]": "writer"},
    }
    relay = relay_for(asked, ticking, make_relay)
    assert (
        relay.post(
            "orders", BODY, issuer.bearer(scope="a orders", roles=["x", "writer"])
        ).status_code
        == 200
    )
    for claims in (
        {"scope": "order", "roles": ["writer"]},
        {"scope": "orders", "roles": ["reader"]},
        {},
    ):
        assert relay.post("orders", BODY, issuer.bearer(**claims)).status_code == 401
    assert relay.rejections()[0].reason == "the token's claim $.roles[*] has another value"


def test_a_token_may_be_in_another_header_which_is_not_kept(
    issuer: Issuer, ticking: StandingClock, make_relay: MakeRelay, clock: Clock
) -> None:
    asked = {
        "issuer": issuer.url,
        "audience": ["a", "hooks"],
        "jwks": issuer.url + KEYS,
        "header": "X-Proof",
    }
    relay = relay_for(asked, ticking, make_relay, listen=True)
    assert relay.post("orders", BODY, {"X-Proof": issuer.token()}).status_code == 200
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 401
    assert "x-proof" not in relay.event().headers
    [raw], _ = relay.store.raw_deliveries.next_accepted("orders", 0, 9)
    assert "x-proof" not in repr(raw)
    assert issuer.asked == {KEYS: 1}, "the definition names the keys"


def test_the_token_proves_the_sender_so_query_and_repetitions_are_the_senders_word(
    issuer: Issuer, relay: Relay
) -> None:
    for _ in range(2):
        assert relay.post("orders?a=1", BODY, issuer.bearer()).status_code == 200
    assert relay.payloads() == [{"order": 1, "a": "1"}] * 2


def test_a_new_key_is_fetched_once_a_minute_at_most(
    issuer: Issuer, ticking: StandingClock, relay: Relay
) -> None:
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200
    issuer.publish(public_jwk("RS256", STRANGER, "k2"))
    for _ in range(20):
        assert (
            relay.post("orders", BODY, issuer.bearer("RS256", STRANGER, "k2")).status_code == 401
        ), "still fresh"
    assert issuer.asked[KEYS] == 1
    ticking.seconds += FRESH_FOR
    assert relay.post("orders", BODY, issuer.bearer("RS256", STRANGER, "k2")).status_code == 200
    for number in range(20):
        assert (
            relay.post("orders", BODY, issuer.bearer("RS256", STRANGER, f"k{number}3")).status_code
            == 401
        )
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 401, (
        "a key that was withdrawn"
    )
    assert issuer.asked[KEYS] == 2


@pytest.mark.parametrize(
    "page", [500, 302, b"no JSON", b"[]", {"keys": None}, {}, b"[" * 9999, b"{}" + b" " * 70000]
)
@pytest.mark.parametrize("path", [CONFIGURATION, KEYS])
def test_without_keys_nothing_is_refused_for_good(
    path: str, page: Any, issuer: Issuer, ticking: StandingClock, relay: Relay
) -> None:
    issuer.pages[path] = page
    for _ in range(30):
        assert relay.post("orders", BODY, issuer.bearer()).status_code == 503
    assert relay.events() == []
    assert {one.reason for one in relay.rejections()} == {"the vendor's key can't be fetched"}
    issuer.publish(public_jwk("RS256", PRIVATE["RS256"], "k1"))
    ticking.seconds += CACHED_FOR
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200


@pytest.mark.parametrize("page", [b"<html>closed</html>", b"", {}, {"keys": None}, 500])
@pytest.mark.parametrize("path", [CONFIGURATION, KEYS])
def test_a_page_that_is_no_key_replaces_none(
    path: str, page: Any, issuer: Issuer, ticking: StandingClock, relay: Relay
) -> None:
    """Such a page was used for an hour, in which every delivery was answered 503."""
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200
    issuer.pages[path] = page
    ticking.seconds += CACHED_FOR
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200
    issuer.publish(public_jwk("RS256", STRANGER, "k2"))
    ticking.seconds += FRESH_FOR
    assert relay.post("orders", BODY, issuer.bearer("RS256", STRANGER, "k2")).status_code == 200


def test_a_delivery_that_waited_for_keys_has_time_to_be_stored(
    issuer: Issuer, make_relay: MakeRelay, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait used up the time for the store, so a busy one answered 503 to a delivery whose proof
    held."""
    monkeypatch.setattr("relay.receiver.PATIENCE", -1000.0)
    relay = make_relay(
        {"name": "orders", "jwt": {"issuer": issuer.url, "audience": "hooks"}},
        fetch=KeyCaches(HttpsDownload()).of("orders"),
    )
    append, left = relay.store.deliveries.append, []

    def appending(events: Any, until: float) -> Any:
        left.append(until - time.monotonic())
        return append(events)

    monkeypatch.setattr(relay.store.deliveries, "append", appending)
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200
    assert left[0] > -500


def test_an_issuer_that_was_away_is_asked_again_soon_whoever_asks(
    issuer: Issuer, ticking: StandingClock, relay: Relay
) -> None:
    """Allowances for strangers, who name keys, don't count: the definition names these."""
    issuer.pages[CONFIGURATION] = 500
    for _ in range(50):
        assert relay.post("orders", BODY, issuer.bearer()).status_code == 503
        ticking.seconds += FAILED_FOR
    issuer.publish(public_jwk("RS256", PRIVATE["RS256"], "k1"))
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 200


def test_a_wrong_token_causes_no_fetch(issuer: Issuer, relay: Relay) -> None:
    for token in (issuer.token(iss="x"), issuer.token(aud="x"), issuer.token(exp=1), "x", "a.b.c"):
        assert relay.post("orders", BODY, {"Authorization": f"Bearer {token}"}).status_code == 401
    assert issuer.asked == {}


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://evil.example", "jwks_uri": "{url}/keys"},
        {"issuer": "{url}/", "jwks_uri": "{url}/keys"},
        {"issuer": "{url}", "jwks_uri": "http://192.0.2.1/keys"},
        {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "{url}", "jwks_uri": "https://["},
        {"issuer": "{url}", "jwks_uri": "https://hooks example/"},
        {"issuer": "{url}", "jwks_uri": 5},
        {"issuer": "{url}"},
    ],
)
def test_a_configuration_of_another_issuer_or_elsewhere_is_not_followed(
    configuration: dict[str, Any], issuer: Issuer, relay: Relay
) -> None:
    issuer.pages[CONFIGURATION] = json.dumps(configuration).replace("{url}", issuer.url).encode()
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 503
    assert issuer.asked[KEYS] == 0


@pytest.mark.parametrize(
    "key",
    [
        public_jwk("RS256", PRIVATE["RS256"], "k1", use="enc"),
        public_jwk("RS256", PRIVATE["RS256"], "k1", key_ops=["encrypt"]),
        public_jwk("RS256", PRIVATE["RS256"], "k1", alg="PS256"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "k1"},
        {"kty": "RSA", "kid": "k1"},
        {"kid": "k1"},
        {"kty": ["RSA"], "kid": "k1"},
    ],
)
def test_a_key_for_something_else_proves_nothing(
    key: dict[str, Any], issuer: Issuer, relay: Relay
) -> None:
    issuer.publish(key)
    assert relay.post("orders", BODY, issuer.bearer()).status_code == 401


def test_a_short_key_proves_nothing(issuer: Issuer, relay: Relay) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    issuer.publish(public_jwk("RS256", short, "k1"))
    signed = issuer.token().rpartition(".")[0]
    signature = get_rs256().sign(signed.encode(), short)
    token = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert relay.post("orders", BODY, {"Authorization": f"Bearer {token}"}).status_code == 401


def get_rs256() -> Any:
    return jwt.algorithms.get_default_algorithms()["RS256"]


def test_a_token_without_a_key_id_is_tried_with_the_first_keys(
    issuer: Issuer, ticking: StandingClock, relay: Relay
) -> None:
    others = [public_jwk("RS256", STRANGER) for _ in range(9)]
    issuer.publish(*others, public_jwk("RS256", PRIVATE["RS256"]))
    assert relay.post("orders", BODY, issuer.bearer(key_id=None)).status_code == 200
    ticking.seconds += FRESH_FOR
    issuer.publish(*others, public_jwk("RS256", STRANGER), public_jwk("RS256", PRIVATE["RS256"]))
    relay.post(
        "orders",
        BODY,
        issuer.bearer(
            key=rsa.generate_private_key(public_exponent=65537, key_size=2048), key_id=None
        ),
    )
    assert relay.post("orders", BODY, issuer.bearer(key_id=None)).status_code == 401, (
        "more than are tried"
    )


_JOSE = """
const { generateKeyPair, exportJWK, SignJWT } = await import(process.argv[1]);
const [issuer, now] = process.argv.slice(2);
const made = [];
for (const alg of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const token = await new SignJWT({ scope: "orders" }).setProtectedHeader({ alg, kid: alg })
    .setIssuer(issuer).setAudience(["hooks"]).setIssuedAt(+now).setExpirationTime(+now + 60).sign(privateKey);
  made.push({ alg, token, jwk: { ...await exportJWK(publicKey), kid: alg, alg, use: "sig" } });
}
console.log(JSON.stringify(made));
"""


def test_what_jose_signs_is_accepted_by_every_algorithm(issuer: Issuer, relay: Relay) -> None:
    folder, reason = npm_package("jose", "6.2.18")
    node = shutil.which("node")
    if folder is None or node is None:
        pytest.skip(reason or "no node: apt-get install nodejs")
    module = (folder / "dist" / "webapi" / "index.js").as_uri()
    command = [node, "--input-type=module", "-e", _JOSE, module, issuer.url, str(int(NOW))]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    issuer.publish(*(one["jwk"] for one in found))
    for one in found:
        sent = {"Authorization": f"Bearer {one['token']}"}
        assert relay.post("orders", BODY, sent).status_code == 200, one["alg"]
        others = [other for other in found if other["alg"] != one["alg"]]
        for other in others:
            sent = {"Authorization": f"Bearer {changed(one['token'], kid=other['alg'])}"}
            assert relay.post("orders", BODY, sent).status_code == 401, (one["alg"], other["alg"])
