"""The platforms' own libraries in Python, live: they sign and we accept; of mutated deliveries they
think as we do.

One for each kind of scheme; what the libraries of all platforms think of a few deliveries is
recorded in `judged`.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from werkzeug.datastructures import MultiDict

from platforms import PLATFORMS
from platforms.bodies import BadBody
from platforms.http import Request
from platforms.verifiers import Credentials, Refused
from tests.platforms.judged import URL
from tests.support.relay import NOW

BODY = '{"id": "evt_1", "text": "hé ✓", "n": 1}'.encode()
FORM = b"Body=Hello+World+%2B+%E2%9C%93+%26+more+&FromCity=&a=2&a=1&A=3&MessageSid=SM1"


@dataclass(frozen=True)
class Signed:
    """A delivery as a judge signed it."""

    headers: dict[str, str]
    body: bytes = BODY
    url: str = URL


@dataclass(frozen=True)
class Judge:
    """A library that signs and verifies."""

    platform: str
    secret: str
    sign: Callable[[], Signed]
    accepts: Callable[[Signed], bool]
    tolerance: float | None = None
    covers_url: bool = False
    content_type: str = "application/json"


def holds(check: Callable[[], Any]) -> bool:
    """Whether the judge's check passes; judges refuse in many ways."""
    try:
        return check() is not False
    except Exception:
        return False


# --- the judges ---


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
                given.body,
                given.headers["X-Slack-Request-Timestamp"],
                given.headers["X-Slack-Signature"],
            )
        ),
        300,
    )


def stripe() -> Judge:
    from stripe import WebhookSignature

    key, header = "whsec_stripe_secret", "Stripe-Signature"
    signature = WebhookSignature._compute_signature(f"{int(NOW)}.{BODY.decode()}", key)
    return Judge(
        "stripe",
        key,
        lambda: Signed({header: f"t={int(NOW)},v1={signature},v0=old"}),
        lambda given: holds(
            lambda: WebhookSignature.verify_header(
                given.body.decode(), given.headers[header], key, 300
            )
        ),
        300,
    )


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
            lambda: validator.validate(
                given.url, parameters(given.body), given.headers["X-Twilio-Signature"]
            )
        ),
        covers_url=True,
        content_type="application/x-www-form-urlencoded",
    )


def sendgrid() -> Judge:
    from sendgrid.helpers.eventwebhook import EventWebhook

    private = ec.generate_private_key(ec.SECP256R1())
    public = base64.b64encode(
        private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode()
    judge = EventWebhook(public)
    body = b'[{"sg_event_id": "1"}]\r\n'
    signature = private.sign(f"{int(NOW)}".encode() + body, ec.ECDSA(hashes.SHA256()))
    name = "X-Twilio-Email-Event-Webhook-"
    return Judge(
        "sendgrid",
        public,
        lambda: Signed(
            {
                f"{name}Signature": base64.b64encode(signature).decode(),
                f"{name}Timestamp": str(int(NOW)),
            },
            body,
        ),
        lambda given: holds(
            lambda: judge.verify_signature(
                given.body.decode(),
                given.headers[f"{name}Signature"],
                given.headers[f"{name}Timestamp"],
            )
        ),
    )


def standard_webhooks() -> Judge:
    from standardwebhooks import Webhook

    key = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
    judge = Webhook(key)
    signature = judge.sign("msg_1", datetime.fromtimestamp(NOW, timezone.utc), BODY.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": signature,
    }
    return Judge(
        "standard-webhooks",
        key,
        lambda: Signed(headers),
        lambda given: holds(lambda: judge.verify(given.body, given.headers) or True),
        300,
    )


def discord() -> Judge:
    from discord_interactions import verify_key

    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    stamp = str(int(NOW))

    def verdict(given: Signed) -> bool:
        found = verify_key(
            given.body,
            given.headers["X-Signature-Ed25519"],
            given.headers["X-Signature-Timestamp"],
            public,
        )
        return bool(asyncio.run(found) if asyncio.iscoroutine(found) else found)

    return Judge(
        "discord",
        public,
        lambda: Signed(
            {
                "X-Signature-Ed25519": private.sign(stamp.encode() + BODY).hex(),
                "X-Signature-Timestamp": stamp,
            }
        ),
        lambda given: holds(lambda: verdict(given)),
    )


JUDGES = [slack, stripe, twilio_form, sendgrid, standard_webhooks, discord]


# --- our verdict beside theirs ---


def we_accept(judge: Judge, given: Signed) -> bool:
    """Our own verdict."""
    platform = PLATFORMS[judge.platform]
    assert platform.verifier is not None
    check = platform.verifier.check(Credentials((judge.secret,), judge.tolerance))
    headers = {name.lower(): value for name, value in given.headers.items()} | {
        "content-type": judge.content_type
    }
    try:
        check(
            Request("POST", given.url, given.url.partition("?")[2], headers, given.body, None, NOW)
        )
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
        for changed in (
            value + "0",
            value[:-1],
            value[1:],
            value[:-4] + "AAAA",
            "",
            "x",
            value * 2,
            "é" + value,
        ):
            found.append(but(headers=given.headers | {name: changed}))
        for position in range(0, len(value), 7):
            other = "1" if value[position] != "1" else "2"
            found.append(
                but(
                    headers=given.headers | {name: value[:position] + other + value[position + 1 :]}
                )
            )
    if judge.covers_url:
        found += [
            but(url=given.url.replace("x=1", "x=2")),
            but(url=given.url.replace("%20", "+")),
            but(url=""),
        ]
        # Twilio's two spellings of one URL.
        found += [
            but(url=given.url.replace(".com", ".com:443")),
            but(url=given.url.replace(".com", ".com:8443")),
        ]
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
        assert (
            ours == theirs
            or is_repeated(signed, mutated)
            or (theirs and is_respelled(signed, mutated))
        ), (
            number,
            mutated,
        )


def is_repeated(signed: Signed, mutated: Signed) -> bool:
    """Whether a list of signatures, the genuine one among them, was doubled: some judges take no
    such list."""
    return any(mutated.headers.get(name) == value * 2 for name, value in signed.headers.items())


def is_respelled(signed: Signed, mutated: Signed) -> bool:
    """Whether it is the same signature with characters that a lenient base64 decoder leaves out: we
    don't take it."""
    if (signed.body, signed.url) != (mutated.body, mutated.url) or set(signed.headers) != set(
        mutated.headers
    ):
        return False

    def lenient(value: str) -> bytes:
        return base64.b64decode(value.rpartition(",")[2].encode("ascii", "ignore") + b"===")

    return all(
        value == mutated.headers[name]
        or holds(lambda: lenient(value)[:64] == lenient(mutated.headers[name])[:64])  # noqa: B023
        for name, value in signed.headers.items()
    )


def _still_datetime(monkeypatch: pytest.MonkeyPatch) -> None:
    """standardwebhooks asks datetime for the time."""
    import datetime as module

    import standardwebhooks.webhooks

    class Still(module.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return module.datetime.fromtimestamp(NOW, tz)

    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Still)


@pytest.mark.parametrize("offset", [-301, -300, 0, 300, 301])
@pytest.mark.parametrize("make", [slack, standard_webhooks], ids=lambda make: make.__name__)
def test_judges_and_we_agree_on_age(
    make: Callable[[], Judge], offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = make()
    signed = judge.sign()
    monkeypatch.setattr("tests.platforms.test_judges.NOW", NOW + offset)
    _still_datetime(monkeypatch)
    assert we_accept(judge, signed) == judge.accepts(signed) == (abs(offset) <= 300)
