"""Independent judges: the platforms' own libraries sign and we accept; of mutated deliveries they think as we do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from werkzeug.datastructures import MultiDict

from platforms import PLATFORMS
from platforms.bodies import BadBody
from platforms.guide import samples
from platforms.http import Request
from platforms.verifiers import CannotSign, Credentials, Draft, Refused
from tests.platforms.judging import BODY, FORM, URL, Judge, Signed, holds, openssl_hmac
from tests.platforms.more_judges import MORE
from tests.relay.bridge import NOW

# --- the judges ---


def github() -> Judge:
    from gidgethub import sansio

    key = "github-secret-0123456789"
    signature = "sha256=" + openssl_hmac(key, BODY).hex()
    return Judge(
        "github",
        key,
        lambda: Signed({"X-Hub-Signature-256": signature}),
        lambda given: holds(
            lambda: sansio.validate_event(given.body, signature=given.headers["X-Hub-Signature-256"], secret=key)
        ),
    )


def slack() -> Judge:
    from slack_sdk.signature import Clock, SignatureVerifier

    class Still(Clock):
        def now(self) -> float:
            return NOW

    verifier = SignatureVerifier("slack-secret-0123456789", Still())
    stamp = str(int(NOW))
    return Judge(
        "slack",
        "slack-secret-0123456789",
        lambda: Signed(
            {
                "X-Slack-Request-Timestamp": stamp,
                "X-Slack-Signature": verifier.generate_signature(timestamp=stamp, body=BODY) or "",
            }
        ),
        lambda given: holds(
            lambda: verifier.is_valid(
                given.body, given.headers["X-Slack-Request-Timestamp"], given.headers["X-Slack-Signature"]
            )
        ),
        300,
    )


def stripe(platform: str = "stripe", header: str = "Stripe-Signature", tolerance: int = 300) -> Judge:
    from stripe import WebhookSignature

    key = "whsec_stripe_secret"
    message = f"{int(NOW)}.".encode() + BODY
    signature = WebhookSignature._compute_signature(message.decode(), key)
    return Judge(
        platform,
        key,
        lambda: Signed({header: f"t={int(NOW)},v1={signature},v0=old"}),
        lambda given: holds(
            lambda: WebhookSignature.verify_header(given.body.decode(), given.headers[header], key, tolerance)
        ),
        tolerance,
    )


def calendly() -> Judge:
    return stripe("calendly", "Calendly-Webhook-Signature", 180)


def twilio_form() -> Judge:
    from twilio.request_validator import RequestValidator

    validator = RequestValidator("twilio-auth-token-0123")

    def parameters(body: bytes) -> MultiDict[str, str]:
        return MultiDict(parse_qsl(body.decode(), keep_blank_values=True))

    signature = validator.compute_signature(URL, parameters(FORM))
    return Judge(
        "twilio",
        "twilio-auth-token-0123",
        lambda: Signed({"X-Twilio-Signature": signature}, FORM),
        lambda given: holds(
            lambda: validator.validate(given.url, parameters(given.body), given.headers["X-Twilio-Signature"])
        ),
        covers_url=True,
        content_type="application/x-www-form-urlencoded",
    )


def twilio_json() -> Judge:
    from twilio.request_validator import RequestValidator

    validator = RequestValidator("twilio-auth-token-0123")
    url = f"{URL}&bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    signature = validator.compute_signature(url, {})
    return Judge(
        "twilio",
        "twilio-auth-token-0123",
        lambda: Signed({"X-Twilio-Signature": signature}, url=url),
        lambda given: holds(
            lambda: validator.validate(given.url, given.body.decode(), given.headers["X-Twilio-Signature"])
        ),
        covers_url=True,
    )


def zendesk() -> Judge:
    key, stamp = "zendesk-secret-0123456789", "2025-10-09T08:53:20Z"

    def signature(body: bytes, time_text: str) -> str:
        return base64.b64encode(openssl_hmac(key, time_text.encode() + body)).decode()

    return Judge(
        "zendesk",
        key,
        lambda: Signed(
            {
                "X-Zendesk-Webhook-Signature": signature(BODY, stamp),
                "X-Zendesk-Webhook-Signature-Timestamp": stamp,
            }
        ),
        lambda given: (
            given.headers.get("X-Zendesk-Webhook-Signature")
            == signature(given.body, given.headers.get("X-Zendesk-Webhook-Signature-Timestamp", ""))
        ),
        300,
    )


def sendgrid() -> Judge:
    from sendgrid.helpers.eventwebhook import EventWebhook

    private = ec.generate_private_key(ec.SECP256R1())
    public = base64.b64encode(
        private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    judge = EventWebhook(public)
    body = b'[{"sg_event_id": "1"}]\r\n'
    signature = private.sign(f"{int(NOW)}".encode() + body, ec.ECDSA(hashes.SHA256()))
    name = "X-Twilio-Email-Event-Webhook-"
    return Judge(
        "sendgrid",
        public,
        lambda: Signed(
            {f"{name}Signature": base64.b64encode(signature).decode(), f"{name}Timestamp": str(int(NOW))}, body
        ),
        lambda given: holds(
            lambda: judge.verify_signature(
                given.body.decode(), given.headers[f"{name}Signature"], given.headers[f"{name}Timestamp"]
            )
        ),
    )


def standard_webhooks() -> Judge:
    from standardwebhooks import Webhook

    return standard(Webhook, "webhook")


def svix() -> Judge:
    from svix.webhooks import Webhook

    return standard(Webhook, "svix")


def clerk() -> Judge:
    from svix.webhooks import Webhook

    return standard(Webhook, "svix", "clerk")


def resend() -> Judge:
    from svix.webhooks import Webhook

    return standard(Webhook, "svix", "resend")


def openai() -> Judge:
    from standardwebhooks import Webhook

    return standard(Webhook, "webhook", "openai")


def replicate() -> Judge:
    from standardwebhooks import Webhook

    return standard(Webhook, "webhook", "replicate")


def supabase() -> Judge:
    """Supabase shows the secret with the signature's version before it, which its own examples take off."""
    from standardwebhooks import Webhook

    judge = standard(Webhook, "webhook", "supabase")
    return replace(judge, secret=f"v1,{judge.secret}")


def standard(library: Any, names: str, platform: str = "standard-webhooks") -> Judge:
    """Either library, whose headers are named by it."""
    key = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
    judge = library(key)
    signature = judge.sign("msg_1", datetime.fromtimestamp(NOW, timezone.utc), BODY.decode())
    headers = {f"{names}-id": "msg_1", f"{names}-timestamp": str(int(NOW)), f"{names}-signature": signature}
    return Judge(
        platform,
        key,
        lambda: Signed(headers),
        lambda given: holds(lambda: judge.verify(given.body, given.headers) or True),
        300,
    )


def gitlab() -> Judge:
    judge = standard_webhooks()
    return Judge("gitlab", judge.secret, judge.sign, judge.accepts, 300)


def discord() -> Judge:
    from discord_interactions import verify_key

    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    stamp = str(int(NOW))

    def verdict(given: Signed) -> bool:
        found = verify_key(
            given.body, given.headers["X-Signature-Ed25519"], given.headers["X-Signature-Timestamp"], public
        )
        return bool(asyncio.run(found) if asyncio.iscoroutine(found) else found)

    return Judge(
        "discord",
        public,
        lambda: Signed(
            {"X-Signature-Ed25519": private.sign(stamp.encode() + BODY).hex(), "X-Signature-Timestamp": stamp}
        ),
        lambda given: holds(lambda: verdict(given)),
    )


JUDGES = [
    github, slack, stripe, calendly, twilio_form, twilio_json, zendesk, sendgrid, standard_webhooks, svix, gitlab,
    discord, clerk, resend, openai, replicate, supabase, *MORE,
]  # fmt: skip


# --- our verdict beside theirs ---


def we_accept(judge: Judge, given: Signed) -> bool:
    """Our own verdict."""
    platform = PLATFORMS[judge.platform]
    assert platform.verifier is not None
    check = platform.verifier.check(Credentials((judge.secret,), judge.tolerance))
    headers = {name.lower(): value for name, value in given.headers.items()} | {"content-type": judge.content_type}
    try:
        check(Request(given.method, given.url, given.url.partition("?")[2], headers, given.body, None, NOW))
    except (Refused, BadBody):
        return False
    return True


def mutations(given: Signed, judge: Judge) -> list[Signed]:
    """The delivery with one thing changed, in every place where that may matter."""

    def but(**changed: Any) -> Signed:
        return Signed(**{"headers": given.headers, "body": given.body, "url": given.url} | changed)

    found = [
        but(body=given.body + b" "),
        but(body=b" " + given.body),
        but(body=given.body[:-1]),
        but(body=given.body.replace(b"1", b"2", 1)),
        but(body=b""),
        but(headers={}),
    ]
    for name, value in given.headers.items():
        found.append(but(headers={key: text for key, text in given.headers.items() if key != name}))
        for changed in (value + "0", value[:-1], value[1:], value[:-4] + "AAAA", "", "x", value * 2, "é" + value):
            found.append(but(headers=given.headers | {name: changed}))
        for position in range(0, len(value), 7):
            other = "1" if value[position] != "1" else "2"
            found.append(but(headers=given.headers | {name: value[:position] + other + value[position + 1 :]}))
    if judge.covers_url:
        found += [but(url=given.url.replace("x=1", "x=2")), but(url=given.url.replace("%20", "+")), but(url="")]
        # Twilio's two spellings of one URL.
        found += [but(url=given.url.replace(".com", ".com:443")), but(url=given.url.replace(".com", ".com:8443"))]
    return found


@pytest.fixture(params=JUDGES, ids=lambda make: make.__name__)
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Each judge in turn, while the clock stands still."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    _still_datetime(monkeypatch)
    made: Judge = request.param()
    return made


def test_what_a_judge_signs_is_accepted_and_what_it_refuses_is_refused(judge: Judge) -> None:
    signed = judge.sign()
    assert judge.accepts(signed)
    assert we_accept(judge, signed)
    for number, mutated in enumerate(mutations(signed, judge)):
        ours, theirs = we_accept(judge, mutated), judge.accepts(mutated)
        assert ours == theirs or is_repeated(signed, mutated) or (theirs and is_respelled(signed, mutated)), (
            number,
            mutated,
        )


def test_a_judge_accepts_the_sample_that_the_bridge_signs(judge: Judge) -> None:
    verifier, sample = PLATFORMS[judge.platform].verifier, next(iter(samples(judge.platform).values()))
    assert verifier is not None
    draft = Draft("POST", URL, {"Content-Type": sample.content_type, **sample.headers}, sample.body, NOW)
    try:
        draft = verifier.sign(draft, Credentials((judge.secret,)))
    except CannotSign:
        assert judge.platform in ("discord", "sendgrid")
        return
    # Of a platform that signs in several ways, its sample goes one of them.
    if judge.content_type == sample.content_type and judge.sign().headers.keys() <= draft.headers.keys():
        assert judge.accepts(Signed(draft.headers, draft.body, draft.url))


def is_repeated(signed: Signed, mutated: Signed) -> bool:
    """Whether a list of signatures, the genuine one among them, was doubled: some judges take no such list."""
    return any(mutated.headers.get(name) == value * 2 for name, value in signed.headers.items())


def is_respelled(signed: Signed, mutated: Signed) -> bool:
    """Whether it is the same signature with characters that a lenient base64 decoder leaves out: we don't take it."""
    if (signed.body, signed.url) != (mutated.body, mutated.url) or set(signed.headers) != set(mutated.headers):
        return False

    def lenient(value: str) -> bytes:
        return base64.b64decode(value.rpartition(",")[2].encode("ascii", "ignore") + b"===")

    return all(
        value == mutated.headers[name] or holds(lambda: lenient(value)[:64] == lenient(mutated.headers[name])[:64])  # noqa: B023
        for name, value in signed.headers.items()
    )


def _still_datetime(monkeypatch: pytest.MonkeyPatch) -> None:
    """standardwebhooks and svix ask datetime for the time."""
    import datetime as module

    import standardwebhooks.webhooks
    import svix.webhooks

    class Still(module.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return module.datetime.fromtimestamp(NOW, tz)

    for library in (standardwebhooks.webhooks, svix.webhooks):
        monkeypatch.setattr(library, "datetime", Still)


@pytest.mark.parametrize("offset", [-301, -300, 0, 300, 301])
@pytest.mark.parametrize("make", [slack, standard_webhooks, svix], ids=lambda make: make.__name__)
def test_judges_and_we_agree_on_age(make: Callable[[], Judge], offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = make()
    signed = judge.sign()
    monkeypatch.setattr("tests.platforms.test_judges.NOW", NOW + offset)
    _still_datetime(monkeypatch)
    assert we_accept(judge, signed) == judge.accepts(signed) == (abs(offset) <= 300)


@pytest.mark.parametrize(
    ("algorithm", "encoding", "prefix", "timed"),
    [
        ("sha1", "hex", "", False),
        ("sha256", "hex", "sha256=", False),
        ("sha512", "base64", "v1:", True),
        ("sha256", "base64", "", True),
    ],
)
def test_any_scheme_that_openssl_can_make_is_accepted_of_a_custom_sender(
    algorithm: str, encoding: str, prefix: str, timed: bool, make_relay: Any, clock: Any
) -> None:
    scheme: dict[str, Any] = {
        "secret": "partner-secret-0123456789",
        "header": "X-Sig",
        "algorithm": algorithm,
        "encoding": encoding,
        "prefix": prefix,
    }
    message, headers = BODY, {}
    if timed:
        scheme |= {"signed": "{timestamp}.{body}", "timestamp_header": "X-Time", "tolerance": "1m"}
        message, headers = f"{int(NOW)}.".encode() + BODY, {"X-Time": str(int(NOW))}
    digest = openssl_hmac(scheme["secret"], message, algorithm)
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    relay = make_relay({"name": "partner", "signature": scheme})
    assert relay.post("partner", BODY, headers | {"X-Sig": prefix + text}).status_code == 200
    assert relay.post("partner", BODY + b" ", headers | {"X-Sig": prefix + text}).status_code == 401
    assert relay.post("partner", BODY, headers | {"X-Sig": text[:-1]}).status_code == 401
    if timed:
        clock.now += 61
        assert relay.post("partner", BODY, headers | {"X-Sig": prefix + text}).status_code == 401


def test_a_token_that_pyjwt_makes_is_accepted_and_what_pyjwt_refuses_is_refused() -> None:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.relay.certificates import certificate

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = certificate(private)
    public = x509.load_pem_x509_certificate(pem).public_key()
    good: dict[str, Any] = {
        "iss": "https://accounts.google.com",
        "aud": "https://relay.example.com",
        "email": "push@project.iam.gserviceaccount.com",
        "email_verified": True,
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 3600,
    }
    check = PLATFORMS["google-pubsub"].verifier
    assert check is not None
    credentials = Credentials(
        audience=good["aud"],
        service_account=good["email"],
        fetch=lambda url, **_: json.dumps({"k1": pem.decode()}).encode(),
    )

    def accepted(token: str) -> bool:
        headers = {"authorization": f"Bearer {token}"}
        try:
            check.check(credentials)(Request("POST", URL, "", headers, BODY, None, NOW))
        except Refused:
            return False
        return True

    def pyjwt_accepts(token: str) -> bool:
        return holds(
            lambda: jwt.decode(
                token,
                public,
                algorithms=["RS256"],
                audience=good["aud"],
                issuer=good["iss"],
                options={"verify_exp": False, "verify_iat": False},
            )
        )

    token = jwt.encode(good, private, "RS256", headers={"kid": "k1"})
    assert accepted(token)
    assert pyjwt_accepts(token)
    for claim, value in (
        ("iss", "https://evil.example"), ("aud", "other"), ("aud", ["other"]), ("aud", None), ("aud", 1),
    ):  # fmt: skip
        mutated = jwt.encode(good | {claim: value}, private, "RS256", headers={"kid": "k1"})
        assert accepted(mutated) is pyjwt_accepts(mutated) is False
    for position in range(0, len(token), 11):
        other = "A" if token[position] != "A" else "B"
        mutated = token[:position] + other + token[position + 1 :]
        assert accepted(mutated) is False
    assert accepted(jwt.encode(good | {"aud": ["x", good["aud"]]}, private, "RS256", headers={"kid": "k1"}))
    for changed in (
        {"exp": int(NOW) - 11}, {"iat": int(NOW) + 11}, {"email": "other@example.com"}, {"email_verified": False},
        {"exp": "soon"}, {"exp": None}, {"iat": 1e400}, {"exp": True}, {"exp": 10**900}, {"exp": 10**4000},
    ):  # fmt: skip
        verdict = changed == {"exp": 10**900}  # of JSON no number has more than a thousand digits
        assert accepted(jwt.encode(good | changed, private, "RS256", headers={"kid": "k1"})) is verdict
    for algorithm, key in (("HS256", pem.decode().replace("-", "")), ("none", None)):
        assert not accepted(jwt.encode(good, key, algorithm, headers={"kid": "k1"}))
    assert not accepted(jwt.encode(good, private, "RS256", headers={"kid": "k2"}))
